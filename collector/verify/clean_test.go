// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

// clean makes a directory by a story at random, in which nothing is lost or
// changed, and looks that verify finds nothing.
func clean(t *testing.T, dir string, rng *rand.Rand) {
	h := newEmpty(t, dir)
	// A ledger takes its time for each statement. Most are made at the end, as one
	// that is begun anew.
	whole := rng.IntN(10) == 0
	w := &wanderer{house: h, rng: rng, whole: whole}
	w.open()
	for range 1 + rng.IntN(12) {
		w.step()
	}
	w.flush()
	w.close()
	if !whole {
		h.ledgerAtOnce()
	}
	opts := Options{Key: h.key.Verifier(), Workers: 1 + rng.IntN(3)}
	for _, opts.Deep = range []bool{false, true} {
		if r := h.run(opts); r.Code() != CodeFine {
			t.Errorf("deep %v: %v\nafter %q", opts.Deep, r.Problems, w.did)
		}
	}
	if whole {
		w.open()
		if r := h.run(Options{}); r.Code() != CodeFine {
			t.Errorf("beside its owner: %v\nafter %q", r.Problems, w.did)
		}
		w.close()
	}
}

// ledgerAtOnce makes the ledger of all statements that are there.
func (h *house) ledgerAtOnce() {
	h.t.Helper()
	l, err := ledger.Open(context.Background(), filepath.Join(h.dir, "ledger"), h.key, ledger.Options{
		Statements: lake.Statements(filepath.Join(h.dir, "lake"), 1), Kept: filepath.Join(h.dir, keptPath), Adopt: true,
	})
	if err == nil {
		err = l.Close(context.Background())
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// A wanderer does to a house at random what a collector, its emitters and its
// operators do.
type wanderer struct {
	*house
	rng   *rand.Rand
	whole bool // with its ledger all the time
	alive []*hashChain
	sent  []store.Entry
	did   []string
}

func (w *wanderer) open() {
	w.t.Helper()
	if w.whole {
		w.house.open()
		return
	}
	var err error
	if w.key, err = ledger.OpenKey(filepath.Join(w.dir, "keys", "ledger.key"), filepath.Join(w.dir, "keys", "ledger.vkey")); err != nil {
		w.t.Fatal(err)
	}
	if w.lake, err = lake.Open(filepath.Join(w.dir, "lake"), lake.Options{Now: func() time.Time { return time.UnixMilli(w.now) }}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wanderer) close() {
	w.t.Helper()
	if w.whole {
		w.house.close()
		w.ledger = nil
		return
	}
	if err := w.lake.Close(); err != nil {
		w.t.Error(err)
	}
	w.lake = nil
}

// flush stores what is in the batch, with the messages of the stream in any order
// and some of them once more.
func (w *wanderer) flush() {
	w.t.Helper()
	w.sent = append(w.sent, w.batch.Entries...)
	for range w.rng.IntN(4) {
		if len(w.sent) > 0 {
			w.batch.Entries = append(w.batch.Entries, w.sent[w.rng.IntN(len(w.sent))])
		}
	}
	b := w.batch.Entries
	w.rng.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
	if number := w.store(); number > 0 {
		w.add(number)
	}
}

// someone returns an epoch that has not ended, with its index.
func (w *wanderer) someone() (int, *hashChain) {
	if len(w.alive) == 0 || len(w.alive) < 4 && w.rng.IntN(4) == 0 {
		w.alive = append(w.alive, w.begin(w.tenant(), fmt.Sprint("gw-", w.rng.IntN(2))))
	}
	i := w.rng.IntN(len(w.alive))
	return i, w.alive[i]
}

func (w *wanderer) tenant() string {
	return []string{"acme", "globex", "a/b=c", "..", "é\x01"}[w.rng.IntN(5)]
}

func (w *wanderer) step() {
	w.t.Helper()
	steps := []struct {
		name string
		do   func()
	}{
		{"events", func() {
			for range 1 + w.rng.IntN(3) {
				_, c := w.someone()
				w.outcomes(c, 1+w.rng.IntN(5))
			}
			w.flush()
		}},
		{"head", func() { _, c := w.someone(); w.state(c) }},
		{"stop", func() {
			i, c := w.someone()
			w.stop(c)
			w.alive = slices.Delete(w.alive, i, i+1)
			w.flush()
		}},
		{"crash", func() {
			i, c := w.someone()
			w.now += w.rng.Int64N(2000)
			w.alive[i] = w.begin(c.tenant, c.emitter, c)
			w.flush()
		}},
		{"quarantine", func() {
			w.stream++
			w.batch.Quarantined = append(w.batch.Quarantined, store.Quarantined{
				Subject: "docket.activity.x", Data: []byte(w.uid()), StreamSeq: w.stream, Reason: "undecodable",
			})
			w.flush()
		}},
		{"compact", func() {
			w.flush()
			done, err := w.lake.Compact(context.Background(), true, func(put func(uint64) error) error { return put(0) })
			w.stated(done.Number, err)
		}},
		{"erase", func() {
			w.flush()
			done, err := w.erasing(w.tenant())(func(put func(uint64) error) error { return put(0) })
			w.stated(done.Number, err)
		}},
		{"expire", w.expire},
		{"next day", func() { w.now += 24 * time.Hour.Milliseconds() }},
		{"restart", func() { w.close(); w.open() }},
	}
	s := steps[w.rng.IntN(len(steps))]
	w.did = append(w.did, s.name)
	s.do()
}

// stated gives the ledger what a compaction or a removal stated, if it did.
func (w *wanderer) stated(number uint64, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\nafter %q", err, w.did)
	}
	if number > 0 {
		w.add(number)
	}
}

func (w *wanderer) expire() {
	w.t.Helper()
	w.flush()
	w.now += w.rng.Int64N(40) * 24 * time.Hour.Milliseconds()
	policy, err := retention.ParsePolicy("forever", "tenant=globex 30d", "tenant=acme 35d")
	if err != nil {
		w.t.Fatal(err)
	}
	done, err := w.lake.Expire(context.Background(), retention.Terms{Policy: policy, Now: time.UnixMilli(w.now)}, func(put func(uint64) error) error { return put(0) })
	w.stated(done.Number, err)
}

// cleans makes so many clean directories, beginning with the one of a number. They
// are no tests of their own, of which there would be a line each; one in which
// something is found stays where it is.
func cleans(t *testing.T, first, n int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		dir, err := os.MkdirTemp("", "docket-clean-")
		if err != nil {
			t.Fatal(err)
		}
		clean(t, filepath.Join(dir, "data"), rand.New(rand.NewPCG(*tamperSeed, uint64(1000+i))))
		if t.Failed() {
			t.Fatalf("directory %d of seed %d (-tamper.seed), kept: %s", i, *tamperSeed, dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// Ten directories in which nothing is wrong; test-all makes 200, torture 10,000.
func TestClean(t *testing.T) { cleans(t, 0, max(2, 10/slower)) }
