// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// compaction checks a store that is a [store.Compactor].
func (s Subject) compaction(t *testing.T) {
	st, err := s.Open(t.TempDir(), func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	_, ok := st.(store.Compactor)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Log("the store is no Compactor: what it took stays as it is")
		return
	}
	t.Run("compaction/queries", func(t *testing.T) { s.queries(t, true) })
	t.Run("compaction/duplicates", s.compactedDuplicates)
	t.Run("compaction/readers", s.compactedReaders)
	t.Run("compaction/fences", s.compactedFences)
	t.Run("compaction/kills", s.compactionKills)
}

// atOnce puts the new form in place without ado.
func atOnce(put func(fence uint64) error) error { return put(0) }

func compact(t testing.TB, st Store) store.Compacted {
	t.Helper()
	done, err := st.(store.Compactor).Compact(t.Context(), true, atOnce)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// compactedDuplicates sends again what is where a compaction put it, and in
// conflict with it.
func (s Subject) compactedDuplicates(t *testing.T) {
	dir := t.TempDir()
	st := s.open(t, dir)
	e := NewEpoch(t, "acme", "gateway-0")
	fork := e.Fork()
	first := e.Operation()
	commit(t, st, store.Batch{Entries: first, StreamSeq: 3})
	if done := compact(t, st); done.Number != 2 || done.Rows != 3 || done.Before == 0 || done.After == 0 {
		t.Errorf("compacted %+v", done)
	}
	if done := compact(t, st); done != (store.Compacted{}) {
		t.Errorf("compacted again %+v", done)
	}
	if c := commit(t, st, store.Batch{Entries: first, StreamSeq: 3}); c.Number != 0 || c.Duplicates != 3 {
		t.Errorf("the same again: %+v", c)
	}
	if c := commit(t, st, store.Batch{Entries: fork.Operation(), StreamSeq: 6}); len(c.Conflicts) != 3 || c.Number != 3 {
		t.Errorf("others in their place: commit %d, %d conflicts", c.Number, len(c.Conflicts))
	}
	compact(t, st)
	same(t, "conflicts", store.Intervals{{First: 1, Last: 3}}, st.Epoch(e.UID).Conflicts)
	if n := len(scan(t, st, store.Query{})); n != 6 || st.StreamSeq() != 6 {
		t.Errorf("%d events stored, not 6; stream sequence %d, not 6", n, st.StreamSeq())
	}
	n := 0
	for _, err := range st.Statements(1) {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d statements, not 4", n)
	}
}

// compactedReaders goes on with scans while what they read is compacted.
func (s Subject) compactedReaders(t *testing.T) {
	st := s.open(t, t.TempDir())
	acme, other := NewEpoch(t, "acme", "gateway-0"), NewEpoch(t, "other", "gateway-0")
	var all []store.Entry
	for range 3 {
		all = append(all, commit(t, st, store.Batch{Entries: slices.Concat(acme.Operation(), other.Operation())}).Added...)
	}
	type reading struct {
		q    store.Query
		next func() (store.Entry, error, bool)
		got  []store.Entry
	}
	var readings []*reading
	for _, q := range []store.Query{{}, {Descending: true}, {Tenant: "other"}, {Kinds: []string{profile.KindOutcome}, WithoutRaw: true}} {
		next, stop := iter.Pull2(st.Scan(t.Context(), q))
		defer stop()
		readings = append(readings, &reading{q: q, next: next})
	}
	step := func(r *reading) bool {
		e, err, ok := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			r.got = append(r.got, e)
		}
		return ok
	}
	for i := range 4 {
		for _, r := range readings {
			step(r)
		}
		if i%2 == 0 {
			compact(t, st)
		}
	}
	for _, r := range readings {
		for step(r) {
		}
		same(t, fmt.Sprintf("scan %+v", r.q), apply(r.q, all), r.got)
	}
}

// compactedFences lets an old holder of a lease compact.
func (s Subject) compactedFences(t *testing.T) {
	st := s.open(t, t.TempDir())
	e := NewEpoch(t, "acme", "gateway-0")
	commit(t, st, store.Batch{Entries: e.Operation(), Fence: 5})
	for name, put := range map[string]func(func(uint64) error) error{
		"old holder": func(put func(uint64) error) error { return put(4) },
		"refused":    func(func(uint64) error) error { return store.ErrFenced },
	} {
		if _, err := st.(store.Compactor).Compact(t.Context(), true, put); !errors.Is(err, store.ErrFenced) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if done, err := st.(store.Compactor).Compact(t.Context(), true, func(put func(uint64) error) error { return put(5) }); err != nil || done.Rows != 3 {
		t.Errorf("the holder compacted %+v: %v", done, err)
	}
	if c := commit(t, st, store.Batch{Entries: e.Operation(), Fence: 6}); c.Number != 3 {
		t.Errorf("commit %d, not 3", c.Number)
	}
}

// compactionKills ends a compaction at every point there is, as kills does a
// commit; the next one makes up for it.
func (s Subject) compactionKills(t *testing.T) {
	for _, restart := range []bool{true, false} {
		for n := 0; ; n++ {
			killed := true
			t.Run(fmt.Sprintf("restart=%v/point=%d", restart, n), func(t *testing.T) {
				k := &killer{left: -1}
				w := newWorld(t, t.TempDir(), s, k)
				defer w.close()
				acme, other := NewEpoch(t, "acme", "gateway-0"), NewEpoch(t, "other", "gateway-0")
				for range 2 {
					w.commit(store.Batch{Entries: slices.Concat(acme.Operation(), other.Operation()), StreamSeq: 6})
				}
				k.left = n
				killed = w.compact(restart)
				k.left = -1
				w.check()
				w.commit(store.Batch{Entries: append(acme.Operation(), other.Fork().Operation()...), StreamSeq: 14})
				w.compact(false)
				w.check()
			})
			if !killed {
				if n < 8 {
					t.Fatalf("a compaction has %d points only: does the store call fault?", n)
				}
				break
			}
		}
	}
}

// compact compacts what may be killed, and reports whether it was. Nothing that
// a reader sees may change, which check looks at.
func (w *world) compact(restart bool) (killed bool) {
	w.t.Helper()
	_, err := w.store.(store.Compactor).Compact(context.Background(), true, atOnce)
	if err == nil {
		return false
	}
	if !errors.Is(err, errKilled) {
		w.t.Fatalf("compact: %v", err)
	}
	if restart {
		w.killer.left = -1
		w.reopen()
	}
	return true
}
