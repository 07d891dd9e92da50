// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
)

// The model says what a charter makes of a deed, from what the deed's maker knows.
// It has no chain, no JSON and no record: it is what the engine is held against.

// A verdict is what comes of a deed.
type verdict struct {
	decision     string
	ran          bool
	by           string // who denied; "" when no binding did
	circumstance bool   // denied by what no plan decides
	code         string // that the caller is answered
	reason       string // of a deny

	box      box                 // as the handler is given it, or would be
	edits    []string            // accepted patches, as texts
	byWhom   map[string][]string // of them
	editors  []string            // who made any, in order
	notes    map[string]string   // annotations of those that answered and are no shadows, by key
	called   []string            // keys of those who were called
	failed   map[string]string   // how, by key, shadows included
	handled  map[string]bool     // whether a failure was let pass, by key, of those that are no shadows
	shown    map[string]string   // what they were shown, by key
	shadows  map[string]bool
	tooLarge bool // an edit is too large for the record

	lost  string // the first binding that would have to be shown what is not in the record
	erred string // the first binding that fails and did not then
	kind  string // how
}

// A ruling is what one clause says.
type ruling struct {
	deny         bool
	code, reason string
	edits        []edit
	risk         *risk
	plan         string // set as the tenant's
	fails        string // how
}

// An edit is one patch: what it is called, and what it does; false when it cannot
// be done.
type edit struct {
	text string
	do   func(*box) bool
}

type risk struct {
	score int
	from  string
}

// A scene is what is at hand while a deed is judged.
type scene struct {
	deed    *deed
	charter *charter
	then    *verdict // nil while the history is made
	v       *verdict
	risk    *risk  // set so far
	plan    string // the tenant's, as far as is known
	state   bool   // the current state is
}

// settle says what comes of a deed under a charter: when it is done, or, with what
// came of it then, when it is replayed.
func settle(c *charter, d *deed, then *verdict) *verdict {
	v := &verdict{
		decision: "allow", code: "OK", box: d.box, byWhom: map[string][]string{}, notes: map[string]string{},
		failed: map[string]string{}, handled: map[string]bool{}, shown: map[string]string{}, shadows: map[string]bool{},
	}
	s := &scene{deed: d, charter: c, then: then, v: v, state: then == nil || then.validated()}
	if then == nil || then.sawTenant() {
		s.plan = d.plan
	}
	judges := slices.Concat(s.clauses(interceptor.ModifyOperation), s.clauses(interceptor.Validate))
	switch {
	case then != nil && (d.halfKept(then) || s.labelled() && d.labelsLost(then)):
		v.lost = "part of what is asked for"
	case c.unmatched == "deny" && !slices.ContainsFunc(judges, func(x step) bool { return !x.shadow }):
		v.refuse("", "PERMISSION_DENIED", "no binding governs this "+map[bool]string{true: "operation", false: "method"}[s.mentioned()])
	case then == nil && d.refused != codes.OK:
		v.refuse("", strings.ToUpper(snake(d.refused.String())), "refused")
		v.circumstance = true
	default:
		for _, x := range judges {
			if v.decision == "deny" || v.lost != "" {
				break
			}
			s.judge(x)
		}
	}
	if then == nil && d.unspooled && len(v.called) > 0 && v.decision != "deny" && s.waits() {
		v.refuse("", "UNAVAILABLE", "audit unavailable")
		v.circumstance = true
	}
	if v.decision == "deny" || v.lost != "" {
		return v
	}
	v.ran = true
	if d.handler != "" && (then == nil || then.ran) {
		v.code = map[string]string{"exists": "ALREADY_EXISTS", "denied": "PERMISSION_DENIED", "panic": "INTERNAL"}[d.handler]
		return v
	}
	for _, x := range s.clauses(interceptor.PostCommit) {
		s.observe(x)
	}
	return v
}

func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (v *verdict) refuse(by, code, reason string) {
	v.decision, v.by, v.code, v.reason = "deny", by, code, reason
}

// waits says whether the deed is done only when the facts so far are durable.
func (s *scene) waits() bool {
	return s.charter.audit == interceptor.AuditDurable || s.charter.audit == "" && !strings.HasPrefix(s.deed.method, "List")
}

// mentioned says whether any clause names the method.
func (s *scene) mentioned() bool {
	return slices.ContainsFunc(s.charter.clauses, func(c clause) bool { return len(c.methods) == 0 || slices.Contains(c.methods, s.deed.method) })
}

// labelled says whether a clause that names the method selects by labels.
func (s *scene) labelled() bool {
	return slices.ContainsFunc(s.charter.clauses, func(c clause) bool {
		return len(c.labels) > 0 && (len(c.methods) == 0 || slices.Contains(c.methods, s.deed.method))
	})
}

// labelsLost says whether the record does not tell the labels: a rule has touched
// them, and the payload too, or there are none and nobody was shown that.
func (d *deed) labelsLost(then *verdict) bool {
	return d.redacted() && d.box.labels != nil || !then.judged() && d.box.labels == nil
}

// redacted says whether a rule has touched the payload.
func (d *deed) redacted() bool { return d.method == "SealBox" && d.box.note != "" }

// A step is a clause in one phase.
type step struct {
	*clause
	phase interceptor.Phase
	key   string
}

// clauses returns those of a phase that select the deed, in their order.
func (s *scene) clauses(phase interceptor.Phase) []step {
	var out []step
	for i := range s.charter.clauses {
		c := &s.charter.clauses[i]
		if slices.Contains(c.phases, phase) && c.selects(s.deed) {
			out = append(out, step{c, phase, keyOf(c.name(), phase)})
		}
	}
	slices.SortStableFunc(out, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.who, b.who), cmp.Compare(a.id, b.id))
	})
	return out
}

func (c *clause) selects(d *deed) bool {
	if len(c.methods) > 0 && !slices.Contains(c.methods, d.method) {
		return false
	}
	subject := d.subject
	if d.kind == "anonymous" {
		subject = ""
	}
	if len(c.principals) > 0 && !slices.Contains(c.principals, d.kind) && !slices.Contains(c.principals, d.kind+"/"+subject) && !slices.Contains(c.principals, d.kind+"/*") {
		return false
	}
	for name, value := range c.labels {
		if has, ok := d.box.labels[name]; !ok || value != "*" && has != value {
			return false
		}
	}
	return true
}

// onFailure returns the failure policy of a step before the handler.
func (x *step) open() bool {
	policy := x.policy
	if x.phase == interceptor.ModifyOperation && x.modify != 0 {
		policy = x.modify
	}
	return policy == interceptor.FailOpen
}

// sawTenant says whether somebody was shown the tenant's metadata, and so whether
// the record has them.
func (v *verdict) sawTenant() bool {
	return slices.ContainsFunc(v.called, func(key string) bool { return strings.Contains(v.shown[key], "tenant=") })
}

// validated says whether anybody was to be shown the current state then.
func (v *verdict) validated() bool {
	return slices.ContainsFunc(v.called, func(key string) bool { return strings.HasSuffix(key, "@3") })
}

// halfKept says whether somebody was shown something beside the payload that is
// too large for the record.
func (d *deed) halfKept(then *verdict) bool {
	return d.bigMetadata && then.sawTenant() || d.state != nil && d.state.big && then.validated()
}

// show notes what a step is shown, as a text.
func (s *scene) show(x step) string {
	t := fmt.Sprintf("%#v", s.v.box)
	if x.phase == interceptor.Validate && s.deed.state != nil && s.state {
		t += fmt.Sprintf(" state=%v", *s.deed.state)
	}
	for _, a := range x.attributes {
		t += " " + a + "=" + s.deed.browser
	}
	if slices.Contains(x.reads, "tenant") && s.plan != "" {
		t += " tenant=" + s.plan
	}
	if slices.Contains(x.reads, "risk") && s.risk != nil {
		t += fmt.Sprintf(" risk=%v", *s.risk)
	}
	s.v.shown[x.key] = t
	return t
}

// unknown says whether nobody was shown what a step would have to be shown, or
// what was shown is not in the record.
func (s *scene) unknown() bool {
	return !s.then.judged() || len(s.deed.box.note) > captureMax && !s.deed.redacted() // which is short then
}

func (v *verdict) judged() bool {
	return slices.ContainsFunc(v.called, func(key string) bool { return !strings.HasSuffix(key, "@4") })
}

// judge takes one step before the handler.
func (s *scene) judge(x step) {
	v := s.v
	v.called = append(v.called, x.key)
	v.shadows[x.key] = x.shadow
	shown := s.show(x)
	r, before := s.answer(x, shown)
	if s.v.lost != "" {
		return
	}
	after, texts := v.box, []string(nil)
	if r.fails == "" {
		for _, e := range r.edits {
			if !e.do(&after) {
				r.fails = "patch"
				break
			}
			texts = append(texts, e.text)
		}
	}
	if r.fails != "" {
		v.failed[x.key] = r.fails
		if !x.shadow {
			v.handled[x.key] = x.open()
		}
		if !before && !x.shadow && v.erred == "" {
			v.erred, v.kind = x.name(), string(kinds[r.fails])
		}
	}
	switch {
	case r.fails == "gone":
		v.refuse("", "CANCELED", "the caller went away")
		v.circumstance = true
	case x.shadow:
	case r.fails != "":
		if !x.open() {
			v.refuse(x.name(), "PERMISSION_DENIED", fmt.Sprintf("%s failed (%s), which its failure policy makes a deny", x.who, cmp.Or(string(kinds[r.fails]), r.fails)))
		}
	case r.deny:
		v.refuse(x.name(), r.code, r.reason)
	default:
		if r.risk != nil {
			s.risk = r.risk
		}
		s.plan = cmp.Or(r.plan, s.plan)
		if len(texts) > 0 {
			v.decision, v.box = "modify", after
			v.edits = append(v.edits, texts...)
			v.byWhom[x.name()] = texts
			v.editors = append(v.editors, x.name())
			v.tooLarge = v.tooLarge || x.does == "fill"
		}
		v.notes[x.key] = x.note
	}
	if s.then == nil && s.deed.leaves == x.key && v.decision != "deny" {
		v.refuse("", "CANCELED", "the caller went away")
		v.circumstance = true
	}
}

// answer returns what a step says, or how it fails; before says that it did so then.
func (s *scene) answer(x step, shown string) (r ruling, before bool) {
	if s.then == nil {
		if s.deed.gone == x.key {
			return ruling{fails: "gone"}, true
		}
		if how := s.deed.faults[x.key]; how != "" {
			return ruling{fails: how}, true
		}
		return s.rule(x), true
	}
	if how := s.then.failed[x.key]; how != "" {
		return ruling{fails: cmp.Or(map[string]string{"gone": "unavailable"}[how], how)}, true
	}
	was, called := s.then.shown[x.key]
	if s.unknown() || !x.unlinked && s.deed.redacted() || x.unlinked && (!called || was != shown) {
		if !x.shadow {
			s.v.lost = x.name()
		}
		return ruling{fails: "unavailable"}, true
	}
	return s.rule(x), false
}

// observe takes one step after the handler.
func (s *scene) observe(x step) {
	v := s.v
	v.called = append(v.called, x.key)
	v.shadows[x.key] = x.shadow
	s.show(x)
	if !x.shadow {
		v.handled[x.key] = x.post != interceptor.Ignore // matters where it fails in both
	}
	if s.then == nil {
		if how := s.deed.faults[x.key]; how != "" {
			v.failed[x.key] = how
		} else if r := s.rule(x); r.fails != "" {
			v.failed[x.key] = r.fails
		} else if r.deny {
			v.failed[x.key] = "decision"
		} else if !x.shadow {
			v.notes[x.key] = x.note
		}
		return
	}
	// What was committed is known when somebody was shown it, and it could be kept.
	known := slices.ContainsFunc(s.then.called, func(key string) bool { return strings.HasSuffix(key, "@4") }) && len(s.deed.box.note) <= captureMax && !s.then.tooLarge
	if s.then.failed[x.key] != "" || !known || x.unlinked || x.shadow {
		return
	}
	r := s.rule(x)
	if r.deny {
		r.fails = "decision" // the handler has run
	}
	if r.fails != "" && v.erred == "" {
		v.erred, v.kind = x.name(), string(kinds[r.fails])
	}
	if r.fails == "" {
		v.notes[x.key] = x.note
	}
}

// unlike says how an outcome is not what the model says; "" when it is.
func (v *verdict) unlike(out *interceptor.Outcome) string {
	var by string
	if out.By != nil {
		by = out.By.Interceptor + "/" + out.By.Binding
	}
	var texts []string
	for _, p := range out.Patches {
		t := p.Op + " " + p.Path
		if p.From != "" {
			t += " < " + p.From
		}
		if p.Value != nil {
			t += " " + string(p.Value)
		}
		texts = append(texts, t)
	}
	code := "OK"
	if out.Status.Code() != codes.OK {
		code = strings.ToUpper(snake(out.Status.Code().String()))
	}
	got := []any{out.Decision.String(), out.Ran, by, code, out.Reason, texts}
	want := []any{v.decision, v.ran, v.by, v.code, v.reason, v.edits}
	if reflect.DeepEqual(got, want) {
		return ""
	}
	return fmt.Sprintf("outcome %.600v, the model says %.600v", got, want)
}
