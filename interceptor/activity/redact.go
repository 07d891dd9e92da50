// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"maps"
	"slices"
	"strconv"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// failedText stands where a rule failed: the value is not known to be fit for
// the record.
const failedText = "redaction failed"

// A redacting is the rules that are for an operation, at work on one event.
type redacting struct {
	rules []*rule
	notes
}

// redacting returns the rules that are for a method.
func (r *Redactor) redacting(method string) redacting {
	var x redacting
	if r == nil {
		return x
	}
	for i := range r.rules {
		if r.rules[i].governs(method) {
			x.rules = append(x.rules, &r.rules[i])
		}
	}
	return x
}

// in replaces what the rule's pattern finds in s, and says how often. What fails
// is replaced whole.
func (r *rule) in(s string) (out string, n int, failed bool) {
	if r.pattern == nil {
		return s, 0, false
	}
	defer func() {
		if recover() != nil {
			out, n, failed = failedText, 1, true
		}
	}()
	// What is left when a match is dropped may match again.
	for range 8 {
		found := 0
		s = r.pattern.ReplaceAllStringFunc(s, func(match string) string { found++; return r.instead(match) })
		n += found
		if found == 0 || r.do != RedactDrop {
			return s, n, false
		}
	}
	return mask, n, false
}

// value returns what is written in the place of a whole value, and whether
// anything is.
func (r *rule) value(v any) (out any, keep, failed bool) {
	defer func() {
		if recover() != nil {
			out, keep, failed = failedText, true, true
		}
	}()
	s, ok := v.(string)
	if !ok {
		raw, err := ocsf.EncodeValue(v)
		if err != nil {
			return failedText, true, true
		}
		s = string(raw)
	}
	s = r.instead(s)
	return s, r.do != RedactDrop, false
}

// text returns s, which is at a part of the event, as it is written.
func (x *redacting) text(at, pointer, s string) string {
	if len(x.rules) == 0 || s == "" {
		return s
	}
	s = text(s)
	for _, r := range x.rules {
		out, n, failed := r.in(s)
		x.add(note{at: at, pointer: pointer, rule: r.name, do: r.do, failed: failed}, n)
		if s = out; failed {
			break
		}
	}
	return s
}

// texts returns a map of texts as it is written; named, if it is not nil, says
// which rules are for the value of a name.
func (x *redacting) texts(at string, m map[string]string, named func(r *rule, name string) bool) map[string]string {
	if len(x.rules) == 0 || len(m) == 0 {
		return m
	}
	out, names := make(map[string]string, len(m)), members{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		value, keep := m[name], true
		for _, r := range x.rules {
			if named == nil || !named(r, name) {
				continue
			}
			v, kept, failed := r.value(text(value))
			value, _ = v.(string)
			x.add(note{at: at, pointer: "/" + escape.Replace(text(name)), rule: r.name, do: r.do, failed: failed}, 1)
			if keep = kept; !keep || failed {
				break
			}
		}
		if name = x.name(at, name, names); keep && name != "" {
			out[name] = x.text(at, "/"+escape.Replace(name), value)
		}
	}
	return out
}

// members are the names of one object's members as they are written, each with
// how many have become the same.
type members map[string]int

// name returns the name of a member as it is written: one that no other of
// members has; the second that becomes "***" is "***-2". It is empty when the
// member is left out with its name.
func (x *redacting) name(at, name string, others members) string {
	out := x.text(at, "", name)
	if out == "" {
		return ""
	}
	written := out
	for n := others[out]; others[written] > 0; {
		n++
		written = out + "-" + strconv.Itoa(n)
		others[out] = n
	}
	others[written] = 1
	return written
}

// operation returns what of an operation events tell, as it is written. Request
// and State are not touched: they are written by the evaluations.
func (x *redacting) operation(op *interceptor.Operation) *interceptor.Operation {
	if len(x.rules) == 0 {
		return op
	}
	c := *op
	c.Principal = x.texts(atPrincipal, op.Principal, nil)
	c.Attributes = x.texts(atAttributes, op.Attributes, (*rule).header)
	c.Labels = x.texts(atLabels, op.Labels, (*rule).label)
	if op.RequestID != "" {
		id := x.texts(atAttributes, map[string]string{attributeRequestID: op.RequestID}, (*rule).header)
		c.RequestID = id[attributeRequestID]
	}
	return &c
}

// fact returns a fact whose texts are as they are written. Payloads, patches and
// metadata are redacted where they are written.
func (x *redacting) fact(f interceptor.Fact) interceptor.Fact {
	if len(x.rules) == 0 {
		return f
	}
	switch {
	case f.Outcome != nil:
		o := *f.Outcome
		o.Reason = x.text(atReason, "", o.Reason)
		o.Parts = slices.Clone(o.Parts)
		for i := range o.Parts {
			o.Parts[i].Skipped = x.text(atSkipped, "", o.Parts[i].Skipped)
		}
		f.Outcome = &o
	case f.Result != nil:
		r := *f.Result
		r.Reason = x.text(atReason, "", r.Reason)
		r.StatusCode = x.text(atStatusCode, "", r.StatusCode)
		r.Violation = x.text(atViolations, "", r.Violation)
		r.Annotations = x.texts(atAnnotations, r.Annotations, nil)
		r.Warnings = slices.Clone(r.Warnings)
		for i, s := range r.Warnings {
			r.Warnings[i] = x.text(atWarnings, "/"+strconv.Itoa(i), s)
		}
		f.Result = &r
	case f.Failure != nil:
		fail := *f.Failure
		fail.Detail = x.text(atDetail, "", fail.Detail)
		f.Failure = &fail
	}
	return f
}
