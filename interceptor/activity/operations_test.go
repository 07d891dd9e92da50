// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"cmp"
	"errors"
	"slices"
	"testing"

	"github.com/docket-audit/docket/interceptor/activity"
)

// TestOperationsOutOfOrder reads events that come twice, late, or not at all.
func TestOperationsOutOfOrder(t *testing.T) {
	s := story(t)
	var events [][]byte
	for i := range s.raw { // all backwards, and each twice
		events = append(events, s.raw[len(s.raw)-1-i], s.raw[len(s.raw)-1-i])
	}
	n := 0
	for op, err := range activity.Operations(func(yield func([]byte, error) bool) {
		for _, raw := range events {
			if !yield(raw, nil) {
				return
			}
		}
	}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if !slices.IsSortedFunc(op.Evaluations, func(x, y activity.Evaluation) int {
			return cmp.Or(cmp.Compare(x.Phase, y.Phase), cmp.Compare(x.Index, y.Index))
		}) {
			t.Errorf("evaluations of operation %s are not in the order of the calls", op.UID)
		}
		for _, e := range op.Evaluations {
			if e.Missing != "" || (e.Result == nil) == (e.Failure == nil) {
				t.Errorf("evaluation %s: missing %q", e.UID, e.Missing)
			}
		}
	}
	if n != 5 {
		t.Errorf("%d operations, want 5", n)
	}
	// Errors are told, with their place, and do not end the reading.
	broken := errors.New("disk error")
	var errs, ops int
	for op, err := range activity.Operations(func(yield func([]byte, error) bool) {
		_ = yield([]byte("{"), nil) && yield(nil, broken) && yield(s.raw[0], nil)
	}) {
		if err != nil {
			errs++
		} else {
			ops++
			if op.Outcome != nil || op.Request == nil {
				t.Errorf("a cut off operation: %+v", op)
			}
		}
	}
	if errs != 2 || ops != 1 {
		t.Errorf("%d errors and %d operations, want 2 and 1", errs, ops)
	}
}

func FuzzRead(f *testing.F) {
	for _, raw := range story(f).raw {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := activity.Read(raw)
		if (r == nil) == (err == nil) {
			t.Fatalf("neither fact nor error: %v", err)
		}
		twice := slices.Repeat([][]byte{raw}, 2)
		for op, err := range activity.Operations(func(yield func([]byte, error) bool) {
			for _, raw := range twice {
				if !yield(raw, nil) {
					return
				}
			}
		}) {
			if (op == nil) == (err == nil) {
				t.Fatalf("neither operation nor error: %v", err)
			}
		}
	})
}
