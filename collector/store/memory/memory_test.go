// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
)

// What is drawn in every run is a slice; -rapid.checks=1000 draws more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	flag.Parse()
	goleak.VerifyTestMain(m)
}

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Subject{
		Open: func(_ string, fault func(string) error) (storetest.Store, error) {
			return memory.New(memory.Options{Fault: fault}), nil
		},
		Volatile: true,
	})
}

func commit(t *testing.T, st *memory.Store, b store.Batch) store.Committed {
	t.Helper()
	c, err := st.Commit(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Each statement names the one before it, and can be derived from what is stored.
func TestStatements(t *testing.T) {
	now := time.UnixMilli(storetest.Start)
	st := memory.New(memory.Options{Now: func() time.Time { now = now.Add(-time.Second); return now }})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	commit(t, st, store.Batch{Entries: e.Operation(), StreamSeq: 3})
	commit(t, st, store.Batch{StreamSeq: 5, Quarantined: []store.Quarantined{{Data: []byte("x"), StreamSeq: 4}, {Data: []byte("y"), StreamSeq: 5}}})
	commit(t, st, store.Batch{Entries: e.Operation(), StreamSeq: 8, Fence: 7})
	prev, last, n := "", int64(0), uint64(0)
	for b, err := range st.Statements(1) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		var s memory.Statement
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatal(err)
		}
		prints := sha256.New()
		events := 0
		for e, err := range st.Scan(t.Context(), store.Query{AsOf: n, After: store.Cursor{Commit: n - 1, Pos: ^uint32(0)}}) {
			if err != nil {
				t.Fatal(err)
			}
			h, err := profile.Check(e.Raw)
			if err != nil || e.StoredTime.UnixMilli() != s.Time {
				t.Errorf("an event of commit %d: %v, stored at %v", n, err, e.StoredTime)
			}
			events++
			leaf, _ := hex.DecodeString(h.Fingerprint)
			prints.Write(leaf)
		}
		want := ""
		if events > 0 {
			want = hex.EncodeToString(prints.Sum(nil))
		}
		if s.Number != n || s.Prev != prev || s.Events != events || s.EventsDigest != want || s.Time < last || (s.Quarantined == 2) != (n == 2) || (s.Fence == 7) != (n == 3) {
			t.Errorf("statement %d: %s", n, b)
		}
		sum := sha256.Sum256(b)
		prev, last = hex.EncodeToString(sum[:]), s.Time
	}
	if n != 3 {
		t.Errorf("%d statements", n)
	}
}

// What goes in and out is nobody else's.
func TestSharesNothing(t *testing.T) {
	st := memory.New(memory.Options{})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	b := store.Batch{
		Entries: []store.Entry{e.Start()}, StreamSeq: 2,
		Quarantined: []store.Quarantined{{Data: []byte("data"), StreamSeq: 2, Headers: map[string][]string{"X": {"1"}}}},
	}
	want := string(b.Entries[0].Raw)
	c := commit(t, st, b)
	spoil := func(raw []byte) { raw[0] ^= 0xff }
	spoil(b.Entries[0].Raw)
	spoil(b.Quarantined[0].Data)
	b.Quarantined[0].Headers["X"][0] = "2"
	spoil(c.Added[0].Raw)
	st.Epoch(e.UID).Stored.Add(9)
	for range 2 {
		for e, err := range st.Scan(t.Context(), store.Query{}) {
			if err != nil || string(e.Raw) != want {
				t.Fatalf("%s, %v", e.Raw, err)
			}
			spoil(e.Raw)
		}
		for h, err := range st.Quarantined(t.Context()) {
			if err != nil || string(h.Data) != "data" || h.Headers["X"][0] != "1" {
				t.Fatalf("%+v, %v", h, err)
			}
			spoil(h.Data)
			h.Headers["X"][0] = "2"
		}
		for s, err := range st.Statements(1) {
			if err != nil || s[0] != '{' {
				t.Fatalf("%s, %v", s, err)
			}
			spoil(s)
		}
	}
	if set := st.Epoch(e.UID).Stored; set.Count() != 1 {
		t.Errorf("stored sequences %v", set)
	}
}

func TestClosed(t *testing.T) {
	st := memory.New(memory.Options{})
	commit(t, st, store.Batch{Entries: storetest.NewEpoch(t, "acme", "gateway-0").Operation(), StreamSeq: 3})
	n := 0
	for _, err := range st.Scan(t.Context(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 1 {
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n != 3 {
		t.Errorf("a scan that had begun gave %d events", n)
	}
	_, err := st.Commit(t.Context(), store.Batch{})
	errs := []error{err}
	for _, err := range st.Scan(t.Context(), store.Query{}) {
		errs = append(errs, err)
	}
	for _, err := range st.Statements(1) {
		errs = append(errs, err)
	}
	for _, err := range st.Quarantined(t.Context()) {
		errs = append(errs, err)
	}
	for _, err := range errs {
		if !errors.Is(err, memory.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	if len(errs) != 4 || len(st.Epochs()) != 0 || st.StreamSeq() != 0 || st.Close() != nil {
		t.Errorf("after Close: %d answers, epochs %v", len(errs), st.Epochs())
	}
}
