// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/ocsf"
)

// mixed returns operations that have little in common, and what happens to each.
func mixed(t testing.TB, n int) (ops []*interceptor.Operation, all [][]interceptor.Fact) {
	t.Helper()
	for i := range n {
		var op *interceptor.Operation
		var of []interceptor.Fact
		if i%2 == 0 {
			op, of = facts(t)
			op.Request = object(t, map[string]any{"n": float64(i)})
			e := *of[0].Evaluation
			e.Payload = interceptor.NewPayload(op.Request)
			of[0].Evaluation = &e
			of = append(of, interceptor.Fact{Evaluation: &e, Failure: &interceptor.Failure{
				Kind: interceptor.Timeout, Detail: fmt.Sprint("late ", i), Policy: interceptor.FailOpen, Decision: interceptor.Allow,
			}})
		} else {
			op, of = everywhere(t, fmt.Sprint("value-", i))
		}
		op.UID = interceptor.UID(fmt.Sprint("op-", i))
		ops, all = append(ops, op), append(all, of)
	}
	return ops, all
}

// alone records one operation by a Recorder of its own, whose events nobody
// releases, and returns them as they are encoded.
func alone(t testing.TB, op *interceptor.Operation, facts []interceptor.Fact) [][]byte {
	t.Helper()
	var out [][]byte
	rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		out = append(out, canonical(t, e))
		return silent{}
	}, still()...)
	for _, f := range facts {
		f.Operation = op
		rec.Record(f)
	}
	return out
}

// still is a clock and uids that are always the same.
func still() []activity.Option {
	return []activity.Option{
		activity.WithClock(func() time.Time { return time.UnixMilli(1793215000000) }),
		activity.WithUIDs(func() string { return "0199d0aa-2000-7000-8000-000000000001" }),
	}
}

func canonical(t testing.TB, e ocsf.Event) []byte {
	raw, err := ocsf.AppendCanonical(nil, e)
	if err != nil {
		t.Errorf("encode: %v", err)
	}
	return raw
}

// TestReleased records operations at once, while others encode and release the
// events a little later: each event is the same as if there had been no other.
func TestReleased(t *testing.T) {
	const recorders = 8
	ops, all := mixed(t, 200)
	type lent struct {
		event ocsf.Event
		of    int
	}
	queue := make(chan lent, 64)
	got := make([][][]byte, len(ops))
	var encoding sync.WaitGroup
	encoding.Go(func() {
		for l := range queue {
			got[l.of] = append(got[l.of], canonical(t, l.event))
			if r, ok := l.event.(activity.Lent); ok {
				r.Release()
			}
		}
	})
	var recording sync.WaitGroup
	for r := range recorders {
		recording.Go(func() {
			for i := r; i < len(ops); i += recorders {
				rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
					queue <- lent{e, i}
					return silent{}
				}, still()...)
				for _, f := range all[i] {
					f.Operation = ops[i]
					rec.Record(f)
				}
			}
		})
	}
	recording.Wait()
	close(queue)
	encoding.Wait()
	for i := range ops {
		want := alone(t, ops[i], all[i])
		if diff := cmp.Diff(texts(want), texts(got[i])); diff != "" {
			t.Errorf("operation %d (-alone +among others):\n%s", i, diff)
		}
	}
}

func texts(raw [][]byte) []string {
	var out []string
	for _, b := range raw {
		out = append(out, string(b))
	}
	return out
}

// TestReleasedAtOnce releases each event as soon as it is handed over, before its
// finding is: the finding is whole all the same, and the event is empty.
func TestReleasedAtOnce(t *testing.T) {
	op, of := facts(t)
	of = append(of, interceptor.Fact{Evaluation: of[0].Evaluation, Failure: &interceptor.Failure{
		Kind: interceptor.Timeout, Policy: interceptor.FailOpen, Decision: interceptor.Allow,
	}})
	want := alone(t, op, of)
	var got [][]byte
	rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		got = append(got, canonical(t, e))
		if r, ok := e.(activity.Lent); ok {
			r.Release()
			r.Release() // of no effect
			if diff := cmp.Diff(&ocsf.Base{}, e.Common(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("what is left of a released event:\n%s", diff)
			}
		}
		return silent{}
	}, still()...)
	for _, f := range of {
		f.Operation = op
		rec.Record(f)
	}
	if diff := cmp.Diff(texts(want), texts(got)); diff != "" {
		t.Errorf("(-kept +released):\n%s", diff)
	}
}

// TestKept keeps all events of many operations and encodes them in the end: none
// has changed by what was recorded after it.
func TestKept(t *testing.T) {
	ops, all := mixed(t, 20)
	var events []ocsf.Event
	var want [][]byte
	rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		events, want = append(events, e), append(want, canonical(t, e))
		return silent{}
	}, still()...)
	for i := range ops {
		for _, f := range all[i] {
			f.Operation = ops[i]
			rec.Record(f)
		}
	}
	for i, e := range events {
		if now := canonical(t, e); !bytes.Equal(want[i], now) {
			t.Errorf("event %d was %s\nand is %s", i, want[i], now)
		}
	}
}

// TestNothingOfTheFactIsKept changes all that a fact points to after it was
// recorded, as the chain may: the events stay as they were.
func TestNothingOfTheFactIsKept(t *testing.T) {
	op, of := everywhere(t, sibling)
	var events []ocsf.Event
	var want [][]byte
	rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		events, want = append(events, e), append(want, canonical(t, e))
		return silent{}
	}, still()...)
	for _, f := range of {
		f.Operation = op
		rec.Record(f)
	}
	for _, m := range []map[string]string{op.Principal, op.Attributes, op.Labels, of[0].Evaluation.Attributes, of[1].Result.Annotations} {
		for k := range m {
			m[k] = "changed"
		}
	}
	of[0].Evaluation.Metadata["ns"]["k"] = "changed"
	of[1].Result.Warnings[0] = "changed"
	copy(of[1].Result.Patches[0].Value, `"changed"`)
	of[3].Outcome.Parts[0].Skipped = "changed"
	for i, e := range events {
		if now := canonical(t, e); !bytes.Equal(want[i], now) {
			t.Errorf("event %d was %s\nand is %s", i, want[i], now)
		}
	}
}

// TestRecordAllocates bounds what the events of an operation cost the garbage
// collector, where they are released.
func TestRecordAllocates(t *testing.T) {
	op, of := facts(t)
	lent := 0
	rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		if r, ok := e.(activity.Lent); ok {
			lent++
			r.Release()
		}
		return silent{}
	})
	n := testing.AllocsPerRun(1000, func() {
		for _, f := range of {
			f.Operation = op
			rec.Record(f)
		}
	})
	if lent == 0 {
		t.Error("no event was lent")
	}
	// The race detector makes pools lose what they are given.
	if limit := 30 + 20*racing; n > float64(limit) {
		t.Errorf("%v allocations for three events, want at most %d", n, limit)
	}
}
