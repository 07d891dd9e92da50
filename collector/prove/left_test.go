// SPDX-License-Identifier: Apache-2.0

package prove

import (
	"bytes"
	"errors"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

// Events whose neighbours have left are proven as before, and so is one that has
// left itself by whoever kept its bytes. Of one of which nobody did, it is said
// that it may have left.
func TestLeft(t *testing.T) {
	h := newHouse(t).furnish()
	kept := map[string][]byte{}
	for e, err := range h.lake.Scan(t.Context(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		kept[e.Header.MetadataUID] = e.Raw
	}
	atOnce := func(put func(uint64) error) error { return put(0) }
	if done, err := h.lake.Compact(t.Context(), true, atOnce); err != nil {
		t.Fatal(err)
	} else {
		h.enter(done.Number)
	}
	e := retention.Erasure{Selection: retention.Selection{Tenant: "globex"}}
	erased, err := h.lake.Erase(t.Context(), e, nil, atOnce, func(retention.Left) {})
	if err != nil || erased.Rows == 0 {
		t.Fatalf("erased %+v, %v", erased, err)
	}
	h.enter(erased.Number)
	left := int64(0)
	for uid, raw := range kept {
		m, err := Make(t.Context(), h.dir, uid, Options{})
		if errors.Is(err, store.ErrNotFound) && errors.Is(err, ErrLeft) {
			left++
			m, err = Make(t.Context(), h.dir, "", Options{Event: raw})
			if err == nil && m.Left != lake.ReasonErasure {
				t.Errorf("it left by %q", m.Left)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := Check(m.Proof, h.vkey)
		if err != nil || p.UID != uid {
			t.Fatalf("the proof of %s: %+v, %v", uid, p, err)
		}
	}
	if left != erased.Rows {
		t.Errorf("%d events are not there, %d were erased", left, erased.Rows)
	}
	// A changed copy proves nothing, nor does one under another uid.
	for _, raw := range kept {
		bad := bytes.Replace(raw, []byte("CreateSandbox"), []byte("DeleteSandbox"), 1)
		if bytes.Equal(bad, raw) {
			continue
		}
		if _, err := Make(t.Context(), h.dir, "", Options{Event: bad}); err == nil {
			t.Error("a changed copy was proven")
		}
		if _, err := Make(t.Context(), h.dir, "no-such-event", Options{Event: raw}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("under another uid: %v", err)
		}
	}
}
