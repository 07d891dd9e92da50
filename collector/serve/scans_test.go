// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"testing"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// One caller reads so much at a time and no more, all so much, and who ends makes
// room for who waits.
func TestScansAreBounded(t *testing.T) {
	var all scans
	ended, end := context.WithCancel(t.Context())
	end()
	var leave []func()
	admit := func(who string, most int) {
		t.Helper()
		for range most {
			l, err := all.enter(ended, &authz.Grant{Subject: who})
			if err != nil {
				t.Fatalf("%s: %d readings: %v", who, len(leave), err)
			}
			leave = append(leave, l)
		}
		if _, err := all.enter(ended, &authz.Grant{Subject: who}); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: one more: %v", who, err)
		}
	}
	admit("ann", maxCallerScans)
	admit("gus", maxScans-maxCallerScans)
	if _, err := all.enter(ended, &authz.Grant{Subject: "ray"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("beyond all: %v", err)
	}

	waiting := make(chan func())
	for range maxCallerQueued - maxCallerScans {
		go func() {
			l, err := all.enter(context.Background(), &authz.Grant{Subject: "ann"})
			if err != nil {
				t.Error(err)
			}
			waiting <- l
		}()
	}
	queued := func() int {
		all.mu.Lock()
		defer all.mu.Unlock()
		return all.of[authzKey{subject: "ann"}].n
	}
	for queued() < maxCallerQueued {
		runtime.Gosched()
	}
	if _, err := all.enter(t.Context(), &authz.Grant{Subject: "ann"}); !errors.Is(err, ErrBusy) {
		t.Errorf("beyond those who may wait: %v", err)
	}
	for _, l := range leave {
		l()
	}
	for range maxCallerQueued - maxCallerScans {
		(<-waiting)()
	}
	if len(all.slots) != 0 || len(all.of) != 0 {
		t.Errorf("%d are left, of %v", len(all.slots), all.of)
	}
}

// A watchedStore says how many readings are counted while it is read.
type watchedStore struct {
	store.Reader

	scans *scans
	seen  []int
}

func (w *watchedStore) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	w.seen = append(w.seen, len(w.scans.slots))
	return w.Reader.Scan(ctx, q)
}

// Every request that reads the store is one of those that are counted.
func TestRequestsAreScans(t *testing.T) {
	w := &watchedStore{Reader: memory.New(memory.Options{})}
	s := New(Config{Store: w, Commits: func() uint64 { return 1 }})
	defer s.Close()
	w.scans = &s.scans
	c := s.Client(authz.Trusted("admin", authz.BySecret), "here")
	for name, ask := range map[string]func(context.Context) error{
		"SearchEvents": func(ctx context.Context) error {
			_, err := c.SearchEvents(ctx, &auditv1.SearchEventsRequest{})
			return err
		},
		"ListOperations": func(ctx context.Context) error {
			_, err := c.ListOperations(ctx, &auditv1.ListOperationsRequest{})
			return err
		},
		"Stats": func(ctx context.Context) error { _, err := c.Stats(ctx, &auditv1.StatsRequest{}); return err },
		"GetEvent": func(ctx context.Context) error {
			_, err := c.GetEvent(ctx, &auditv1.GetEventRequest{Uid: "x"})
			return err
		},
		"GetOperation": func(ctx context.Context) error {
			_, err := c.GetOperation(ctx, &auditv1.GetOperationRequest{Uid: "x"})
			return err
		},
		"ListPlans": func(ctx context.Context) error { _, err := c.ListPlans(ctx, &auditv1.ListPlansRequest{}); return err },
	} {
		w.seen = nil
		err := ask(t.Context())
		if len(w.seen) == 0 {
			t.Errorf("%s reads nothing: %v", name, err)
		}
		for _, n := range w.seen {
			if n != 1 {
				t.Errorf("%s reads while %d are counted", name, n)
			}
		}
	}
	if len(s.scans.slots) != 0 || len(s.scans.of) != 0 {
		t.Errorf("%d are left, of %v", len(s.scans.slots), s.scans.of)
	}
}
