// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// compacting makes every hot segment due at once.
func compacting(c *Config) { c.pollCompaction = time.Millisecond }

// until waits for a condition.
func (r *rig) until(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not in a minute: %s", what)
		}
	}
}

// hot counts the segments that are not compacted.
func hot(l *lake.Lake) (n int) {
	for _, f := range l.Files() {
		if !lake.Public(f.Path) {
			n++
		}
	}
	return n
}

// wantLedger looks that the ledger has each statement once, in their order.
func (r *rig) wantLedger(b *book) {
	r.t.Helper()
	n := 0
	for s, err := range lake.Statements(r.dir+"/lake", 1) {
		if err != nil {
			r.t.Fatal(err)
		}
		if n >= len(b.leaves) || b.leaves[n] != sha256.Sum256(s) {
			r.t.Fatalf("leaf %d is not of statement %d", n, n+1)
		}
		n++
	}
	if n != len(b.leaves) {
		r.t.Errorf("%d statements, %d leaves", n, len(b.leaves))
	}
}

// Compactions go on beside the flushes: everything is stored once, nothing stays
// hot, and of all statements the ledger has one leaf each, in their order.
func TestCompactsBesideFlushes(t *testing.T) {
	r := newRig(t)
	r.lakeOptions = lake.Options{CompactBytes: 1}
	var b book
	run := r.start(compacting, func(c *Config) { c.Ledger = &b })
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := []store.Entry{e.Start()}
	r.publish(sent...)
	for range 20 {
		more := e.Operation()
		r.publish(more...)
		sent = append(sent, more...)
	}
	r.drained(run)
	r.until("nothing is hot", func() bool { return hot(run.lake) == 0 })
	if s := run.Status(); s.Compaction != "" || s.Error != "" {
		t.Errorf("status %+v", s)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(sent)
	r.wantLedger(&b)
}

// A collector that is killed before or after the statement of a compaction, and
// the lake at every point of one, stores each event once, and the ledger has
// each statement.
func TestKilledWhileCompacting(t *testing.T) {
	r := newRig(t)
	var b book
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	var sent []store.Entry
	// Flushes and compactions, which run beside each other, ask for faults.
	var mu sync.Mutex
	points := map[string]bool{} // that were reached; guarded by mu
	for _, place := range []string{
		"before compaction", "after compaction", "public begin", "public written", "public renamed",
		"statement begin", "statement written", "statement renamed", "manifest begin", "manifest renamed", "remove begin",
	} {
		more := e.Operation()
		r.publish(more...)
		sent = append(sent, more...)
		publishing := false // only what a compaction does is killed; guarded by mu
		r.lakeOptions = lake.Options{CompactBytes: 1, Fault: func(point string) error {
			mu.Lock()
			defer mu.Unlock()
			publishing = publishing || strings.HasPrefix(point, "public")
			if point == place && publishing {
				points[place] = true
				return errKilled
			}
			return nil
		}}
		run := r.start(compacting, func(c *Config) {
			c.Ledger = &b
			c.reached = func(p string) error {
				if p == place {
					mu.Lock()
					defer mu.Unlock()
					points[place] = true
					return errKilled
				}
				return nil
			}
		})
		if strings.Contains(place, "compaction") {
			<-run.done
		} else {
			// That it is told is for another test: behind the statement there is nothing
			// left to be tried again, and the next look finds all well.
			r.until(place+" is reached", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return points[place]
			})
		}
		if err := run.stop(); err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("%s: %v", place, err)
		}
		mu.Lock()
		if !points[place] {
			t.Errorf("%s was not reached", place)
		}
		mu.Unlock()
	}
	r.lakeOptions = lake.Options{CompactBytes: 1}
	run := r.start(compacting, func(c *Config) { c.Ledger = &b })
	r.drained(run)
	r.until("nothing is hot", func() bool { return hot(run.lake) == 0 })
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(sent)
	r.wantLedger(&b)
}

// A compaction that cannot be made is told, and stops nothing.
func TestCompactionThatFailsIsTold(t *testing.T) {
	r := newRig(t)
	var mended atomic.Bool
	r.lakeOptions = lake.Options{CompactBytes: 1, Fault: func(point string) error {
		if strings.HasPrefix(point, "public") && !mended.Load() {
			return syscall.EIO
		}
		return nil
	}}
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	first, more := e.Operation(), e.Operation()
	r.publish(first...)
	run := r.start(compacting)
	r.until("the failure is told", func() bool { return strings.Contains(run.Status().Compaction, syscall.EIO.Error()) })
	r.publish(more...)
	r.drained(run)
	if s := run.Status(); !s.Connected || s.Error != "" || hot(run.lake) == 0 {
		t.Errorf("status %+v", s)
	}
	mended.Store(true)
	r.until("it is made after all", func() bool { return hot(run.lake) == 0 && run.Status().Compaction == "" })
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(append(first, more...))
}
