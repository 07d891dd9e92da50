// SPDX-License-Identifier: Apache-2.0

package why

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// Bounds of what is kept: values of one place, and values that are looked at.
const (
	maxSeen   = 256
	maxLooked = 200_000
)

// A value is one that allowed operations had at a place.
type value struct {
	text  string // JSON
	value *structpb.Value
	seen  int // operations
	last  interceptor.UID
}

// experience is what allowed operations had.
type experience struct {
	requests []*structpb.Struct
	values   map[string][]*value // by general pointer, the most frequent first
	members  []*place            // leaves that are in no list, in the order of their pointers
}

// experienceOf gathers the values of operations like op that were allowed.
func experienceOf(op *activity.Operation, allowed []*activity.Operation) *experience {
	x := &experience{values: map[string][]*value{}}
	members := map[string]*place{}
	looked := 0
	for _, other := range allowed {
		request, ok := objectOf(other.Request)
		if !ok || other.UID == op.UID || other.Service != op.Service || other.Method != op.Method || !allows(other) ||
			slices.ContainsFunc(other.Evaluations, func(e activity.Evaluation) bool { return e.Redacted }) {
			continue
		}
		x.requests = append(x.requests, request)
		for _, p := range placesOf(request).all {
			if looked++; looked > maxLooked {
				break
			}
			if !p.leaf {
				continue
			}
			x.note(p, other.UID)
			if p.pointer == p.general && members[p.pointer] == nil {
				members[p.pointer] = p
				x.members = append(x.members, p)
			}
		}
	}
	for _, list := range x.values {
		slices.SortFunc(list, func(a, b *value) int {
			return cmp.Or(b.seen-a.seen, cmp.Compare(a.text, b.text))
		})
	}
	slices.SortFunc(x.members, func(a, b *place) int { return cmp.Compare(a.pointer, b.pointer) })
	return x
}

func allows(op *activity.Operation) bool {
	return op.Outcome != nil && (op.Outcome.Decision == interceptor.Allow || op.Outcome.Decision == interceptor.Modify)
}

func (x *experience) note(p *place, uid interceptor.UID) {
	text := string(textOf(p.value))
	list := x.values[p.general]
	for _, v := range list {
		if v.text == text {
			if v.last != uid { // an operation counts once, however long its lists
				v.seen, v.last = v.seen+1, uid
			}
			return
		}
	}
	if len(list) < maxSeen {
		x.values[p.general] = append(list, &value{text: text, value: p.value, seen: 1, last: uid})
	}
}

// count says how many had a value at a place.
func (x *experience) count(general string, v *structpb.Value) int {
	text := string(textOf(v))
	for _, known := range x.values[general] {
		if known.text == text {
			return known.seen
		}
	}
	return 0
}
