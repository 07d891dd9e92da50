// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/ocsf"
)

// compare says how what came of an operation now compares with what did then.
// What differs by itself, by noise, does not count; nil is no noise.
func compare(op *activity.Operation, then, now *take, n *noise) Diff {
	c := comparing{op: op, then: then, now: now, noise: n}
	d := Diff{Operation: string(op.UID), Tenant: op.Tenant, Service: op.Service, Method: op.Method, Comparison: Same}
	if then.outcome != nil {
		d.From = then.outcome.Decision.String()
	}
	if now.outcome != nil {
		d.To = now.outcome.Decision.String()
	}
	c.judge(&d)
	d.noisy = c.noisy
	switch d.Comparison {
	case Same:
	case Unreplayable:
		d.From, d.To = "", ""
	default:
		c.explain(&d)
	}
	return d
}

// comparing is one comparison.
type comparing struct {
	op        *activity.Operation
	then, now *take
	noise     *noise
	noisy     []noiseKey // differences that were passed over
}

// judge finds the gravest difference. What comes first outweighs what follows.
func (c *comparing) judge(d *Diff) {
	for _, t := range []*take{c.now, c.then} {
		if t.unreplayable != "" {
			d.Comparison, d.Reason = Unreplayable, t.unreplayable
			d.by(t.missed)
			return
		}
	}
	then, now := c.then.outcome, c.now.outcome
	if erred := c.erred(); erred != nil {
		d.Comparison, d.Reason = Erred, string(erred.failure.Kind)
		d.Interceptor, d.Binding = erred.Interceptor, erred.Binding
		return
	}
	switch {
	case circumstantial(then):
		// No plan decided then: the audit was unavailable, the caller had gone, or
		// the adapter refused it. Nor did it come to its last binding, so that there
		// is nothing to hold patches against.
		return
	case then.Decision != now.Decision || then.Ran != now.Ran:
		by := cause(c.then, c.now)
		// What was denied and would pass is told, noise or not: a binding that errs
		// at times may as well have been changed.
		if then.Decision == interceptor.Deny && now.Decision != interceptor.Deny || c.quiet(by, fieldDecision) {
			d.Comparison = Flipped
			d.by(by)
		}
		return
	case now.Decision == interceptor.Deny:
		// What was patched before came to nothing.
		if by, differ := c.status(); differ {
			d.Comparison = StatusDiffers
			d.by(by)
			return
		}
	case c.then.truncated:
		d.Comparison, d.Reason = Unreplayable, noPatches
		return
	default:
		if by, differ := c.patches(); differ && c.then.redacted {
			d.Comparison, d.Reason = Unreplayable, redactedPatches
			return
		} else if differ {
			d.Comparison = PatchesDiffer
			d.by(by)
			return
		}
	}
	if a := c.handling(); a != nil {
		d.Comparison = FailureDiffers
		d.Interceptor, d.Binding = a.Interceptor, a.Binding
		return
	}
	if a := c.annotations(); a != nil {
		d.Comparison = AnnotationsDiffer
		d.Interceptor, d.Binding = a.Interceptor, a.Binding
	}
}

// erred returns the first binding that failed now and not then. What failed in
// the record was answered from there, and is no error of the candidate, also where
// the plan that it is compared with does not come to that binding.
func (c *comparing) erred() *answer {
	for i := range c.now.answers {
		a := &c.now.answers[i]
		if a.failure == nil || a.missed || a.Shadow || c.failedOnRecord(a) {
			continue
		}
		if then := c.then.find(a); then == nil || then.failure == nil {
			return a
		}
	}
	return nil
}

func (c *comparing) failedOnRecord(a *answer) bool {
	return slices.ContainsFunc(c.op.Evaluations, func(e activity.Evaluation) bool {
		return e.Failure != nil && e.Interceptor == a.Interceptor && e.Binding == a.Binding && e.Phase == a.Phase
	})
}

// status says whether callers are denied with another status, and which binding
// says so now.
func (c *comparing) status() (*interceptor.Part, bool) {
	then, now := c.then.outcome, c.now.outcome
	by := cause(c.then, c.now)
	code := then.Status.Code() != now.Status.Code() && c.quiet(by, fieldStatus)
	reason := !c.then.reasonRedacted && then.Reason != now.Reason && c.quiet(by, fieldReason)
	return by, code || reason
}

// patches says whether the patches make another payload than they did, and
// which binding brings that about.
func (c *comparing) patches() (*interceptor.Part, bool) {
	then, now := c.then.outcome, c.now.outcome
	if slices.EqualFunc(then.Patches, now.Patches, samePatch) {
		return nil, false
	}
	by := patcher(c.then.edits, c.now.edits)
	if c.op.Request == nil || c.then.redacted {
		return by, true
	}
	a, errThen := patched(c.op, then.Patches)
	b, errNow := patched(c.op, now.Patches)
	if errThen != nil || errNow != nil {
		return by, true // of which nothing can be said but that they are others
	}
	differ := false
	for _, p := range jsonChanges(a, b) {
		differ = c.quiet(nil, fieldPayload+p.general) || differ
	}
	return by, differ
}

// handling returns the first binding whose failure, then and now, is made
// something else of.
func (c *comparing) handling() *answer {
	for i := range c.now.answers {
		a := &c.now.answers[i]
		if a.failure == nil || a.missed || a.Shadow {
			continue
		}
		if then := c.then.find(a); then != nil && then.failure != nil && then.failure.Policy != a.failure.Policy {
			return a
		}
	}
	return nil
}

// annotations returns the first binding that annotates otherwise. What the record
// has not as it was is not compared.
func (c *comparing) annotations() *answer {
	for i := range c.now.answers {
		a := &c.now.answers[i]
		if a.result == nil || a.Shadow {
			continue
		}
		then := c.then.find(a)
		if then == nil || then.result == nil || then.vague || maps.Equal(then.result.Annotations, a.result.Annotations) {
			continue
		}
		part := &interceptor.Part{Interceptor: a.Interceptor, Binding: a.Binding}
		differ := false
		for _, key := range differingKeys(then.result.Annotations, a.result.Annotations) {
			differ = c.quiet(part, fieldAnnotation+key) || differ
		}
		if differ {
			return a
		}
	}
	return nil
}

// quiet says whether a field of a binding is free of noise, and notes when it
// is not.
func (c *comparing) quiet(by *interceptor.Part, field string) bool {
	key := noiseKey{service: c.op.Service, method: c.op.Method, field: field}
	if by != nil {
		key.interceptor, key.binding = by.Interceptor, by.Binding
	}
	if !c.noise.has(key) {
		return true
	}
	if !slices.Contains(c.noisy, key) { // of an array more than one item may differ
		c.noisy = append(c.noisy, key)
	}
	return false
}

// circumstantial says that an operation was denied by what no plan decides.
// Unmatched, which is a plan's, says so in the chain's own words.
func circumstantial(out *interceptor.Outcome) bool {
	return out.Decision == interceptor.Deny && out.By == nil &&
		(out.Status.Code() != codes.PermissionDenied || !strings.HasPrefix(out.Reason, "no binding governs this "))
}

// patched returns the JSON of an operation's request with patches applied.
func patched(op *activity.Operation, patches []interceptor.Patch) ([]byte, error) {
	p, err := interceptor.NewPayload(op.Request).Patched(patches)
	if err != nil {
		return nil, err
	}
	return p.JSON()
}

// samePatch compares patches; values by their JSON, which the record has in
// canonical form.
func samePatch(x, y interceptor.Patch) bool {
	if x.Op != y.Op || x.Path != y.Path || x.From != y.From || (x.Value == nil) != (y.Value == nil) {
		return false
	}
	return bytes.Equal(x.Value, y.Value) || bytes.Equal(canonical(x.Value), canonical(y.Value))
}

// canonical returns the canonical form of a value, or the value when it has none.
func canonical(v []byte) []byte {
	if c, err := ocsf.Canonicalize(v); err == nil {
		return c
	}
	return v
}

// differingKeys returns the keys, in order, that two maps do not have alike.
func differingKeys(x, y map[string]string) []string {
	keys := map[string]bool{}
	for k, v := range x {
		if w, ok := y[k]; !ok || v != w {
			keys[k] = true
		}
	}
	for k := range y {
		if _, ok := x[k]; !ok {
			keys[k] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}
