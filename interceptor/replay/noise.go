// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"cmp"
	"maps"
	"slices"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// A Noise is a field that differs when the same plan judges the same operation
// twice: a time, a random name. Differences of such a field are not the
// candidate's doing and are passed over; but an operation that was denied and would
// pass is a flip whatever is noise.
type Noise struct {
	Service     string `json:"service"`
	Method      string `json:"method"`
	Interceptor string `json:"interceptor,omitempty"`
	Binding     string `json:"binding,omitempty"`
	// Field is "decision", "status", "reason" or "annotation NAME" of a binding, or "payload
	// POINTER", a place of the patched payload whoever patched it, with an asterisk
	// for each place in an array.
	Field    string `json:"field"`
	Learned  int    `json:"learned"`  // operations in which it differed, old plan against old plan
	Excluded int    `json:"excluded"` // operations in which a difference of the candidate was passed over
}

const (
	fieldDecision   = "decision"
	fieldStatus     = "status"
	fieldReason     = "reason"
	fieldAnnotation = "annotation "
	fieldPayload    = "payload "
)

// LearnNoise runs each operation twice through old, the plan that the candidate
// is to take the place of, before anything is compared, and passes over what
// differs between the two; the [Report] lists it. With a nil plan it is what
// [Against] or [Recorded] says. The source is read twice.
func LearnNoise(old *interceptor.Plan) Option {
	return func(o *options) { o.learn, o.old = true, old }
}

type noiseKey struct{ service, method, interceptor, binding, field string }

// noise is what has been learned.
type noise struct {
	fields map[noiseKey]*Noise
}

// has says whether a field is noise.
func (n *noise) has(k noiseKey) bool {
	if n == nil {
		return false
	}
	_, ok := n.fields[k]
	return ok
}

// learn notes what differs between two takes of one operation by one plan.
func (n *noise) learn(keys []noiseKey) {
	for _, k := range keys {
		if n.fields[k] == nil {
			n.fields[k] = &Noise{Service: k.service, Method: k.method, Interceptor: k.interceptor, Binding: k.binding, Field: k.field}
		}
		n.fields[k].Learned++
	}
}

// excluded counts what was passed over in one operation.
func (n *noise) excluded(keys []noiseKey) {
	for _, k := range keys {
		n.fields[k].Excluded++
	}
}

// resume takes over what was passed over before a checkpoint.
func (n *noise) resume(r *Report) {
	if r == nil {
		return
	}
	for _, f := range r.Noise {
		if known := n.fields[noiseKey{f.Service, f.Method, f.Interceptor, f.Binding, f.Field}]; known != nil {
			known.Excluded += f.Excluded
		}
	}
}

func (n *noise) list() []Noise {
	if n == nil {
		return nil
	}
	var out []Noise
	for _, f := range slices.SortedFunc(maps.Values(n.fields), func(a, b *Noise) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Interceptor, b.Interceptor),
			cmp.Compare(a.Binding, b.Binding), cmp.Compare(a.Field, b.Field))
	}) {
		out = append(out, *f)
	}
	return out
}

// differences returns the fields in which two takes of an operation by one plan
// differ, each once. Unlike [compare] it looks for all of them, whatever the
// decision.
func differences(op *activity.Operation, first, second *take) []noiseKey {
	if first.unreplayable != "" || second.unreplayable != "" {
		return nil
	}
	found := map[noiseKey]bool{}
	note := func(p *interceptor.Part, field string) {
		k := noiseKey{service: op.Service, method: op.Method, field: field}
		if p != nil {
			k.interceptor, k.binding = p.Interceptor, p.Binding
		}
		found[k] = true
	}
	a, b := first.outcome, second.outcome
	if a.Decision != b.Decision || a.Ran != b.Ran {
		note(cause(first, second), fieldDecision)
		note(cause(second, first), fieldDecision)
	} else if a.Decision == interceptor.Deny {
		if a.Status.Code() != b.Status.Code() {
			note(cause(first, second), fieldStatus)
		}
		if a.Reason != b.Reason {
			note(cause(first, second), fieldReason)
		}
	}
	if a.Decision == b.Decision && op.Request != nil && !slices.EqualFunc(a.Patches, b.Patches, samePatch) {
		x, errX := patched(op, a.Patches)
		y, errY := patched(op, b.Patches)
		if errX == nil && errY == nil {
			for _, p := range jsonChanges(x, y) {
				note(nil, fieldPayload+p.general)
			}
		}
	}
	for i := range second.answers {
		now := &second.answers[i]
		then := first.find(now)
		if then == nil || then.result == nil || now.result == nil || then.result.Decision != now.result.Decision {
			continue
		}
		part := &interceptor.Part{Interceptor: now.Interceptor, Binding: now.Binding}
		for _, key := range differingKeys(then.result.Annotations, now.result.Annotations) {
			note(part, fieldAnnotation+key)
		}
	}
	return slices.Collect(maps.Keys(found))
}
