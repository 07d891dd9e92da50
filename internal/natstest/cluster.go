// SPDX-License-Identifier: Apache-2.0

package natstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Nodes is how many servers a [Cluster] has: the least that go on when one is
// gone.
const Nodes = 3

// A Cluster is three NATS servers with JetStream, each a process of its own, so
// that it can be killed, and with a store directory of its own. Their routes go
// through relays in the test's process, one for each pair and direction, so that
// a server can be cut off from the others while its clients still reach it.
//
// The processes are the test binary, started again: TestMain of a package that
// has a cluster MUST call [Child] first. It is not for concurrent use.
type Cluster struct {
	t     testing.TB
	nodes [Nodes]*Node
	pace  time.Duration
}

// A ClusterOption changes a cluster before it starts.
type ClusterOption func(*Cluster)

// Heartbeat has the leaders of a cluster beat in this time, where a server does
// once a second, and all of Raft's times in proportion: an election begins after
// 4 to 9 heartbeats of silence. No option of a server says so; tests that want to
// see many elections want them soon.
func Heartbeat(d time.Duration) ClusterOption { return func(c *Cluster) { c.pace = d } }

// RunCluster starts a cluster and ends it with the test. It returns when the
// servers have agreed on who leads them.
func RunCluster(t testing.TB, opts ...ClusterOption) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for _, o := range opts {
		o(c)
	}
	for i := range c.nodes {
		c.nodes[i] = &Node{
			t: t, Name: fmt.Sprint("nats-", i+1), store: t.TempDir(),
			port: FreePort(t), routes: FreePort(t), monitor: FreePort(t), pace: c.pace,
		}
	}
	for _, from := range c.nodes {
		for _, to := range c.nodes {
			if from == to {
				continue
			}
			r := newRelay(t, to.routes)
			from.to = append(from.to, r)
			to.from = append(to.from, r)
		}
	}
	for _, n := range c.nodes {
		t.Cleanup(n.Kill)
		n.Start()
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if err := c.Healthy(ctx); err != nil {
		t.Fatalf("start NATS cluster: %v", err)
	}
	return c
}

// Nodes returns the servers. Their order never changes.
func (c *Cluster) Nodes() []*Node { return c.nodes[:] }

// Node returns the server of a name, nil when there is none.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// URLs returns where the servers listen, the i-th first. A client that is to
// begin there needs nats.DontRandomize.
func (c *Cluster) URLs(first int) string {
	var urls []string
	for i := range c.nodes {
		urls = append(urls, c.nodes[(first+i)%Nodes].URL())
	}
	return strings.Join(urls, ",")
}

// Conn returns a connection to the i-th server or, when that is gone, to another.
// It reconnects for ever and is closed with the test.
func (c *Cluster) Conn(t testing.TB, first int, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return connect(t, c.URLs(first), append([]nats.Option{nats.DontRandomize()}, opts...)...)
}

// JetStream returns a JetStream context on a connection of its own.
func (c *Cluster) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(c.Conn(t, 0))
	if err != nil {
		t.Fatalf("open JetStream: %v", err)
	}
	return js
}

// Leader returns the server that leads a stream. While there is none, it waits.
func (c *Cluster) Leader(ctx context.Context, js jetstream.JetStream, stream string) (*Node, error) {
	for {
		s, err := lookUp(ctx, js, stream)
		if err == nil && s.CachedInfo().Cluster != nil {
			if n := c.Node(s.CachedInfo().Cluster.Leader); n != nil {
				return n, nil
			}
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("find the leader of stream %s: %w", stream, err)
		}
	}
}

// Healthy returns when every server says of itself that it is: it knows who leads
// the cluster, and has all that it is to have of every stream. What an operator
// waits for before the next server is touched.
func (c *Cluster) Healthy(ctx context.Context) error {
	for _, n := range c.nodes {
		for {
			err := n.healthy(ctx)
			if err == nil {
				break
			}
			if pause(ctx) != nil {
				return fmt.Errorf("wait for %s: %w", n.Name, err)
			}
		}
	}
	return nil
}

// Current returns when the leaders of all streams say, too, that each copy is
// there and has all of it.
func (c *Cluster) Current(ctx context.Context, js jetstream.JetStream) error {
	for {
		why, err := lagging(ctx, js)
		if err == nil && why == "" {
			return nil
		}
		if pause(ctx) != nil {
			return fmt.Errorf("wait for the copies: %s: %w", why, errors.Join(err, ctx.Err()))
		}
	}
}

// lagging says which copy of which stream is behind, "" when none is.
func lagging(ctx context.Context, js jetstream.JetStream) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	list := js.ListStreams(ctx)
	why := ""
	for info := range list.Info() {
		switch {
		case info.Cluster == nil || info.Cluster.Leader == "":
			why = info.Config.Name + " has no leader"
		case len(info.Cluster.Replicas) != info.Config.Replicas-1:
			why = fmt.Sprintf("%s has %d copies beside the leader's", info.Config.Name, len(info.Cluster.Replicas))
		}
		if info.Cluster == nil {
			continue
		}
		for _, r := range info.Cluster.Replicas {
			if r.Offline || !r.Current {
				why = fmt.Sprintf("%s at %s: offline %t, current %t, %d behind", info.Config.Name, r.Name, r.Offline, r.Current, r.Lag)
			}
		}
	}
	return why, list.Err()
}

// lookUp asks for a stream once. A cluster without a leader does not answer.
func lookUp(ctx context.Context, js jetstream.JetStream, stream string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return js.Stream(ctx, stream)
}

// pause waits for a moment before something is looked at again.
func pause(ctx context.Context) error {
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A Node is a server of a [Cluster].
type Node struct {
	Name string

	t                     testing.TB
	store                 string
	port, routes, monitor int
	pace                  time.Duration
	to, from              []*relay // of its routes: those that it asks for, those that it is asked for
	runs                  *child   // nil when it does not
}

// URL returns where the server takes clients, also while it is gone.
func (n *Node) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.port) }

// Running says whether the server runs.
func (n *Node) Running() bool { return n.runs != nil }

// Start starts the server unless it runs, and returns when it takes clients.
func (n *Node) Start() {
	n.t.Helper()
	if n.runs != nil {
		return
	}
	l := life{Name: n.Name, Store: n.store, Port: n.port, Cluster: n.routes, Monitor: n.monitor, Heartbeat: n.pace}
	for _, r := range n.to {
		l.Routes = append(l.Routes, r.url())
	}
	runs, err := start(&l)
	if err != nil {
		n.t.Fatalf("start %s: %v", n.Name, err)
	}
	n.runs = runs
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(5 * time.Millisecond) {
		nc, err := nats.Connect(n.URL())
		if err == nil {
			nc.Close()
			return
		}
		select {
		case <-runs.exited:
			n.t.Fatalf("%s ended: %s", n.Name, runs.said())
		default:
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s takes no clients: %v", n.Name, err)
		}
	}
}

// Kill ends the server by SIGKILL, if it runs, and waits until it is gone.
func (n *Node) Kill() {
	if n.runs == nil {
		return
	}
	_ = n.runs.cmd.Process.Kill() // it may have ended
	<-n.runs.exited
	n.runs = nil
}

// Stop asks the server to end, as an operator does, and waits until it is gone:
// what it leads it gives to others.
func (n *Node) Stop() {
	n.t.Helper()
	if n.runs == nil {
		return
	}
	_ = n.runs.stdin.Close()
	select {
	case <-n.runs.exited:
		n.runs = nil
	case <-time.After(startTimeout):
		n.Kill()
		n.t.Errorf("%s does not end", n.Name)
	}
}

// Wipe empties the directory of a server that does not run, as a new disk is.
func (n *Node) Wipe() {
	n.t.Helper()
	if n.runs != nil {
		n.t.Fatalf("wipe %s: it runs", n.Name)
	}
	if err := os.RemoveAll(n.store); err != nil {
		n.t.Fatalf("wipe %s: %v", n.Name, err)
	}
}

// Cut keeps the server and the others from each other, both ways; its clients
// still reach it. When silently, connections stay and what is sent is gone, as
// behind a switch that failed; else they are closed.
func (n *Node) Cut(silently bool) {
	for _, r := range n.to {
		r.cut(silently)
	}
	for _, r := range n.from {
		r.cut(silently)
	}
}

// Heal ends a Cut. Connections of before are closed, and made anew.
func (n *Node) Heal() {
	for _, r := range n.to {
		r.heal()
	}
	for _, r := range n.from {
		r.heal()
	}
}

// healthy asks the server what monitoring asks.
func (n *Node) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/healthz", n.monitor), http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s for its health: %w", n.Name, err)
	}
	transport := &http.Transport{DisableKeepAlives: true} // nothing stays open behind a test
	answer, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	said, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	return errors.Join(fmt.Errorf("%s: %s", answer.Status, said), err)
}
