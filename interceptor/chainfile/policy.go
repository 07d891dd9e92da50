// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"cmp"
	"slices"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/strictoml"
)

// Who said something: the interceptor itself, the operator in the
// interceptor's table or in one about a single binding, or nobody.
const (
	levelManifest = "manifest"
	levelService  = "service"
	levelBinding  = "binding"
	levelDefault  = "default"
	levelUnknown  = "unknown"
)

// origin says who said something, and where: FILE:LINE, or words.
type origin struct{ level, at string }

var (
	fromManifest = origin{levelManifest, levelManifest}
	fromNobody   = origin{levelDefault, levelDefault}
	fromUnknown  = origin{levelUnknown, levelUnknown}
)

// statement is one word about a failure policy.
type statement struct {
	policy interceptor.FailurePolicy
	pos    *strictoml.Pos // nil when the manifest said it, or nobody
	key    string
	level  string
	// aboutBinding is set when the manifest said it of a single binding.
	aboutBinding bool
}

// near reports whether it was said of a single binding. Others are about a
// whole interceptor, whose bindings may differ in phases.
func (st statement) near() bool { return st.level == levelBinding || st.aboutBinding }

func (st statement) origin() origin {
	switch {
	case st.pos != nil:
		return origin{st.level, st.pos.At(st.key)}
	case st.level == levelManifest:
		return fromManifest
	}
	return fromNobody
}

// judges reports whether a binding has a phase before the handler.
func judges(phases []interceptor.Phase) bool {
	return slices.ContainsFunc(phases, func(p interceptor.Phase) bool { return p != interceptor.PostCommit })
}

// choosePolicies settles what a failure of the binding means, phase by phase.
// The override, the manifest's binding and the manifest may be nil; under
// allowlist and exact the manifest has no say.
func (s *service) choosePolicies(r *resolved, o *override, b *interceptor.Binding, m *interceptor.Manifest) error {
	chosen := map[interceptor.Phase]interceptor.FailurePolicy{}
	for _, phase := range r.Phases {
		st := first(s.statements(phase, o, b, m), phase)
		from := st.origin()
		switch {
		case phase != interceptor.PostCommit && st.policy == interceptor.Ignore:
			whose := `binding "` + r.ID + `"`
			if o != nil { // which may name it by what it is called for
				whose = o.subject()
			}
			return s.errorAt(st, "use fail_open, which says that it let the operation pass, or leave only post_commit in the phases",
				`failure_policy "ignore" is for post_commit only, and `+whose+` has other phases`)
		case phase == interceptor.PostCommit && st.policy == interceptor.FailClosed:
			if st.near() && !judges(r.Phases) {
				return s.errPostCommitClosed(st)
			}
			// It was said of the phases that can still deny.
			st.policy, from = interceptor.FailOpen, origin{levelDefault, "default; fail_closed is for the phases before the handler"}
		}
		chosen[phase] = st.policy
		r.said(phase, st.policy, from)
	}
	validate, modify := chosen[interceptor.Validate], chosen[interceptor.ModifyOperation]
	r.FailurePolicy, r.PostCommitPolicy = cmp.Or(validate, modify), chosen[interceptor.PostCommit]
	if validate != 0 && modify != 0 && validate != modify {
		r.ModifyPolicy = modify
	}
	return s.checkPhasePolicies(o, r)
}

// checkPhasePolicies refuses a policy for a phase that the binding has not.
func (s *service) checkPhasePolicies(o *override, r *resolved) error {
	if o == nil {
		return nil
	}
	for phase := range o.stated.policies {
		if !slices.Contains(r.Phases, phase) {
			return o.table.Errorf("phase_policies", "it has "+phaseWords(r.Phases), "phase_policies name %s, which %s of interceptor %q has not", phase, o.subject(), s.name)
		}
	}
	return nil
}

// statements are what was said about failures in a phase, the nearest first.
func (s *service) statements(phase interceptor.Phase, o *override, b *interceptor.Binding, m *interceptor.Manifest) []statement {
	said := s.operatorStatements(phase, o)
	if b != nil {
		own := b.FailurePolicy
		switch phase {
		case interceptor.PostCommit:
			own = cmp.Or(b.PostCommitPolicy, b.FailurePolicy)
		case interceptor.ModifyOperation:
			own = cmp.Or(b.ModifyPolicy, b.FailurePolicy)
		}
		said = append(said, statement{policy: own, level: levelManifest, aboutBinding: true})
	}
	if m != nil {
		said = append(said, statement{policy: m.FailurePolicy, level: levelManifest})
	}
	return said
}

func (s *service) operatorStatements(phase interceptor.Phase, o *override) []statement {
	var said []statement
	if o != nil {
		said = append(said, o.stated.policy(phase))
	}
	return append(said, s.stated.policy(phase))
}

// first is the first statement that says something; without one a failure
// denies while that is possible.
func first(said []statement, phase interceptor.Phase) statement {
	for _, st := range said {
		if st.policy != 0 {
			return st
		}
	}
	if phase == interceptor.PostCommit {
		return statement{policy: interceptor.FailOpen, level: levelDefault}
	}
	return statement{policy: interceptor.FailClosed, level: levelDefault}
}

func (s *service) errPostCommitClosed(st statement) error {
	return s.errorAt(st, `say failure_policy = "fail_open" or "ignore": the handler has run when post_commit does`,
		"post_commit refuses failure_policy fail_closed")
}

// errorAt makes an error about a statement, where it was made.
func (s *service) errorAt(st statement, hint, msg string) error {
	if st.pos == nil {
		return s.errorf("name", hint, "its manifest is refused: %s", msg)
	}
	return st.pos.Errorf(st.key, hint, "interceptor %q: %s", s.name, msg)
}
