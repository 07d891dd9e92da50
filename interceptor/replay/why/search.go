// SPDX-License-Identifier: Apache-2.0

package why

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
)

// Bounds of the search that the budget does not set.
const (
	maxValues  = 8  // of allowed operations, tried at one place
	maxEdits   = 6  // of a change that is built one by one
	maxModels  = 5  // allowed operations, the whole difference to which is tried
	maxPaired  = 40 // places that are tried two at a time
	maxPairing = 3  // values of each then
)

// rank orders changes of one place by how little they are: the lower, the less.
type rank int

const (
	rankLimit rank = iota // a number, moved as far as is needed
	rankFlip
	rankSeen
	rankItem  // an item is left out
	rankPlain // zero, and what else was guessed
	rankLeave // a field is left out
	rankWhole // something with more in it is left out
)

// A search looks for changes that are allowed.
type search struct {
	*inquiry
	base       *verdict // of the request as it was
	places     *places
	absent     []*place // that allowed operations had, and this one has not
	experience *experience
	edits      map[*place][]edit // to try

	decisive, telling map[string]bool // pointers of places that were seen to matter
	changed           map[string]bool // those that were tried
	best              []edit          // nil when nothing was found
	untold            int             // fields that matter and were not listed
	twins             int             // allowed operations with this very request
}

// run searches until the budget is used up or a change was found.
func (s *search) run(ctx context.Context) {
	s.singles(ctx)
	s.limits(ctx)
	if s.large() {
		s.further(ctx)
	}
	if s.large() {
		s.towardsModels(ctx)
	}
	if s.best == nil {
		s.pairs(ctx)
	}
	if len(s.best) > 1 {
		s.best = s.nearer(ctx, s.minimal(ctx, s.best))
	}
	for _, e := range s.best { // each is needed
		s.changed[e.at.pointer], s.decisive[e.at.pointer] = true, true
	}
}

// note takes what came of one edit on top of others, which came to before.
func (s *search) note(before *verdict, edits []edit, v *verdict) {
	last := edits[len(edits)-1]
	s.changed[last.at.pointer] = true
	if v.missing != "" || v.failed {
		return
	}
	switch {
	case len(edits) == 1 && before.by != nil && v.relents(before.by):
		s.decisive[last.at.pointer] = true
	case !v.same(before) || v.reason != before.reason:
		s.telling[last.at.pointer] = true
	}
	if v.allowed() {
		s.found(edits)
	}
}

// found keeps a change if it is smaller than the best so far.
func (s *search) found(edits []edit) {
	if s.best == nil || smaller(edits, s.best) {
		s.best = slices.Clone(edits)
	}
}

// large says whether a smaller change than the best is worth to be looked for.
func (s *search) large() bool { return s.best == nil || sizeOf(s.best) > 1 }

// smaller orders changes: by how many values they touch, in how many places, and
// by what is done there. The first found is kept among equals.
func smaller(a, b []edit) bool {
	cost := func(edits []edit) (r, unseen int) {
		for _, e := range edits {
			r += int(e.rank)
			unseen -= e.seen
		}
		return r, unseen
	}
	r1, u1 := cost(a)
	r2, u2 := cost(b)
	return cmp.Or(cmp.Compare(sizeOf(a), sizeOf(b)), cmp.Compare(len(a), len(b)), cmp.Compare(r1, r2), cmp.Compare(u1, u2)) < 0
}

// sizeOf counts the plain values that edits touch.
func sizeOf(edits []edit) int {
	n := 0
	for i := range edits {
		n += max(edits[i].at.leaves, leavesOf(edits[i].to, 0))
	}
	return n
}

func leavesOf(v *structpb.Value, depth int) int {
	if !holds(v) || depth == maxDepth {
		return 1
	}
	n := 0
	for _, inner := range v.GetStructValue().GetFields() {
		n += leavesOf(inner, depth+1)
	}
	for _, inner := range v.GetListValue().GetValues() {
		n += leavesOf(inner, depth+1)
	}
	return n
}

// singles makes one change at a time.
func (s *search) singles(ctx context.Context) {
	for _, e := range s.plan(s.base, nil) {
		v := s.ask(ctx, e)
		if v == nil {
			return
		}
		s.note(s.base, []edit{e}, v)
	}
}

// A state is a request that was changed and is denied still, but otherwise.
type state struct {
	edits   []edit
	verdict *verdict
}

// further goes on from changes that led to another answer, one more at a time.
// Answers that are alike are gone on from once.
func (s *search) further(ctx context.Context) {
	seen := map[string]bool{s.base.alike(nil): true}
	queue := s.advanced(nil, s.base, seen)
	for len(queue) > 0 && s.stopped == "" {
		from := queue[0]
		queue = queue[1:]
		if len(from.edits) >= maxEdits || s.best != nil && sizeOf(from.edits) >= sizeOf(s.best)-1 {
			continue
		}
		share := max(s.left()/2, 50)
		for _, e := range s.plan(from.verdict, from.edits) {
			if share--; share < 0 {
				break
			}
			edits := append(slices.Clone(from.edits), e)
			v := s.ask(ctx, edits...)
			if v == nil {
				return
			}
			s.note(from.verdict, edits, v)
		}
		queue = append(queue, s.advanced(from.edits, from.verdict, seen)...)
	}
}

// advanced returns the states, not seen before, that one more change led to from
// a state: those first that got furthest through the chain.
func (s *search) advanced(edits []edit, from *verdict, seen map[string]bool) []state {
	var out []state
	for _, e := range s.plan(from, edits) {
		all := append(slices.Clone(edits), e)
		v := s.known[keyOf(all)]
		if v == nil || v.missing != "" || v.failed || v.by == nil || v.allowed() {
			continue
		}
		like := v.alike(all)
		if seen[like] || like == from.alike(all) {
			continue
		}
		seen[like] = true
		out = append(out, state{all, v})
	}
	slices.SortStableFunc(out, func(a, b state) int { return b.verdict.depth() - a.verdict.depth() })
	return out
}

// depth is how far a denied request got.
func (v *verdict) depth() int {
	return slices.IndexFunc(v.parts, func(p interceptor.Part) bool { return samePart(&p, v.by) })
}

// alike is equal for answers that differ in nothing but the values that edits
// brought in or took away.
func (v *verdict) alike(edits []edit) string {
	reason := v.words
	for _, e := range edits {
		reason = without(reason, plain(e.to))
		reason = without(reason, plain(e.at.value))
	}
	reason = strings.Join(strings.Fields(strings.NewReplacer(`"`, " ", "'", " ", "`", " ").Replace(reason)), " ")
	who := ""
	if v.by != nil {
		who = v.by.Interceptor + "/" + v.by.Binding + "/" + v.by.Phase.String()
	}
	return who + "\x00" + v.status.String() + "\x00" + reason
}

// without takes a word out of a text.
func without(text, word string) string {
	if word == "" {
		return text
	}
	var b strings.Builder
	for {
		i := strings.Index(text, word)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		end := i + len(word)
		if i > 0 && inWord(text[i-1]) && inWord(word[0]) || end < len(text) && inWord(text[end]) && inWord(word[len(word)-1]) {
			b.WriteString(text[:end])
		} else {
			b.WriteString(text[:i])
		}
		text = text[end:]
	}
}

func inWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// plain is how a reason would write a plain value; "" of others.
func plain(v *structpb.Value) string {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return k.StringValue
	case *structpb.Value_NumberValue:
		return strconv.FormatFloat(k.NumberValue, 'f', -1, 64)
	}
	return ""
}

// plan returns the edits to try on a request that was edited already and came to
// a verdict: first all of what the reason speaks of, then the likeliest of each
// place, then the rest.
func (s *search) plan(v *verdict, edits []edit) []edit {
	type planned struct {
		edit
		turn, score int
	}
	var all []planned
	words := strings.ToLower(v.words)
	add := func(p *place) {
		if slices.ContainsFunc(edits, func(e edit) bool { return p.inside(e.at) || e.at.inside(p) }) {
			return
		}
		score := s.score(p, words)
		for i, e := range s.values(p) {
			turn := 1
			switch {
			case score >= spoken:
				turn = 0
			case i > 0 && e.to != nil:
				turn = 3
			case e.to == nil:
				turn = 2
			}
			all = append(all, planned{e, turn, score})
		}
	}
	for _, p := range s.places.all {
		add(p)
	}
	for _, p := range s.absent {
		add(p)
	}
	slices.SortStableFunc(all, func(a, b planned) int {
		return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(b.score, a.score))
	})
	out := make([]edit, len(all))
	for i := range all {
		out[i] = all[i].edit
	}
	return out
}

// spoken is the score from which on a reason speaks of a place.
const spoken = 2

// score says how likely it is that a place matters. The words of the reason are in
// lower case.
func (s *search) score(p *place, words string) int {
	n := 0
	if word := strings.ToLower(plain(p.value)); p.leaf && word != "" && len(word) <= len(words) && without(words, word) != words {
		n += 4
	}
	if name := p.path[len(p.path)-1].name; len(name) > 1 && strings.Contains(words, strings.ToLower(name)) {
		n += 2
	}
	if values := s.experience.values[p.general]; p.leaf && len(values) > 0 && p.value != nil && s.experience.count(p.general, p.value) == 0 {
		n++
	}
	return n
}

// values returns the edits to try at a place, the likeliest first.
func (s *search) values(p *place) []edit {
	if known, ok := s.edits[p]; ok {
		return known
	}
	out := s.valuesOf(p)
	s.edits[p] = out
	return out
}

func (s *search) valuesOf(p *place) []edit {
	var out []edit
	have := map[string]bool{}
	if p.leaf && p.value != nil {
		have[string(textOf(p.value))] = true
	}
	try := func(v *structpb.Value, r rank, seen int) {
		if text := string(textOf(v)); !have[text] {
			have[text] = true
			out = append(out, edit{at: p, to: v, rank: r, seen: seen})
		}
	}
	if p.leaf {
		if b, ok := p.value.GetKind().(*structpb.Value_BoolValue); ok {
			flipped := structpb.NewBoolValue(!b.BoolValue)
			try(flipped, rankFlip, s.experience.count(p.general, flipped))
		}
		list := s.experience.values[p.general]
		for _, v := range list[:min(len(list), maxValues)] {
			try(v.value, rankSeen, v.seen)
		}
		if n, ok := numberOf(p.value); ok {
			for _, guess := range n.guesses() {
				try(guess, rankPlain, s.experience.count(p.general, guess))
			}
		}
	}
	if p.value == nil {
		return out
	}
	leave := edit{at: p, rank: rankLeave}
	switch {
	case p.item():
		leave.rank = rankItem
	case !p.leaf:
		leave.rank = rankWhole
	}
	return append(out, leave)
}

// lacking returns the places that allowed operations had, and this one has not,
// where there could be one.
func (s *search) lacking() []*place {
	var out []*place
	for _, p := range s.experience.members {
		if find(s.request, p.path) == nil && s.reachable(p.path) {
			out = append(out, &place{path: p.path, pointer: p.pointer, general: p.general, leaf: true, leaves: 1})
		}
	}
	return out
}

// reachable says whether a member can be added at path.
func (s *search) reachable(path []step) bool {
	for n := len(path) - 1; n > 0; n-- {
		if v := find(s.request, path[:n]); v != nil {
			return v.GetStructValue() != nil
		}
	}
	return true
}
