// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
)

// A lease changes by compare-and-set alone, also where it was deleted or is
// nonsense.
func TestLease(t *testing.T) {
	ctx := t.Context()
	js := natstest.Run(t).JetStream(t)
	var missing *MissingError
	if _, err := LeaseBucket(ctx, js); !errors.As(err, &missing) {
		t.Fatalf("the bucket before it was made: %v", err)
	}
	for range 2 {
		if err := ApplyLeases(ctx, js); err != nil {
			t.Fatal(err)
		}
	}
	kv, err := LeaseBucket(ctx, js)
	if err != nil {
		t.Fatal(err)
	}
	get := func() Lease {
		t.Helper()
		l, err := GetLease(ctx, kv, "lake")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := get(); l != (Lease{}) || !l.Free() {
		t.Errorf("the lease of nobody: %+v", l)
	}
	a := Lease{Holder: "a", ID: "1", Term: "x", Fence: 1, TTL: 15_000, Since: 7}
	if a.Revision, err = PutLease(ctx, kv, "lake", a, 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, get()); diff != "" {
		t.Errorf("-put +got:\n%s", diff)
	}
	for _, was := range []uint64{0, a.Revision + 1} {
		if _, err := PutLease(ctx, kv, "lake", Lease{Holder: "b"}, was); !errors.Is(err, ErrLeaseChanged) {
			t.Errorf("replacing revision %d: %v", was, err)
		}
	}
	if _, err := PutLease(ctx, kv, "lake", Lease{Fence: 1, TTL: 1}, a.Revision); err != nil {
		t.Fatal(err)
	}
	if l := get(); !l.Free() || l.Fence != 1 || l.Revision <= a.Revision {
		t.Errorf("given back: %+v", l)
	}
	if err := kv.Delete(ctx, "lake"); err != nil {
		t.Fatal(err)
	}
	if l := get(); l != (Lease{}) {
		t.Errorf("deleted: %+v", l)
	}
	if _, err := PutLease(ctx, kv, "lake", a, 0); err != nil {
		t.Errorf("after it was deleted: %v", err)
	}
	if _, err := kv.PutString(ctx, "lake", "nonsense"); err != nil {
		t.Fatal(err)
	}
	if l := get(); l.TTL != 0 || l.Revision == 0 {
		t.Errorf("nonsense: %+v", l)
	}
	for _, store := range []string{"", "a.b", "*"} {
		if _, err := GetLease(ctx, kv, store); !errors.Is(err, ErrName) {
			t.Errorf("of store %q: %v", store, err)
		}
		if _, err := PutLease(ctx, kv, store, a, 0); !errors.Is(err, ErrName) {
			t.Errorf("of store %q: %v", store, err)
		}
	}
}

// A server of a cluster has a code of its own for a lease that has changed.
func TestLeaseConflict(t *testing.T) {
	for code, want := range map[jetstream.ErrorCode]bool{
		jetstream.JSErrCodeStreamWrongLastSequence: true, jetstream.JSErrCodeStreamWrongLastSequenceConstant: true, jetstream.JSErrCodeStreamNotFound: false,
	} {
		if got := isConflict(&jetstream.APIError{ErrorCode: code}); got != want {
			t.Errorf("code %d is a conflict: %v", code, got)
		}
	}
}
