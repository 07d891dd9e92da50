// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// readers scans from several goroutines while commits are made: each scan gives
// whole commits, all that were made before it began, whatever comes beside it. One
// follows by cursor, and gets each event once.
func (s Subject) readers(t *testing.T) {
	const commits = 12
	st := s.open(t, t.TempDir())
	acme, other := NewEpoch(t, "acme", "gateway-0"), NewEpoch(t, "other", "gateway-0")
	var batches [][]store.Entry // as they will be stored
	var all []store.Entry
	for n := range commits {
		b := slices.Concat(acme.Operation(), other.Operation())
		for i := range b {
			b[i].Commit, b[i].Pos = uint64(n+1), uint32(i)
		}
		batches, all = append(batches, b), append(all, b...)
	}
	var made atomic.Int64
	var wg sync.WaitGroup
	for _, q := range []store.Query{{}, {Descending: true, WithoutRaw: true}, {Tenant: "acme", Kinds: []string{profile.KindOutcome}}} {
		wg.Go(func() {
			for done := int64(0); done < commits; {
				done = made.Load()
				var got []string
				for e, err := range st.Scan(t.Context(), q) {
					if err != nil {
						t.Errorf("scan %+v: %v", q, err)
						return
					}
					got = append(got, e.Header.Fingerprint)
				}
				is := func(n int64) bool { return slices.Equal(got, fingerprints(apply(q, slices.Concat(batches[:n]...)))) }
				n := done
				for n < commits && !is(n) {
					n++
				}
				if !is(n) {
					t.Errorf("scan %+v behind commit %d gave %d events, which are no whole commits", q, done, len(got))
					return
				}
			}
		})
	}
	wg.Go(func() {
		var got []string
		for at := (store.Cursor{}); len(got) < len(all); {
			for e, err := range st.Scan(t.Context(), store.Query{After: at, Limit: 4}) {
				if err != nil {
					t.Errorf("follow: %v", err)
					return
				}
				got, at = append(got, e.Header.Fingerprint), store.Cursor{Commit: e.Commit, Pos: e.Pos}
			}
			if t.Failed() {
				return
			}
		}
		same(t, "what a cursor came by", fingerprints(all), got)
	})
	// One is in the midst of it all the time.
	commit(t, st, store.Batch{Entries: batches[0]})
	made.Add(1)
	next, stop := iter.Pull2(st.Scan(t.Context(), store.Query{}))
	defer stop()
	var held []string
	step := func() bool {
		e, err, ok := next()
		if ok && err != nil {
			t.Fatal(err)
		}
		if ok {
			held = append(held, e.Header.Fingerprint)
		}
		return ok
	}
	for _, b := range batches[1:] {
		step()
		if _, err := st.Commit(t.Context(), store.Batch{Entries: b}); err != nil {
			t.Errorf("commit: %v", err)
			break
		}
		made.Add(1)
	}
	for step() {
	}
	wg.Wait()
	same(t, "a scan that began before the others came", fingerprints(batches[0]), held)
}

// unfit commits an event that cannot be stored, and looks that nothing of its batch
// is, and that the store goes on.
func (s Subject) unfit(t *testing.T) {
	st := s.open(t, t.TempDir())
	e := NewEpoch(t, "acme", "gateway-0")
	good := e.Operation()
	bad := slices.Clone(good)
	bad[1].Header.Fingerprint = "no digest"
	b := store.Batch{Entries: bad, Quarantined: []store.Quarantined{{Data: []byte("x"), StreamSeq: 4}}, StreamSeq: 4}
	if _, err := st.Commit(t.Context(), b); !errors.Is(err, store.ErrUnfit) {
		t.Errorf("an event without a fingerprint: %v", err)
	}
	if n := len(scan(t, st, store.Query{})); n != 0 || st.StreamSeq() != 0 || len(st.Epochs()) != 0 {
		t.Errorf("%d events stored, stream sequence %d, epochs %v", n, st.StreamSeq(), st.Epochs())
	}
	b.Entries = good
	if c := commit(t, st, b); c.Number != 1 || len(c.Added) != 3 || c.Duplicates != 0 {
		t.Errorf("afterwards: %+v", c)
	}
}

// held reads what is in quarantine, and lets it come again, of a store that is a
// [store.Quarantine].
func (s Subject) held(t *testing.T) {
	st := s.open(t, t.TempDir())
	q, ok := st.(store.Quarantine)
	if !ok {
		t.Log("the store is no Quarantine: what it put aside cannot be read")
		return
	}
	list := func() []store.Held {
		var out []store.Held
		for h, err := range q.Quarantined(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, h)
		}
		return out
	}
	want := []store.Quarantined{
		{Subject: "a", Data: []byte("\x00\xffno event"), StreamSeq: 2, Reason: "not JSON", Headers: map[string][]string{"X": {"1", "2"}}},
		{Subject: "b", Data: []byte("forged"), StreamSeq: 3, Reason: "forged", Epoch: NewUID(), Sequence: 2},
		{Subject: "b", Data: []byte("forged"), StreamSeq: 4, Reason: "forged"},
	}
	commit(t, st, store.Batch{StreamSeq: 3, Quarantined: want[:2]})
	commit(t, st, store.Batch{StreamSeq: 4, Quarantined: want[2:]})
	got := list()
	var ids []string
	for i := range got {
		if ids = append(ids, got[i].ID); i < len(want) {
			same(t, "quarantined", want[i], got[i].Quarantined)
		}
	}
	if slices.Sort(ids); len(got) != 3 || len(slices.Compact(ids)) != 3 {
		t.Fatalf("%d messages in quarantine, with names %v", len(got), ids)
	}
	// It was put on the stream once more, and is as bad as it was.
	again := got[0].Quarantined
	again.StreamSeq, again.Headers = 9, map[string][]string{"X": {"1", "2"}, store.HeaderRequeued: {got[0].ID}}
	if c := commit(t, st, store.Batch{StreamSeq: 9, Quarantined: []store.Quarantined{again}}); c.Number != 0 || c.Duplicates != 1 {
		t.Errorf("the same once more: %+v", c)
	}
	other := again
	other.StreamSeq, other.Reason = 10, "bad in another way"
	if c := commit(t, st, store.Batch{StreamSeq: 10, Quarantined: []store.Quarantined{other}}); c.Number == 0 || c.Duplicates != 0 {
		t.Errorf("once more, for another reason: %+v", c)
	}
	if n := len(list()); n != 4 {
		t.Errorf("%d messages in quarantine, not 4", n)
	}
}
