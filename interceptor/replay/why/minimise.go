// SPDX-License-Identifier: Apache-2.0

package why

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// towardsModels makes of the request what an allowed operation had, and then
// drops of that what is not needed. The models that differ least come first.
func (s *search) towardsModels(ctx context.Context) {
	var models [][]edit
	for _, request := range s.experience.requests {
		if d := s.difference(request); len(d) > 0 {
			models = append(models, d)
		} else {
			s.twins++
		}
	}
	slices.SortStableFunc(models, func(a, b []edit) int { return cmp.Compare(sizeOf(a), sizeOf(b)) })
	tried := map[string]bool{}
	for _, edits := range models {
		if key := keyOf(edits); tried[key] {
			continue
		} else if tried[key] = true; len(tried) > maxModels {
			return
		}
		v := s.ask(ctx, edits...)
		if v == nil {
			return
		}
		if !v.allowed() {
			continue
		}
		s.found(s.minimal(ctx, edits))
	}
}

// minimal drops edits for as long as what is left is allowed (ddmin): in the end
// none can be dropped by itself, unless the inquiry was over before.
func (s *search) minimal(ctx context.Context, edits []edit) []edit {
	parts := 2
	for len(edits) > 1 {
		size := (len(edits) + parts - 1) / parts
		dropped := false
		for from := 0; from < len(edits) && len(edits) > size; from += size {
			rest := append(slices.Clone(edits[:from]), edits[min(from+size, len(edits)):]...)
			v := s.ask(ctx, rest...)
			if v == nil {
				return edits
			}
			if v.allowed() {
				edits, parts, dropped = rest, max(parts-1, 2), true
				break
			}
		}
		if dropped {
			continue
		}
		if size == 1 {
			break
		}
		parts = min(2*parts, len(edits))
	}
	return edits
}

// pairs changes two places at a time, those first that were seen to matter.
func (s *search) pairs(ctx context.Context) {
	var chosen []*place
	has := map[string]bool{}
	take := func(want func(p *place) bool) {
		for _, p := range slices.Concat(s.places.all, s.absent) {
			if len(chosen) < maxPaired && p.leaf && !has[p.pointer] && want(p) {
				has[p.pointer] = true
				chosen = append(chosen, p)
			}
		}
	}
	words := strings.ToLower(s.base.words)
	take(func(p *place) bool { return s.decisive[p.pointer] })
	take(func(p *place) bool { return s.telling[p.pointer] })
	take(func(p *place) bool { return s.score(p, words) > 0 })
	take(func(*place) bool { return true })
	for i, second := range chosen {
		for _, first := range chosen[:i] {
			if !s.pair(ctx, first, second) {
				return
			}
		}
	}
}

// pair is false when the inquiry is over, or something was found.
func (s *search) pair(ctx context.Context, p, q *place) bool {
	for _, e := range few(s.values(p)) {
		for _, f := range few(s.values(q)) {
			v := s.ask(ctx, e, f)
			if v == nil {
				return false
			}
			if v.allowed() {
				s.found([]edit{e, f})
				return false
			}
		}
	}
	return true
}

// few returns the likeliest edits of a place, leaving out the value among them.
func few(edits []edit) []edit {
	if len(edits) <= maxPairing {
		return edits
	}
	return append(slices.Clone(edits[:maxPairing-1]), edits[len(edits)-1])
}

// difference returns the edits that make another request of this one.
func (s *search) difference(other *structpb.Struct) []edit {
	d := differ{s: s}
	d.values(nil, "", "", structpb.NewStructValue(s.request), structpb.NewStructValue(other))
	return d.edits
}

type differ struct {
	s     *search
	edits []edit
}

func (d *differ) values(path []step, pointer, general string, x, y *structpb.Value) {
	if len(path) < maxDepth {
		switch k := x.GetKind().(type) {
		case *structpb.Value_StructValue:
			if y.GetStructValue() != nil {
				d.members(path, pointer, general, k.StructValue.GetFields(), y.GetStructValue().GetFields())
				return
			}
		case *structpb.Value_ListValue:
			if items := y.GetListValue().GetValues(); y.GetListValue() != nil && len(items) == len(k.ListValue.GetValues()) {
				for i, item := range k.ListValue.GetValues() {
					token := strconv.Itoa(i)
					d.values(append(slices.Clone(path), step{item: i}), pointer+"/"+token, general+"/*", item, items[i])
				}
				return
			}
		}
	}
	if !proto.Equal(x, y) && len(path) > 0 {
		d.add(path, pointer, general, x, y)
	}
}

func (d *differ) members(path []step, pointer, general string, x, y map[string]*structpb.Value) {
	names := slices.Collect(maps.Keys(x))
	for name := range y {
		if _, ok := x[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		token := escapes.Replace(name)
		at := append(slices.Clone(path), step{name: name, item: -1})
		before, was := x[name]
		after, is := y[name]
		if was && is {
			d.values(at, pointer+"/"+token, general+"/"+token, before, after)
		} else {
			d.add(at, pointer+"/"+token, general+"/"+token, before, after)
		}
	}
}

func (d *differ) add(path []step, pointer, general string, x, y *structpb.Value) {
	p := &place{path: path, pointer: pointer, general: general, value: x, leaf: !holds(x), leaves: leavesOf(x, 0)}
	e := edit{at: p, to: y, rank: rankSeen}
	if y == nil {
		e.rank = rankLeave
	} else {
		e.seen = d.s.experience.count(general, y)
	}
	d.edits = append(d.edits, e)
}
