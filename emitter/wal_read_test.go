// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Records may be of any length after any others: none is passed over, and no more of a
// file is read than a batch may take, but for a record that is longer.
func TestReadLongAfterShort(t *testing.T) {
	const want, most = 3, 16 << 10
	cfg := testConfig(t.TempDir(), 1<<20)
	p := &epoch{state: epochState{Epoch: newUID(), Tenant: "acme"}}
	var list []record
	for i := range 120 {
		payload := fmt.Sprint("payload ", i)
		switch {
		case i%30 == 29:
			payload = strings.Repeat(payload, 2*most/len(payload))
		case i%7 == 6 || i >= 90 && i < 100:
			payload = strings.Repeat(payload, most/4/len(payload))
		}
		e := event("acme", payload)
		e.Metadata.UID = newUID()
		r, err := p.seal(e, cfg)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	list[0].flags = flagOpens
	w := writeWAL(t, cfg.Dir, cfg.WALFileBytes, slices.Collect(slices.Chunk(list, 10))...)
	r := walReader{w: w}
	defer r.close()
	var got []record
	for at := w.begin(); ; {
		c, err := r.read(at, want, most)
		if err != nil {
			t.Fatal(err)
		}
		if c.next == at {
			break
		}
		if len(c.damage) > 0 {
			t.Fatalf("damage: %v", c.damage)
		}
		// An event is a part of what was read.
		if n, first := cap(c.records[0].raw), len(c.records[0].raw); n > max(most, 3*first) {
			t.Errorf("%d bytes were read for %d records from event %d on, of %d bytes", n, len(c.records), len(got), first)
		}
		for _, rec := range c.records {
			rec.raw = bytes.Clone(rec.raw)
			got = append(got, rec)
		}
		r.again(c.memory)
		at = c.next
	}
	if diff := diffRecords(list, got); diff != "" {
		t.Error(diff)
	}
}
