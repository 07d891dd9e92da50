// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"cmp"
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
)

// Between selects the operations that began in from <= t < until; a zero time
// is no bound.
func Between(from, until time.Time) Option {
	return func(o *options) { o.from, o.until = from, until }
}

// Select selects operations by what the record says of them. Of those for which
// keep is false nothing is counted.
func Select(keep func(*activity.Operation) bool) Option {
	return func(o *options) { o.keep = append(o.keep, keep) }
}

// Only selects one operation, by its uid or by that of one of its events or
// evaluations.
func Only(uid string) Option { return func(o *options) { o.only = uid } }

// Sample selects at most n operations of each stratum: of each service, method
// and recorded decision. Which ones follows from the seed and their uids alone,
// so that the same seed takes the same ones of the same history.
func Sample(n int, seed uint64) Option {
	return func(o *options) { o.sample, o.seed = n, seed }
}

// chosen leaves out what is not asked for.
func (o *options) chosen(ops iter.Seq2[*activity.Operation, error]) iter.Seq2[*activity.Operation, error] {
	return func(yield func(*activity.Operation, error) bool) {
		for op, err := range ops {
			if err == nil && !o.wants(op) {
				continue
			}
			if !yield(op, err) {
				return
			}
		}
	}
}

func (o *options) wants(op *activity.Operation) bool {
	if o.only != "" && string(op.UID) != o.only ||
		!o.from.IsZero() && began(op).Before(o.from) || !o.until.IsZero() && !began(op).Before(o.until) {
		return false
	}
	return !slices.ContainsFunc(o.keep, func(keep func(*activity.Operation) bool) bool { return !keep(op) })
}

// began is when an operation did. The outcome says so; of one that was cut off there
// is the first evaluation.
func began(op *activity.Operation) time.Time {
	if op.Start.IsZero() && len(op.Evaluations) > 0 {
		return op.Evaluations[0].Start
	}
	return op.Start
}

// A NotFoundError says that nothing in the history has the uid that [Only] asks for.
type NotFoundError struct{ UID string }

// Error implements error.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no operation, event or evaluation %q in the history", e.UID)
}

// operationOf returns the operation that an uid is of.
func operationOf(ctx context.Context, source Source, o options) (string, error) {
	for raw, err := range source.Events(ctx, o.where) {
		if err != nil {
			return "", fmt.Errorf("read history: %w", err)
		}
		if raw == nil {
			continue
		}
		h, err := profile.Parse(raw)
		if err != nil {
			return "", fmt.Errorf("read history: %w", err)
		}
		if h.OperationUID != "" && (h.OperationUID == o.only || h.MetadataUID == o.only || h.EvaluationUID == o.only) {
			return h.OperationUID, nil
		}
	}
	return "", &NotFoundError{UID: o.only}
}

// from leaves out the first operations.
func from(ops iter.Seq2[*activity.Operation, error], skip int) iter.Seq2[*activity.Operation, error] {
	if skip == 0 {
		return ops
	}
	return func(yield func(*activity.Operation, error) bool) {
		n := 0
		for op, err := range ops {
			if n++; n <= skip && err == nil {
				continue
			}
			if !yield(op, err) {
				return
			}
		}
	}
}

// A stratumKey names operations that are alike.
type stratumKey struct{ service, method, decision string }

func stratumOf(op *activity.Operation) stratumKey {
	k := stratumKey{service: op.Service, method: op.Method, decision: interceptor.None.String()}
	if op.Outcome != nil {
		k.decision = op.Outcome.Decision.String()
	}
	return k
}

// sampled yields the n operations of each stratum that come first by a hash of
// seed and uid, in the order in which they came. It keeps as many.
func sampled(ops iter.Seq2[*activity.Operation, error], n int, seed uint64) iter.Seq2[*activity.Operation, error] {
	return func(yield func(*activity.Operation, error) bool) {
		strata := map[stratumKey]*lots{}
		place := 0
		for op, err := range ops {
			if err != nil {
				yield(nil, err)
				return
			}
			k := stratumOf(op)
			if strata[k] == nil {
				strata[k] = &lots{}
			}
			strata[k].draw(lot{op: op, place: place, hash: lotOf(seed, op.UID)}, n)
			place++
		}
		var drawn []lot
		for _, s := range strata {
			drawn = append(drawn, *s...)
		}
		slices.SortFunc(drawn, func(a, b lot) int { return cmp.Compare(a.place, b.place) })
		for _, l := range drawn {
			if !yield(l.op, nil) {
				return
			}
		}
	}
}

func lotOf(seed uint64, uid interceptor.UID) uint64 {
	h := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, seed), uid...))
	return binary.BigEndian.Uint64(h[:])
}

type lot struct {
	op    *activity.Operation
	place int
	hash  uint64
}

// lots are the lowest so far; the highest of them is the first.
type lots []lot

func (l *lots) draw(one lot, n int) {
	switch {
	case len(*l) < n:
		heap.Push(l, one)
	case one.hash < (*l)[0].hash:
		(*l)[0] = one
		heap.Fix(l, 0)
	}
}

// Len implements [heap.Interface].
func (l lots) Len() int { return len(l) }

// Less implements [heap.Interface].
func (l lots) Less(i, j int) bool { return l[i].hash > l[j].hash }

// Swap implements [heap.Interface].
func (l lots) Swap(i, j int) { l[i], l[j] = l[j], l[i] }

// Push implements [heap.Interface].
func (l *lots) Push(x any) {
	if one, ok := x.(lot); ok {
		*l = append(*l, one)
	}
}

// Pop implements [heap.Interface].
func (l *lots) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}
