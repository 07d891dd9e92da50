// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"crypto/sha256"
	"testing"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// A collector fills a store in memory, and a ledger follows. A new store, which
// knows of nothing, takes all that the stream still has.
func TestIntoMemory(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(sent...)
	for life := range 2 {
		var b book
		st := memory.New(memory.Options{})
		run := r.start(func(c *Config) { c.Store, c.Ledger = st, &b })
		r.drained(run)
		more := e.Operation()
		r.publish(more...)
		r.publish(more...)
		sent = append(sent, more...)
		r.drained(run)
		if s := run.Status(); len(s.Epochs) != 1 || s.Epochs[0].Stored != int64(len(sent)) || s.Epochs[0].InFlight != 0 {
			t.Errorf("life %d: status %+v", life, s)
		}
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for e, err := range st.Scan(t.Context(), store.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(e.Raw))
		}
		for i := range max(len(sent), len(got)) {
			if i >= len(sent) || i >= len(got) || got[i] != string(sent[i].Raw) {
				t.Fatalf("life %d: event %d is another: %d stored of %d", life, i, len(got), len(sent))
			}
		}
		n := 0
		for s, err := range st.Statements(1) {
			if err != nil || n >= len(b.leaves) || b.leaves[n] != sha256.Sum256(s) {
				t.Fatalf("life %d: leaf %d of %d is not of statement %d (%v)", life, n, len(b.leaves), n+1, err)
			}
			n++
		}
		if n != len(b.leaves) {
			t.Errorf("life %d: %d statements, %d leaves", life, n, len(b.leaves))
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
