// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package cluster

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/internal/natstest"
)

// Twenty elections of 4 to 9 seconds, as by default, would be the better part of the
// test: so the heart of the servers' Raft beats some times as fast.
var (
	seed      = flag.Uint64("seed", rand.Uint64(), "of every random choice")
	rounds    = flag.Int("rounds", 20, "how many faults TestClusterFaults makes, of each kind about as many")
	heartbeat = flag.Duration("heartbeat", 150*time.Millisecond, "of the servers' Raft; 0: as it is by default, a second")
)

// Servers of a cluster fail under load, one after the other, in every way that
// three of them stand: nothing that was acknowledged is lost.
func TestClusterFaults(t *testing.T) {
	t.Logf("seed %d (-seed)", *seed)
	campaign(t, rand.New(rand.NewPCG(*seed, 1)), *rounds, natstest.Heartbeat(*heartbeat))
}

// A fault is something that befalls one server of the cluster, or one after the
// other. It ends with all of them running, and maybe behind.
type fault struct {
	name string
	// victim picks the server: one that leads a stream, or one that does not.
	leads bool
	begin func(*natstest.Node)
	end   func(*natstest.Node)
	rolls bool // over all servers, each waited for
	// halts says that it takes a second server, too, and with it the quorum: nothing
	// is streamed while it lasts.
	halts bool
}

var faults = []fault{
	{name: "leader killed", leads: true, begin: (*natstest.Node).Kill, end: (*natstest.Node).Start},
	{name: "leader cut off", leads: true, begin: func(n *natstest.Node) { n.Cut(false) }, end: (*natstest.Node).Heal},
	{name: "leader out of reach", leads: true, begin: func(n *natstest.Node) { n.Cut(true) }, end: (*natstest.Node).Heal},
	{name: "follower out of reach", begin: func(n *natstest.Node) { n.Cut(true) }, end: (*natstest.Node).Heal},
	{name: "rolling restart", begin: (*natstest.Node).Stop, end: (*natstest.Node).Start, rolls: true},
	{name: "leader's disk wiped", leads: true, begin: func(n *natstest.Node) { n.Kill(); n.Wipe() }, end: (*natstest.Node).Start},
	{name: "quorum killed", leads: true, begin: (*natstest.Node).Kill, end: (*natstest.Node).Start, halts: true},
	{name: "follower's disk wiped", begin: func(n *natstest.Node) { n.Kill(); n.Wipe() }, end: (*natstest.Node).Start},
}

// campaign makes n faults over one cluster, and judges after each.
func campaign(t *testing.T, rng *rand.Rand, n int, opts ...natstest.ClusterOption) {
	w := newWorld(t, opts...)
	defer w.stop()
	var order []int
	for round := range n {
		w.ctx, w.next = w.patience(w.next)
		if len(order) == 0 {
			order = rng.Perm(len(faults))
		}
		f := &faults[order[0]]
		order = order[1:]
		r := w.roads[rng.IntN(len(w.roads))]
		// As an operator does: no server is touched while another is away or behind.
		w.home()
		nodes := w.cluster.Nodes()
		if !f.rolls {
			nodes = []*natstest.Node{w.victim(f, r, rng)}
		}
		for _, victim := range nodes {
			took := w.suffer(f, victim)
			caught := time.Now()
			w.well()
			t.Logf("round %2d: %s, %s of %s: %s, caught up %s later", round+1, f.name, victim.Name, r.name, took, short(time.Since(caught)))
		}
		t.Logf("round %2d: %s; %s", round+1, w.judge(), w.retries())
		if t.Failed() {
			return
		}
	}
}

// victim returns the server that leads a stream, or one of the others.
func (w *world) victim(f *fault, r *road, rng *rand.Rand) *natstest.Node {
	w.t.Helper()
	leader, err := w.cluster.Leader(w.ctx, w.js, r.name)
	if err != nil {
		w.t.Fatal(err)
	}
	if f.leads {
		return leader
	}
	others := slices.DeleteFunc(slices.Clone(w.cluster.Nodes()), func(n *natstest.Node) bool { return n == leader })
	return others[rng.IntN(len(others))]
}

// suffer makes the fault, waits until whoever is not bound to the victim is served
// again, ends it, and waits for all. It says how long each took.
func (w *world) suffer(f *fault, victim *natstest.Node) string {
	w.t.Helper()
	begun := time.Now()
	victims := []*natstest.Node{victim}
	if f.halts {
		for _, n := range w.cluster.Nodes() {
			if n != victim {
				victims = append(victims, n)
				break
			}
		}
	}
	for _, v := range victims {
		f.begin(v)
	}
	fault := time.Since(begun)
	var apart []*source
	begun = time.Now()
	for _, s := range w.sources() {
		// While it is cut off, the victim's clients stay with it.
		if f.halts || victim.Running() && s.conn.ConnectedUrl() == victim.URL() {
			apart = append(apart, s)
			continue
		}
		w.streamed(s)
	}
	served := time.Since(begun)
	if f.halts {
		w.halted()
	}
	for _, v := range victims {
		f.end(v)
	}
	begun = time.Now()
	for _, s := range apart {
		w.streamed(s)
	}
	said := []string{"made in " + short(fault)}
	if n := len(w.sources()) - len(apart); n > 0 {
		said = append(said, fmt.Sprintf("streamed by the %d in reach after %s", n, short(served)))
	}
	if len(apart) > 0 {
		said = append(said, fmt.Sprintf("by the %d others %s after its end", len(apart), short(time.Since(begun))))
	}
	return strings.Join(said, ", ")
}

// halted returns when every emitter has events that JetStream does not acknowledge,
// and says why. Who waits for durable events is served meanwhile.
func (w *world) halted() {
	w.t.Helper()
	for _, s := range w.sources() {
		for {
			if err := s.emit(w.ctx, 1).Spooled(w.ctx); err != nil {
				w.t.Fatalf("%s does not serve while nothing is streamed: %v", s.name, err)
			}
			if state := s.em.State(); state.Behind > 0 && len(state.Troubles) > 0 {
				break
			}
		}
	}
}

// streamed returns when JetStream has acknowledged an event that is offered now.
func (w *world) streamed(s *source) {
	w.t.Helper()
	if err := s.emit(w.ctx, 1).Streamed(w.ctx); err != nil {
		w.t.Fatalf("%s: an event after the fault: %v; troubles: %v", s.name, err, s.em.State().Troubles)
	}
}

// well returns when every server and every copy is there and has caught up.
func (w *world) well() {
	w.t.Helper()
	if err := w.cluster.Healthy(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	if err := w.cluster.Current(w.ctx, w.js); err != nil {
		w.t.Fatal(err)
	}
}

func short(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }

// patience bounds a round, generously: it is no measurement. What is not well by then
// is lost. It ends that of the round before.
func (w *world) patience(last context.CancelFunc) (context.Context, context.CancelFunc) {
	if last != nil {
		last()
	}
	return context.WithTimeout(w.t.Context(), 5*time.Minute)
}
