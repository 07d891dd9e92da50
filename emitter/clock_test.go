// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// A clock that jumps an hour either way at each look. Nothing that is counted,
// waited for or linked goes by it: heads come at their intervals, sequences and
// the hash chain hold, every uid is unique, gaps are stated, all is published.
func TestClockJumps(t *testing.T) {
	s := natstest.Run(t)
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(7, 7))
	jump := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Round(0).Add(time.Duration(r.IntN(3)-1) * time.Hour)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	fs := new(faultFS)
	e := start(t, t.TempDir(), s.Conn(t), func(c *Config) {
		c.Now, c.Key, c.HeadEvery, c.HeadInterval = jump, key, 1<<40, 20*time.Millisecond
		c.WALFileBytes, c.QueueBytes, c.FS = minFileBytes, 40<<10, fs
	})
	for i := range 100 {
		if err := e.Emit(t.Context(), event("acme", fmt.Sprint(i))).Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	own := e.State().Own
	for range 3 {
		last := e.Emit(t.Context(), event("acme", "for a head"))
		if err := last.Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
		until(t, "a head by time", func() bool { return e.State().Own > own })
		own = e.State().Own
	}
	gate := make(chan struct{})
	fs.set(func(op, _ string) (error, bool) {
		if op == "sync" {
			<-gate
		}
		return nil, false
	})
	for range 200 {
		e.Emit(t.Context(), event("acme", ""))
	}
	close(gate)
	until(t, "the gap stated", func() bool { s := e.State(); return s.Refused > 0 && s.Declared == s.Refused })
	if age := e.State().QueueAge; age < 0 || age > 10*time.Minute {
		t.Errorf("the queue's age is %v", age)
	}
	e.close()
	all := onStream(t, js)
	if n := len(audit(t, all)); n != 1 {
		t.Errorf("%d epochs", n)
	}
	uids, back := map[string]bool{}, 0
	last := int64(0)
	for _, m := range all {
		uids[m.MetadataUID] = true
		if m.Kind != profile.KindLifecycle {
			continue
		}
		if m.Time < last {
			back++
		}
		last = m.Time
	}
	if len(uids) != len(all) || back == 0 {
		t.Errorf("%d uids of %d events; the clock went back %d times", len(uids), len(all), back)
	}
}
