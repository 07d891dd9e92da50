// SPDX-License-Identifier: Apache-2.0

package why

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/types/known/structpb"
)

// limits looks, for each number of which another value is allowed by itself, for
// the allowed value that is next to what it was.
func (s *search) limits(ctx context.Context) {
	for _, p := range s.places.all {
		was, ok := numberOf(p.value)
		if !ok || !p.leaf || !s.decisive[p.pointer] {
			continue
		}
		for _, allowed := range s.nearest(p, was) {
			e, ok := s.limit(ctx, nil, p, was, allowed)
			if !ok {
				return
			}
			s.found([]edit{e})
		}
	}
}

// nearest returns the allowed number that is next below what one was, and the
// one next above, of those that were asked.
func (s *search) nearest(p *place, was number) []number {
	var below, above []number
	for _, e := range s.values(p) {
		n, ok := numberOf(e.to)
		if v := s.known[keyOf([]edit{e})]; !ok || v == nil || !v.allowed() {
			continue
		}
		if n.less(was) {
			below = append(below, n)
		} else {
			above = append(above, n)
		}
	}
	var out []number
	if len(below) > 0 {
		out = append(out, slices.MaxFunc(below, number.compare))
	}
	if len(above) > 0 {
		out = append(out, slices.MinFunc(above, number.compare))
	}
	return out
}

// limit finds, by halves, the number next to one that was denied that is still
// allowed, beside other edits. It takes it that in between there is one limit. It
// is false when the inquiry is over.
func (s *search) limit(ctx context.Context, others []edit, p *place, denied, allowed number) (edit, bool) {
	way := "largest"
	if denied.less(allowed) {
		way = "smallest"
	}
	with := func(n number) edit {
		return edit{at: p, to: n.value(), rank: rankLimit, limit: way, seen: s.experience.count(p.general, n.value())}
	}
	for range 64 {
		mid, ok := between(denied, allowed)
		if !ok {
			break
		}
		v := s.ask(ctx, append(slices.Clone(others), with(mid))...)
		switch {
		case v == nil:
			return edit{}, false
		case v.allowed():
			allowed = mid
		default:
			denied = mid
		}
	}
	if !allowed.isInt || !denied.isInt {
		for precision := 1; precision < 17; precision++ {
			f, err := strconv.ParseFloat(strconv.FormatFloat(allowed.real, 'g', precision, 64), 64)
			n := number{real: f}
			if err != nil || !n.within(allowed, denied) {
				continue
			}
			v := s.ask(ctx, append(slices.Clone(others), with(n))...)
			if v == nil {
				return edit{}, false
			}
			if v.allowed() {
				allowed = n
				break
			}
		}
	}
	e := with(allowed)
	e.beyond = denied.value()
	return e, true
}

// nearer moves the numbers of a change as near as may be to what they were.
func (s *search) nearer(ctx context.Context, edits []edit) []edit {
	for i := range edits {
		was, ok := numberOf(edits[i].at.value)
		to, also := numberOf(edits[i].to)
		if !ok || !also {
			continue
		}
		others := append(slices.Clone(edits[:i]), edits[i+1:]...)
		if e, ok := s.limit(ctx, others, edits[i].at, was, to); ok {
			edits = slices.Clone(edits)
			edits[i] = e
		}
	}
	return edits
}

// number is a whole number, or one that is not.
type number struct {
	whole int64
	real  float64
	isInt bool
	text  bool // written as a text, as protobuf JSON has those of 64 bits
}

func numberOf(v *structpb.Value) (number, bool) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		f := k.NumberValue
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return number{}, false
		}
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return number{whole: int64(f), real: f, isInt: true}, true
		}
		return number{real: f}, true
	case *structpb.Value_StringValue:
		n, err := strconv.ParseInt(k.StringValue, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != k.StringValue {
			return number{}, false
		}
		return number{whole: n, real: float64(n), isInt: true, text: true}, true
	}
	return number{}, false
}

// value is the number in the form that it came in.
func (n number) value() *structpb.Value {
	switch {
	case n.text:
		return structpb.NewStringValue(strconv.FormatInt(n.whole, 10))
	case n.isInt:
		return structpb.NewNumberValue(float64(n.whole))
	}
	return structpb.NewNumberValue(n.real)
}

// guesses are numbers that may be on the other side of a limit.
func (n number) guesses() []*structpb.Value {
	var out []*structpb.Value
	if !n.isInt {
		for _, f := range []float64{0, n.real / 2, 2 * n.real, 10 * n.real, 100 * n.real} {
			if !math.IsInf(f, 0) {
				out = append(out, structpb.NewNumberValue(f))
			}
		}
		return out
	}
	for _, by := range []int64{0, 2, 10, 100} {
		m := n
		if m.whole = n.whole * by; by > 0 && m.whole/by != n.whole || !n.text && math.Abs(float64(m.whole)) >= 1<<53 {
			continue
		}
		out = append(out, m.value())
	}
	one := n
	one.whole = 1
	return append(out, one.value())
}

func (n number) compare(m number) int {
	if n.isInt && m.isInt {
		return cmp.Compare(n.whole, m.whole)
	}
	return cmp.Compare(n.real, m.real)
}

func (n number) less(m number) bool { return n.compare(m) < 0 }

// within says whether n is m, or between it and end.
func (n number) within(m, end number) bool {
	if m.less(end) {
		return !n.less(m) && n.less(end)
	}
	return !m.less(n) && end.less(n)
}

// between returns a number in the middle; false when there is none.
func between(a, b number) (number, bool) {
	if a.isInt && b.isInt {
		low, high := min(a.whole, b.whole), max(a.whole, b.whole)
		distance := uint64(high) - uint64(low) // also where the difference has no room in an int64
		if distance < 2 {
			return number{}, false
		}
		mid := b
		mid.whole = int64(uint64(low) + distance/2)
		mid.real = float64(mid.whole)
		return mid, true
	}
	mid := a.real/2 + b.real/2
	if mid == a.real || mid == b.real || math.Abs(a.real-b.real) <= 1e-9*max(math.Abs(a.real), math.Abs(b.real)) {
		return number{}, false
	}
	return number{real: mid}, true
}
