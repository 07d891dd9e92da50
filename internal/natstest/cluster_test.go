// SPDX-License-Identifier: Apache-2.0

package natstest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A cluster's leader is killed, cut off, and comes back with an empty directory:
// each time another one leads, and what was acknowledged is there.
func TestCluster(t *testing.T) {
	c := RunCluster(t, Heartbeat(100*time.Millisecond))
	js := c.JetStream(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "TEST", Subjects: []string{"test"}, Replicas: Nodes}); err != nil {
		t.Fatal(err)
	}
	acked := uint64(0)
	publish := func() {
		t.Helper()
		for {
			try, cancel := context.WithTimeout(ctx, time.Second)
			_, err := js.Publish(try, "test", fmt.Append(nil, acked))
			cancel()
			if err == nil {
				acked++
				return
			}
			if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	leader := func() *Node {
		t.Helper()
		n, err := c.Leader(ctx, js, "TEST")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	well := func() {
		t.Helper()
		if err := c.Healthy(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.Current(ctx, js); err != nil {
			t.Fatal(err)
		}
	}
	for name, fault := range map[string]struct{ begin, end func(*Node) }{
		"killed":       {(*Node).Kill, (*Node).Start},
		"stopped":      {(*Node).Stop, (*Node).Start},
		"wiped":        {func(n *Node) { n.Kill(); n.Wipe() }, (*Node).Start},
		"cut off":      {func(n *Node) { n.Cut(false) }, (*Node).Heal},
		"out of reach": {func(n *Node) { n.Cut(true) }, (*Node).Heal},
	} {
		was := leader()
		publish()
		fault.begin(was)
		// The client may still be connected to it, and is served by nobody then.
		if was.Running() {
			js = jetStreamAt(t, c, was)
		}
		publish()
		if now := leader(); now == was {
			t.Errorf("%s: %s leads as before", name, now.Name)
		}
		fault.end(was)
		well()
		publish()
	}
	s, err := js.Stream(ctx, "TEST")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n < acked {
		t.Errorf("%d messages, %d were acknowledged", n, acked)
	}
}

// jetStreamAt begins at the server behind n.
func jetStreamAt(t *testing.T, c *Cluster, n *Node) jetstream.JetStream {
	t.Helper()
	for i := range c.nodes {
		if c.nodes[i] == n {
			js, err := jetstream.New(c.Conn(t, (i+1)%Nodes))
			if err != nil {
				t.Fatal(err)
			}
			return js
		}
	}
	t.Fatalf("no such server: %s", n.Name)
	return nil
}
