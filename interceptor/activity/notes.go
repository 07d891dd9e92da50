// SPDX-License-Identifier: Apache-2.0

package activity

import "slices"

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

// unplace takes back where within a part something was left out: of a payload that
// is not in the record the names of its members are not either.
func (ns *notes) unplace(part string) {
	placed, n := ns.order, ns.n
	ns.order, ns.n = nil, nil
	for _, left := range placed {
		times := n[left]
		if left.at == part {
			left.pointer = ""
		}
		ns.add(left, times)
	}
}

// of says whether a rule of an operator had something to do with one of parts.
func (ns *notes) of(parts ...string) bool {
	return slices.ContainsFunc(ns.order, func(n note) bool { return n.rule != ruleDescriptor && slices.Contains(parts, n.at) })
}

func (ns *notes) failed(part string) bool {
	return slices.ContainsFunc(ns.order, func(n note) bool { return n.failed && n.at == part })
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
func (w *writer) redactions(e *draft, of ...*notes) {
	var list []any
	more := 0
	e.left = leftOut{}
	for _, ns := range of {
		for _, n := range ns.order {
			e.left.add(n, ns.n[n])
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
	e.own(ownRedactions, list)
	e.own(ownRedacted, e.left.said())
	if more > 0 {
		e.own(ownMoreRedactions, more)
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
			if rest, ok := w.request().below(pattern, tokens); ok && len(rest) == 0 {
				return pointerOf(pattern)
			}
		}
	}
	silent := redacting{rules: w.redact.rules}
	return silent.text("", "", pointer)
}

// A leftOut is how many values an event says were left out of it, by place in
// whatWasDone.
type leftOut [4]int

var whatWasDone = [...]string{RedactDrop, RedactMask, RedactHMAC, RedactFailed}

func (l *leftOut) add(n note, times int) {
	do := n.do
	if n.failed {
		do = RedactFailed
	}
	l[slices.Index(whatWasDone[:], do)] += times
}

// said returns the numbers as the event has them.
func (l *leftOut) said() map[string]any {
	m := map[string]any{}
	l.count(func(do string, n int) { m[do] = n })
	return m
}

// count tells the numbers that are not zero.
func (l *leftOut) count(tell func(do string, n int)) {
	if tell == nil {
		return
	}
	for i, n := range l {
		if n > 0 {
			tell(whatWasDone[i], n)
		}
	}
}
