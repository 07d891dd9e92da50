// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bytes"
	"slices"

	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// compare says how what came of the operation now compares with what did then.
func (a *act) compare(out *interceptor.Outcome) Group {
	then := a.op.Outcome
	g := Group{Comparison: Same, From: then.Decision.String(), To: out.Decision.String()}
	switch {
	case a.unreplayable != "":
		g = Group{Comparison: Unreplayable, Reason: a.unreplayable}
		g.by(a.missed)
	case a.erred != nil:
		g.Comparison, g.Reason = Erred, string(a.erred.Failure.Kind)
		g.by(a.erred)
	case circumstantial(then) && out.Decision != interceptor.Deny:
		// The candidate had nothing against it, but the policy did not decide
		// then either: the audit was unavailable, or the caller had gone.
	case then.Decision != out.Decision || then.Ran != out.Ran:
		g.Comparison = Flipped
		g.by(cause(then, out))
	case a.op.Truncated:
		g = Group{Comparison: Unreplayable, Reason: noPatches}
	case slices.EqualFunc(then.Patches, out.Patches, samePatch):
	case a.op.Redacted:
		g = Group{Comparison: Unreplayable, Reason: redactedPatches}
	default:
		g.Comparison = PatchesDiffer
		g.by(patcher(then, out))
	}
	return g
}

// circumstantial says that an operation was denied by what no plan decides.
func circumstantial(out *interceptor.Outcome) bool {
	return out.Decision == interceptor.Deny && out.By == nil && out.Status.Code() != codes.PermissionDenied
}

func (g *Group) by(p *interceptor.Part) {
	if p != nil {
		g.Interceptor, g.Binding = p.Interceptor, p.Binding
	}
}

// cause returns the binding that a flip goes back to: the one that denies now,
// else the one that denied then, else the one that patches in one case only.
func cause(then, now *interceptor.Outcome) *interceptor.Part {
	if now.By != nil {
		return now.By
	}
	if then.By != nil {
		return then.By
	}
	return patcher(then, now)
}

// patcher returns a binding that patches in one case and not in the other, else
// the first that patches now.
func patcher(then, now *interceptor.Outcome) *interceptor.Part {
	for _, pair := range [][2][]interceptor.Part{{now.Parts, then.Parts}, {then.Parts, now.Parts}} {
		for i := range pair[0] {
			p := &pair[0][i]
			if p.Decision == interceptor.Modify && !slices.ContainsFunc(pair[1], func(q interceptor.Part) bool {
				return q.Interceptor == p.Interceptor && q.Binding == p.Binding && q.Phase == p.Phase && q.Decision == interceptor.Modify
			}) {
				return p
			}
		}
	}
	for i := range now.Parts {
		if now.Parts[i].Decision == interceptor.Modify {
			return &now.Parts[i]
		}
	}
	return nil
}

// samePatch compares patches; values by their JSON, which the record has in
// canonical form.
func samePatch(x, y interceptor.Patch) bool {
	if x.Op != y.Op || x.Path != y.Path || x.From != y.From || (x.Value == nil) != (y.Value == nil) {
		return false
	}
	return bytes.Equal(canonical(x.Value), canonical(y.Value))
}

// canonical returns the canonical form of a value, or the value when it has none.
func canonical(v []byte) []byte {
	if c, err := ocsf.Canonicalize(v); err == nil {
		return c
	}
	return v
}
