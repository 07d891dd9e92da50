// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/store"
)

// errKilled is what a kill looks like from within a commit.
var errKilled = errors.New("killed")

// A killer lets so many points of a commit pass, and kills it at the next one.
type killer struct {
	left   int // negative: never
	killed string
}

func (k *killer) fault(point string) error {
	if k.left < 0 {
		return nil
	}
	if k.left == 0 {
		k.killed = point
		return errKilled
	}
	k.left--
	return nil
}

// kills ends a commit at every point there is, once by a kill with a restart
// and once by an error after which the store goes on; then the batch comes again.
func (s Subject) kills(t *testing.T) {
	for _, restart := range []bool{true, false} {
		for n := 0; ; n++ {
			k := &killer{left: -1}
			killed := true
			t.Run(fmt.Sprintf("restart=%v/point=%d", restart, n), func(t *testing.T) {
				w := newWorld(t, t.TempDir(), s, k)
				defer w.close()
				e := NewEpoch(t, "acme", "gateway-0")
				w.commit(store.Batch{Entries: append([]store.Entry{e.Start()}, e.Operation()...), StreamSeq: 4})
				b := store.Batch{
					Entries: append(e.Operation(), e.Fork().Operation()...), StreamSeq: 12,
					Quarantined: []store.Quarantined{{Subject: "x", Data: []byte("y"), StreamSeq: 12, Reason: "z"}},
				}
				k.left, k.killed = n, ""
				killed = w.attempt(b, restart)
				k.left = -1
				w.commit(b)
				w.check()
			})
			if !killed {
				if n < s.leastPoints() {
					t.Fatalf("a commit has %d points only: does the store call fault?", n)
				}
				break
			}
		}
	}
}

// machine does at random what can happen to a store, and compares it with a
// model after each step.
func (s Subject) machine(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "store")
		if err != nil {
			r.Fatalf("make a directory: %v", err)
		}
		k := &killer{left: -1}
		w := newWorld(r, dir, s, k)
		defer w.close()
		for range 3 {
			w.epochs = append(w.epochs, NewEpoch(t, rapid.SampledFrom([]string{"acme", "other"}).Draw(r, "tenant"), "gateway-0"))
		}
		for range rapid.IntRange(1, 5).Draw(r, "steps") {
			b := w.batch(r)
			steps := []string{"commit", "commit", "reopen", "kill", "fail"}
			if _, ok := w.store.(store.Compactor); ok {
				steps = append(steps, "compact", "compact", "kill compaction", "fail compaction")
			}
			switch step := rapid.SampledFrom(steps).Draw(r, "step"); step {
			case "commit":
				w.commit(b)
			case "reopen":
				w.commit(b)
				w.reopen()
			case "kill":
				k.left = rapid.IntRange(0, 14).Draw(r, "point")
				w.attempt(b, true)
				k.left = -1
				w.maybeAgain(r, b)
			case "fail":
				k.left = rapid.IntRange(0, 14).Draw(r, "point")
				w.attempt(b, false)
				k.left = -1
				w.maybeAgain(r, b)
			case "compact":
				w.commit(b)
				w.compact(false)
			case "kill compaction", "fail compaction":
				w.commit(b)
				k.left = rapid.IntRange(0, 30).Draw(r, "point")
				w.compact(step == "kill compaction")
				k.left = -1
			}
			w.check()
		}
	})
}

// A world is a store and the model of what it should hold.
type world struct {
	t       TB
	subject Subject
	dir     string
	killer  *killer
	store   Store

	epochs []*Epoch
	sent   []store.Entry // all that was ever made, for sending again
	stream uint64

	model model
	// doubtful is a batch that was killed: it is stored as a whole, or not.
	doubtful *store.Batch
}

// A model is what a store should hold.
type model struct {
	events      []store.Entry // in order
	quarantined []string
}

// learn returns the model after a batch, and what is new of it.
func (m model) learn(b store.Batch) (after model, added []store.Entry, duplicates int) {
	after = model{slices.Clone(m.events), slices.Clone(m.quarantined)}
	for _, e := range b.Entries {
		if slices.ContainsFunc(after.events, func(o store.Entry) bool { return o.Header.Fingerprint == e.Header.Fingerprint }) {
			duplicates++
			continue
		}
		after.events = append(after.events, e)
		added = append(added, e)
	}
	for _, q := range b.Quarantined {
		if slices.Contains(after.quarantined, string(q.Data)) {
			duplicates++
			continue
		}
		after.quarantined = append(after.quarantined, string(q.Data))
	}
	return after, added, duplicates
}

func newWorld(t TB, dir string, s Subject, k *killer) *world {
	w := &world{t: t, subject: s, dir: dir, killer: k}
	w.reopen()
	return w
}

func (w *world) reopen() {
	w.t.Helper()
	w.close()
	st, err := w.subject.Open(w.dir, w.killer.fault)
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	w.store = st
	if w.subject.Volatile {
		w.model, w.doubtful = model{}, nil
	}
}

func (w *world) close() {
	w.t.Helper()
	if w.store == nil {
		return
	}
	if err := w.store.Close(); err != nil {
		w.t.Fatalf("close: %v", err)
	}
	w.store = nil
	if w.subject.Check != nil {
		// Right after a kill there may be half a commit about; a writer that
		// opens puts it in order first.
		st, err := w.subject.Open(w.dir, func(string) error { return nil })
		if err == nil {
			err = st.Close()
		}
		if err != nil {
			w.t.Fatalf("open again: %v", err)
		}
		w.subject.Check(w.t, w.dir)
	}
}

// batch makes what may come by the stream: new events of several epochs, some
// left out for now, some again, some in conflict, some that are no events.
func (w *world) batch(r *rapid.T) store.Batch {
	var b store.Batch
	for range rapid.IntRange(0, 4).Draw(r, "groups") {
		e := rapid.SampledFrom(w.epochs).Draw(r, "epoch")
		switch rapid.SampledFrom([]string{"new", "new", "new", "again", "conflict", "garbage"}).Draw(r, "what") {
		case "new":
			events := e.Operation()
			w.sent = append(w.sent, events...)
			if rapid.Bool().Draw(r, "out of order") {
				slices.Reverse(events)
			}
			b.Entries = append(b.Entries, events[rapid.IntRange(0, 2).Draw(r, "held back"):]...)
		case "again":
			if len(w.sent) > 0 {
				i := rapid.IntRange(0, len(w.sent)-1).Draw(r, "from")
				b.Entries = append(b.Entries, w.sent[i:min(i+5, len(w.sent))]...)
			}
		case "conflict":
			fork := e.Fork()
			e.Operation() // so that the fork's sequences are taken some day
			events := fork.Operation()
			w.sent = append(w.sent, events...)
			b.Entries = append(b.Entries, events...)
		case "garbage":
			w.stream++
			b.Quarantined = append(b.Quarantined, store.Quarantined{
				Subject: "x", Data: []byte(NewUID()), StreamSeq: w.stream, Reason: "garbage",
				Epoch: e.UID, Sequence: rapid.Int64Range(1, 20).Draw(r, "claim"),
			})
		}
	}
	b.Entries = slices.Clone(b.Entries)
	for i := range b.Entries {
		w.stream++
		b.Entries[i].StreamSeq = w.stream
	}
	b.StreamSeq = w.stream
	return b
}

// commit must succeed.
func (w *world) commit(b store.Batch) {
	w.t.Helper()
	got, err := w.store.Commit(context.Background(), b)
	if err != nil {
		w.t.Fatalf("commit: %v", err)
	}
	w.learn(b, got)
}

// learn puts a committed batch into the model. If the batch before it is in
// doubt, the store now shows what became of it.
func (w *world) learn(b store.Batch, got store.Committed) {
	w.t.Helper()
	before := []model{w.model}
	if w.doubtful != nil {
		stored, _, _ := w.model.learn(*w.doubtful)
		before = append(before, stored)
	}
	type outcome struct {
		Stored, Added []string
		Duplicates    int
	}
	have := outcome{fingerprints(w.scan()), fingerprints(got.Added), got.Duplicates}
	var diff string
	for _, m := range before {
		after, added, duplicates := m.learn(b)
		diff = cmp.Diff(outcome{fingerprints(after.events), fingerprints(added), duplicates}, have, cmpopts.EquateEmpty())
		if diff == "" {
			w.model, w.doubtful = after, nil
			return
		}
	}
	w.t.Fatalf("commit (-want +got):\n%s", diff)
}

// attempt commits what may be killed, and reports whether it was.
func (w *world) attempt(b store.Batch, restart bool) bool {
	w.t.Helper()
	got, err := w.store.Commit(context.Background(), b)
	if err == nil {
		w.learn(b, got)
		return false
	}
	if !errors.Is(err, errKilled) {
		w.t.Fatalf("commit: %v", err)
	}
	w.doubtful = &b
	if restart {
		w.killer.left = -1
		w.reopen()
	}
	return true
}

// maybeAgain sends a batch again, as a stream does that was not answered.
func (w *world) maybeAgain(r *rapid.T, b store.Batch) {
	if rapid.Bool().Draw(r, "again") {
		w.commit(b)
	}
}

func fingerprints(entries []store.Entry) []string {
	var out []string
	for i := range entries {
		out = append(out, entries[i].Header.Fingerprint)
	}
	return out
}

func (w *world) scan() []store.Entry {
	w.t.Helper()
	var out []store.Entry
	for e, err := range w.store.Scan(context.Background(), store.Query{}) {
		if err != nil {
			w.t.Fatalf("scan: %v", err)
		}
		out = append(out, e)
	}
	return out
}

// check compares the store with the model.
func (w *world) check() {
	w.t.Helper()
	if w.doubtful != nil {
		// A store that goes on after an error may know what became of it only
		// with the next commit.
		w.commit(store.Batch{StreamSeq: w.store.StreamSeq()})
	}
	stored := w.scan()
	if d := cmp.Diff(fingerprints(w.model.events), fingerprints(stored), cmpopts.EquateEmpty()); d != "" {
		w.t.Fatalf("stored (-want +got):\n%s", d)
	}
	place := store.Cursor{}
	sets := map[string]store.Intervals{}
	for i, e := range stored {
		if string(e.Raw) != string(w.model.events[i].Raw) {
			w.t.Errorf("event %d is not the bytes that came", i)
		}
		at := store.Cursor{Commit: e.Commit, Pos: e.Pos}
		if at.Compare(place) <= 0 {
			w.t.Errorf("event %d is at %v, the one before it at %v", i, at, place)
		}
		place = at
		set := sets[e.Header.Epoch]
		set.Add(e.Header.Sequence)
		sets[e.Header.Epoch] = set
	}
	for uid, set := range sets {
		if d := cmp.Diff(set, w.store.Epoch(uid).Stored); d != "" {
			w.t.Errorf("stored sequences of %s (-want +got):\n%s", uid, d)
		}
	}
}

var _ TB = testing.TB(nil)
