// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// told gathers what is told, sealed as an emitter would, so that it is judged
// like any other event.
type told struct {
	mu  sync.Mutex
	all []ocsf.Event // guarded by mu
}

func (o *told) tell(_ context.Context, e ocsf.Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, e)
	return nil
}

// texts returns the events as an emitter would seal them.
func (o *told) texts(t *testing.T) (texts []string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	own := storetest.NewEpoch(t, profile.TenantDocket, "docket")
	for _, e := range o.all {
		e.(*ocsf.ApplicationLifecycle).App = &ocsf.Product{Name: "docket"} // as an emitter does
		entry := own.Seal(e)
		report, err := ocsf.Validate(entry.Raw, ocsf.DefaultVersion, ocsf.ModeServer)
		if err != nil || len(report.Errors)+len(report.Warnings) > 0 {
			t.Errorf("OCSF: %+v, %v", report, err)
		}
		texts = append(texts, string(entry.Raw))
	}
	return texts
}

// A collector that is asked to erases beside its flushes, as far as no hold is in
// the way, lets expire what is due, and tells all of it in events that name
// nobody; and after a start it goes on where it was, though events are gone.
func TestRetains(t *testing.T) {
	r := newRig(t)
	r.lakeOptions = lake.Options{CompactBytes: 1}
	path := filepath.Join(r.dir, "retention.json")
	policy, err := retention.ParsePolicy("forever", "tenant=old 1d")
	if err != nil {
		t.Fatal(err)
	}
	kept, err := retention.Open(path, policy, retention.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var leaves book
	var said told
	var ahead atomic.Int64 // days, of the collector's clock
	with := func(c *Config) {
		c.Ledger, c.Retention, c.Tell = &leaves, kept, said.tell
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * 24 * time.Hour) }
	}
	run := r.start(compacting, with)
	acme, old := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "old", "gateway-0")
	sent := append([]store.Entry{acme.Start()}, acme.Operation()...)
	sent = append(append(sent, old.Operation()...), old.Operation()...)
	r.publish(sent...)
	r.drained(run)
	who, err := retention.ParseSubject("user:user-3")
	if err != nil {
		t.Fatal(err)
	}
	erase := retention.Erasure{Selection: retention.Selection{Subject: who}, Reference: "ticket 7", By: "root"}
	var hold retention.Hold
	place := func(book *retention.Book, now time.Time) (err error) {
		hold, err = book.Add(retention.Hold{Selection: retention.Selection{Tenant: "old"}, Reason: "case 1"}, now)
		return err
	}
	if err := run.Hold(t.Context(), place); err != nil {
		t.Fatal(err)
	}
	none := func(retention.Left) {}
	done, err := run.Erase(t.Context(), erase, none)
	if err != nil || done.Rows != 1 || done.Held != 1 {
		t.Fatalf("erased %+v: %v", done, err)
	}
	ahead.Store(6)
	if done, err := run.Expire(t.Context(), false, none); err != nil || done.Rows != 0 || done.Held != 6 {
		t.Errorf("expired under a hold %+v: %v", done, err)
	}
	if err := run.Hold(t.Context(), func(book *retention.Book, now time.Time) error {
		_, err := book.Remove(hold.ID, "closed", "root", now)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if done, err := run.Expire(t.Context(), false, none); err != nil || done.Rows != 6 || done.Held != 0 {
		t.Errorf("expired %+v: %v", done, err)
	}
	ahead.Store(100)
	if _, err := run.Expire(t.Context(), false, none); !errors.Is(err, retention.ErrClock) {
		t.Errorf("a clock that has leapt: %v", err)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	texts := said.texts(t)
	if len(texts) != 4 {
		t.Fatalf("%d events were told, not 4: %v", len(texts), texts)
	}
	for i, want := range []string{`"lifecycle":"hold_added"`, `"reference":"ticket 7"`, `"lifecycle":"hold_removed"`, `"rules":{"tenant=old 1d":6}`} {
		if !strings.Contains(texts[i], want) || strings.Contains(texts[i], "user-3") {
			t.Errorf("event %d: %s", i, texts[i])
		}
	}
	r.wantLedger(&leaves)

	// The snapshot is gone, so that every epoch is read again; nothing is told
	// twice, and the epoch of which an event is gone goes on to its end.
	run = r.start(compacting, with)
	more := append(acme.Operation(), acme.Stop())
	r.publish(more...)
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(said.texts(t)); n != 4 {
		t.Errorf("%d events were told in the end, not 4", n)
	}
	f, err := run.epochs.read(t.Context(), acme.UID)
	if err != nil || !f.complete() || len(f.found) > 0 {
		t.Errorf("the epoch is followed to %d of %d, found %+v: %v", f.next-1, f.last, f.found, err)
	}
}

// Whenever a collector ends while it erases, what was asked for is done once, the
// ledger has it, and it is told once.
func TestKilledWhileErasing(t *testing.T) {
	r := newRig(t)
	r.lakeOptions = lake.Options{CompactBytes: 1}
	kept, err := retention.Open(filepath.Join(r.dir, "retention.json"), retention.Policy{}, retention.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var leaves book
	var said told
	with := func(c *Config) { c.Ledger, c.Retention, c.Tell = &leaves, kept, said.tell }
	who, err := retention.ParseSubject("user:user-3")
	if err != nil {
		t.Fatal(err)
	}
	erase := retention.Erasure{Selection: retention.Selection{Subject: who}, Reference: "ticket 7", By: "root"}
	none := func(retention.Left) {}
	var want []store.Entry
	for i, place := range []string{"before removal", "after removal"} {
		e := storetest.NewEpoch(t, "acme", "gateway-0")
		sent := append([]store.Entry{e.Start()}, e.Operation()...)
		r.publish(sent...)
		for _, entry := range sent {
			if entry.Header.Principal != "user-3" {
				want = append(want, entry)
			}
		}
		if len(want) != (i+1)*(len(sent)-1) {
			t.Fatalf("%d events are to stay of %d", len(want), (i+1)*len(sent))
		}
		run := r.start(compacting, with, func(c *Config) {
			c.reached = func(p string) error {
				if p == place {
					return errKilled
				}
				return nil
			}
		})
		r.drained(run)
		if _, err := run.Erase(t.Context(), erase, none); !errors.Is(err, errKilled) {
			t.Fatalf("%s: %v", place, err)
		}
		<-run.done
		if err := run.stop(); !errors.Is(err, errKilled) {
			t.Fatalf("%s: Run returned %v", place, err)
		}
		run = r.start(compacting, with)
		r.drained(run)
		done, err := run.Erase(t.Context(), erase, none)
		if rows := int64(1 - i); err != nil || done.Rows != rows {
			t.Errorf("%s: then %d rows, not %d: %v", place, done.Rows, rows, err)
		}
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		r.wantExactly(want)
		r.wantLedger(&leaves)
		if n := len(said.texts(t)); n != i+1 {
			t.Errorf("%s: %d events were told, not %d", place, n, i+1)
		}
	}
}

// A removal whose statement came into force while its disk failed is in the ledger
// before the next one has its warrant: of all statements at most one has no leaf.
func TestErasesBehindAFailure(t *testing.T) {
	r := newRig(t)
	key, err := ledger.OpenKey(filepath.Join(r.dir, "ledger.key"), filepath.Join(r.dir, "ledger.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := ledger.Open(t.Context(), filepath.Join(r.dir, "ledger"), key, ledger.Options{Removes: lake.Removes})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = leaves.Close(context.Background()) }()
	var fails atomic.Bool
	warrants := 0
	r.lakeOptions = lake.Options{
		CompactBytes: 1,
		Warrant: func(b []byte) error {
			warrants++
			return leaves.Warrant(b)
		},
		Fault: func(point string) error {
			if point == "statement renamed" && fails.CompareAndSwap(true, false) {
				return errors.New("the disk fails")
			}
			return nil
		},
	}
	kept, err := retention.Open(filepath.Join(r.dir, "retention.json"), retention.Policy{}, retention.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var said told
	run := r.start(compacting, func(c *Config) { c.Ledger, c.Retention, c.Tell = leaves, kept, said.tell })
	e, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "other", "gateway-0")
	r.publish(append(e.Operation(), other.Operation()...)...)
	r.drained(run)
	none := func(retention.Left) {}
	// What is hot is compacted, so that the failure meets the removal.
	if _, err := run.Erase(t.Context(), retention.Erasure{Selection: retention.Selection{Tenant: "nobody"}}, none); err != nil {
		t.Fatal(err)
	}
	fails.Store(true)
	if _, err := run.Erase(t.Context(), retention.Erasure{Selection: retention.Selection{Tenant: "acme"}}, none); err == nil || fails.Load() {
		t.Fatalf("it did not fail: %v", err)
	}
	if done, err := run.Erase(t.Context(), retention.Erasure{Selection: retention.Selection{Tenant: "other"}}, none); err != nil || done.Rows != 3 {
		t.Fatalf("the next one: %+v, %v", done, err)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if warrants != 2 {
		t.Errorf("%d warrants", warrants)
	}
	r.wantExactly(nil)
	if n, err := leaves.Ensure(t.Context(), lake.Statements(filepath.Join(r.dir, "lake"), 1)); n != 0 || err != nil {
		t.Errorf("the ledger lacks %d statements: %v", n, err)
	}
}

// Nothing is done by a collector that has no book.
func TestRetainsNothing(t *testing.T) {
	r := newRig(t)
	run := r.start()
	if _, err := run.Expire(t.Context(), true, nil); !errors.Is(err, ErrNoRetention) {
		t.Errorf("expire: %v", err)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
}
