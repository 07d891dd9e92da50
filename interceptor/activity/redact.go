// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// failedText stands where a rule failed: the value is not known to be fit for
// the record.
const failedText = "redaction failed"

// A note says what was left out of an event.
type note struct {
	at      string // the part of the event: a name of request data, reason, attributes, ...
	pointer string // within that part
	rule    string
	do      string
	failed  bool
}

// notes counts what was left out, by note, in the order of their first.
type notes struct {
	order []note
	n     map[note]int
}

func (ns *notes) add(n note, times int) {
	if times == 0 {
		return
	}
	if ns.n == nil {
		ns.n = map[note]int{}
	}
	if ns.n[n] == 0 {
		ns.order = append(ns.order, n)
	}
	ns.n[n] += times
}

// of says whether a rule of an operator had something to do with one of parts.
func (ns *notes) of(parts ...string) bool {
	return slices.ContainsFunc(ns.order, func(n note) bool { return n.rule != ruleDescriptor && slices.Contains(parts, n.at) })
}

func (ns *notes) failed(part string) bool {
	return slices.ContainsFunc(ns.order, func(n note) bool { return n.failed && n.at == part })
}

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

// texts returns a map of texts as it is written; headers says that its names
// are those of headers.
func (x *redacting) texts(at string, m map[string]string, headers bool) map[string]string {
	if len(x.rules) == 0 || len(m) == 0 {
		return m
	}
	out := make(map[string]string, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		value, keep := m[name], true
		for _, r := range x.rules {
			if !headers || !r.header(name) {
				continue
			}
			v, kept, failed := r.value(text(value))
			value, _ = v.(string)
			x.add(note{at: at, pointer: "/" + escape.Replace(text(name)), rule: r.name, do: r.do, failed: failed}, 1)
			if keep = kept; !keep || failed {
				break
			}
		}
		if name = x.name(at, name, out); keep && name != "" {
			out[name] = x.text(at, "/"+escape.Replace(name), value)
		}
	}
	return out
}

// name returns the name of a member as it is written: one that no other member
// in taken has. It is empty when the member is left out with its name.
func (x *redacting) name(at, name string, taken map[string]string) string {
	out := x.text(at, "", name)
	for out != text(name) && out != "" {
		if _, ok := taken[out]; !ok {
			break
		}
		out += "*"
	}
	return out
}

// json returns canonical JSON as it is written.
func (x *redacting) json(at string, raw []byte) ([]byte, error) {
	if len(x.rules) == 0 {
		return raw, nil
	}
	var v any
	if err := json.Unmarshal(raw, &v, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, err
	}
	out, keep := x.tree(at, nil, v)
	if !keep {
		out = nil
	}
	return ocsf.EncodeValue(out)
}

// tree returns a value at a place of a payload as it is written, and false when
// it is left out. The rules' pointers come first, so that no regex speaks of
// what they leave out.
func (x *redacting) tree(at string, place []string, v any) (any, bool) {
	for _, r := range x.rules {
		for _, pattern := range r.pointers {
			rest, ok := below(pattern, place)
			if !ok {
				continue
			}
			out, keep := x.point(at, r, pattern, rest, v)
			if !keep {
				return nil, false
			}
			v = out
		}
	}
	return x.patterns(at, pointerOf(place), v), true
}

// below returns what of a pattern is left below a place; false when they are of
// different places. Nothing is left where the place lies under the pattern.
func below(pattern, place []string) ([]string, bool) {
	for i, name := range place {
		if i == len(pattern) {
			return nil, true
		}
		if !same(pattern[i], name) {
			return nil, false
		}
	}
	return pattern[len(place):], true
}

// point applies a rule to what a pattern points to in v.
func (x *redacting) point(at string, r *rule, whole, pattern []string, v any) (any, bool) {
	if len(pattern) == 0 {
		if v == any(failedText) {
			return v, true
		}
		out, keep, failed := r.value(v)
		// The pattern and not the place: a name may be as telling as its value.
		x.add(note{at: at, pointer: pointerOf(whole), rule: r.name, do: r.do, failed: failed}, 1)
		return out, keep
	}
	switch in := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(in)) {
			if !same(pattern[0], name) {
				continue
			}
			if out, keep := x.point(at, r, whole, pattern[1:], in[name]); keep {
				in[name] = out
			} else {
				delete(in, name)
			}
		}
	case []any:
		for i := range in {
			if pattern[0] == "*" || pattern[0] == strconv.Itoa(i) {
				// null in the place of what is left out: the others keep theirs.
				if out, keep := x.point(at, r, whole, pattern[1:], in[i]); keep {
					in[i] = out
				} else {
					in[i] = nil
				}
			}
		}
	}
	return v, true
}

// patterns applies the rules' patterns to all texts and numbers in v.
func (x *redacting) patterns(at, pointer string, v any) any {
	switch v := v.(type) {
	case string:
		return x.text(at, pointer, v)
	case float64:
		raw, err := ocsf.EncodeValue(v)
		if err != nil {
			return failedText
		}
		if s := x.text(at, pointer, string(raw)); s != string(raw) {
			return s
		}
	case []any:
		for i := range v {
			v[i] = x.patterns(at, pointer+"/"+strconv.Itoa(i), v[i])
		}
	case map[string]any:
		names, out := make(map[string]string, len(v)), make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			written := x.name(at, name, names)
			if written == "" && name != "" {
				continue
			}
			names[written] = ""
			out[written] = x.patterns(at, pointer+"/"+escape.Replace(written), v[name])
		}
		return out
	}
	return v
}

func pointerOf(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(escape.Replace(t))
	}
	return b.String()
}

// operation returns what of an operation events tell, as it is written. Request
// and State are not touched: they are written by the evaluations.
func (x *redacting) operation(op *interceptor.Operation) *interceptor.Operation {
	if len(x.rules) == 0 {
		return op
	}
	c := *op
	c.Principal = x.texts(atPrincipal, op.Principal, false)
	c.Attributes = x.texts(atAttributes, op.Attributes, true)
	c.Labels = x.texts(atLabels, op.Labels, false)
	if op.RequestID != "" {
		id := x.texts(atAttributes, map[string]string{attributeRequestID: op.RequestID}, true)
		c.RequestID = id[attributeRequestID]
	}
	return &c
}

// fact returns a fact whose texts are as they are written. Payloads, patches and
// metadata are redacted where they are written.
func (x *redacting) fact(f *interceptor.Fact) *interceptor.Fact {
	if len(x.rules) == 0 {
		return f
	}
	c := *f
	switch {
	case f.Outcome != nil:
		o := *f.Outcome
		o.Reason = x.text(atReason, "", o.Reason)
		o.Parts = slices.Clone(o.Parts)
		for i := range o.Parts {
			o.Parts[i].Skipped = x.text(atSkipped, "", o.Parts[i].Skipped)
		}
		c.Outcome = &o
	case f.Result != nil:
		r := *f.Result
		r.Reason = x.text(atReason, "", r.Reason)
		r.StatusCode = x.text(atStatusCode, "", r.StatusCode)
		r.Violation = x.text(atViolations, "", r.Violation)
		r.Annotations = x.texts(atAnnotations, r.Annotations, false)
		r.Warnings = slices.Clone(r.Warnings)
		for i, s := range r.Warnings {
			r.Warnings[i] = x.text(atWarnings, "/"+strconv.Itoa(i), s)
		}
		c.Result = &r
	case f.Failure != nil:
		fail := *f.Failure
		fail.Detail = x.text(atDetail, "", fail.Detail)
		c.Failure = &fail
	}
	return &c
}

// The parts of an event that redactions are said of, beside the names of request
// data.
const (
	atPrincipal   = "principal"
	atAttributes  = "attributes"
	atLabels      = "labels"
	atMetadata    = "metadata"
	atReason      = "reason"
	atStatusCode  = "status_code"
	atViolations  = "violations"
	atAnnotations = "log_annotations"
	atWarnings    = "warnings"
	atDetail      = "detail"
	atSkipped     = "skipped"
	atPatches     = "patches"
)

// maxRedactions bounds what an event says of what was left out of it.
const maxRedactions = 64

// redactions says in the event what was left out of it.
func (w *writer) redactions(e *ocsf.APIActivity, of ...*notes) {
	var list []any
	more := 0
	for _, ns := range of {
		for _, n := range ns.order {
			if len(list) == maxRedactions {
				more++
				continue
			}
			m := map[string]any{"at": n.at, "rule": n.rule, "n": ns.n[n]}
			put(m, "do", n.do)
			put(m, "pointer", w.unsaid(n.pointer))
			if n.failed {
				m["failed"] = true
			}
			list = append(list, m)
		}
	}
	if list == nil {
		return
	}
	own(e, ownRedactions, list)
	if more > 0 {
		own(e, ownMoreRedactions, more)
	}
}

// unsaid returns a pointer without what rules leave out: it has names of members.
func (w *writer) unsaid(pointer string) string {
	if len(w.redact.rules) == 0 || pointer == "" {
		return text(pointer)
	}
	tokens := tokensOf(pointer)
	for _, r := range w.redact.rules {
		for _, pattern := range r.pointers {
			if rest, ok := below(pattern, tokens); ok && len(rest) == 0 {
				return pointerOf(pattern)
			}
		}
	}
	silent := redacting{rules: w.redact.rules}
	return silent.text("", "", pointer)
}
