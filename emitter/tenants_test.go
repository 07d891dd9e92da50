// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"
	"testing"
)

// With more tenants than there may be epochs, those that are idle for longest are
// ended with a stop event, and begin anew when they come back. Nothing is open
// after a stop, and after a crash no more than there may be.
func TestManyTenants(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, Name: "gateway-0", WALFileBytes: minFileBytes}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	// Its sequencer is done: another, with less room, writes in its place.
	full := cfg.withDefaults()
	rec, err := recoverWAL(dir)
	if err != nil {
		t.Fatal(err)
	}
	if e.wal, err = openWAL(&full, rec); err != nil {
		t.Fatal(err)
	}
	const most, tenants = 16, 100
	s := newSequencer(e, nil)
	s.most = most
	for i := range 3 * tenants {
		tenant := fmt.Sprint("tenant-", i%tenants)
		if i%2 == 0 {
			tenant = "busy"
		}
		if _, err := s.put(event(tenant, fmt.Sprint(i)), 0, nil); err != nil {
			t.Fatal(err)
		}
		s.flush()
		if len(s.epochs) > most || len(s.next.ended)+len(s.next.touched) != 0 || len(s.states()) > most {
			t.Fatalf("%d epochs, %d ended, %d in headers", len(s.epochs), len(s.next.ended), len(s.states()))
		}
	}
	if err := e.wal.close(); err != nil {
		t.Fatal(err)
	}
	// As a crash leaves it.
	rec, records := readBack(t, dir)
	if n := len(rec.epochs); n == 0 || n > most {
		t.Errorf("%d epochs are open after a crash", n)
	}
	begun, ended, busy := 0, 0, map[string]bool{}
	last := map[string]int64{}
	for _, r := range records {
		if r.sequence != last[r.epoch]+1 {
			t.Fatalf("sequence %d follows %d", r.sequence, last[r.epoch])
		}
		last[r.epoch] = r.sequence
		begun += int(r.flags & flagOpens)
		ended += int(r.flags&flagCloses) / flagCloses
		if tenantOf(r.raw) == "busy" {
			busy[r.epoch] = true
		}
	}
	if begun < tenants || begun-ended != len(rec.epochs) || len(busy) != 1 {
		t.Errorf("%d epochs began, %d ended, %d are open; the busy tenant had %d", begun, ended, len(rec.epochs), len(busy))
	}
	again, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if rec, err = recoverWAL(dir); err != nil || len(rec.epochs) != 0 {
		t.Errorf("%d epochs are open after the next start, %v", len(rec.epochs), err)
	}
}
