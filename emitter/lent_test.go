// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/docket-audit/docket/ocsf"
)

// A lent event notes that it was released, and holds nothing any more.
type lent struct {
	ocsf.APIActivity
	released *atomic.Int64
}

func (l *lent) Release() {
	l.APIActivity = ocsf.APIActivity{}
	l.released.Add(1)
}

// TestLentEventsAreReleased emits events that lend their memory: each is released
// once, none before it is encoded, and one that is no event is not.
func TestLentEventsAreReleased(t *testing.T) {
	dir := t.TempDir()
	em, err := New(Config{Dir: dir, Name: "gateway-0"})
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	counts := make([]atomic.Int64, n)
	receipts := make([]Receipt, n)
	for i := range receipts {
		e := &lent{released: &counts[i]}
		e.APIActivity = *event("acme", fmt.Sprint(i))
		if i == n/2 {
			e.Metadata.Version = "0.0.0" // of which there are no events
		}
		receipts[i] = em.Emit(t.Context(), e)
	}
	for i, r := range receipts {
		if err := r.Spooled(within(t)); (err != nil) != (i == n/2) {
			t.Errorf("event %d: %v", i, err)
		}
	}
	if err := em.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	for i := range counts {
		want := int64(1)
		if i == n/2 {
			want = 0
		}
		if got := counts[i].Load(); got != want {
			t.Errorf("event %d is released %d times, want %d", i, got, want)
		}
	}
	for _, h := range spooledEvents(t, dir) {
		if h.Kind == "" || h.MetadataUID == "" {
			t.Errorf("released before it was encoded: %+v", h)
		}
	}
}
