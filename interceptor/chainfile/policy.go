// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"slices"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/strictoml"
)

// originManifest is the origin of a value that the interceptor itself stated.
const originManifest = "manifest"

// statement is one word about a failure policy. Near ones are about a single
// binding; the others are about a whole interceptor, whose bindings may differ
// in phases.
type statement struct {
	policy interceptor.FailurePolicy
	table  *strictoml.Pos // nil when the manifest said it, or nobody
	near   bool
}

func (st statement) origin(otherwise string) string {
	if st.table == nil {
		return otherwise
	}
	return st.table.At("failure_policy")
}

// judges reports whether a binding has a phase before the handler.
func judges(phases []interceptor.Phase) bool {
	return slices.ContainsFunc(phases, func(p interceptor.Phase) bool { return p != interceptor.PostCommit })
}

// choosePolicies settles what a failure of the binding means. The override,
// the manifest's binding and the manifest may be nil; under allowlist and exact
// the manifest has no say.
func (s *service) choosePolicies(r *resolved, o *override, b *interceptor.Binding, m *interceptor.Manifest) error {
	if judges(r.Phases) {
		said := s.operatorStatements(o)
		if b != nil {
			said = append(said, statement{policy: b.FailurePolicy, near: true})
		}
		if m != nil {
			said = append(said, statement{policy: m.FailurePolicy})
		}
		chosen, origin := first(said, interceptor.FailClosed)
		if chosen.policy == interceptor.Ignore {
			return s.errorAt(chosen, "use fail_open, which says that it let the operation pass, or leave only post_commit in the phases",
				`failure_policy "ignore" is for post_commit only, and binding "`+r.ID+`" has other phases`)
		}
		r.FailurePolicy, r.policyOrigin = chosen.policy, origin
	}
	if !slices.Contains(r.Phases, interceptor.PostCommit) {
		return nil
	}

	said := s.operatorStatements(o)
	if b != nil {
		said = append(said, statement{policy: b.PostCommitPolicy, near: true}, statement{policy: b.FailurePolicy, near: true})
	}
	if m != nil {
		said = append(said, statement{policy: m.FailurePolicy})
	}
	chosen, origin := first(said, interceptor.FailOpen)
	if chosen.policy == interceptor.FailClosed {
		if chosen.near && !judges(r.Phases) {
			return s.errPostCommitClosed(chosen)
		}
		// It was said of the phases that can still deny.
		chosen.policy, origin = interceptor.FailOpen, originDefault
	}
	r.PostCommitPolicy, r.postCommitOrigin = chosen.policy, origin
	return nil
}

func (s *service) operatorStatements(o *override) []statement {
	var said []statement
	if o != nil {
		said = append(said, statement{o.failure, &o.table.Pos, true})
	}
	return append(said, statement{s.failure, &s.table.Pos, false})
}

// first is the first statement that says something, and its origin.
func first(said []statement, otherwise interceptor.FailurePolicy) (statement, string) {
	for _, st := range said {
		if st.policy != 0 {
			return st, st.origin(originManifest)
		}
	}
	return statement{policy: otherwise}, originDefault
}

func (s *service) errPostCommitClosed(st statement) error {
	return s.errorAt(st, `say failure_policy = "fail_open" or "ignore": the handler has run when post_commit does`,
		"post_commit refuses failure_policy fail_closed")
}

// errorAt makes an error about a statement, where it was made.
func (s *service) errorAt(st statement, hint, msg string) error {
	if st.table == nil {
		return s.errorf("name", hint, "its manifest is refused: %s", msg)
	}
	return st.table.Errorf("failure_policy", hint, "interceptor %q: %s", s.name, msg)
}
