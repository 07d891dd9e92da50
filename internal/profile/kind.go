// SPDX-License-Identifier: Apache-2.0

package profile

import "github.com/docket-audit/docket/ocsf"

// The kinds of events: metadata.event_code.
const (
	KindEvaluation = "evaluation" // a binding is called; carries the input
	KindResult     = "result"     // it answered
	KindFailure    = "failure"    // it did not
	KindOutcome    = "outcome"    // what became of the operation
	KindAction     = "action"     // a side effect of a rule
	KindFinding    = "finding"    // something to look into
	KindLifecycle  = "lifecycle"  // of the system itself
	KindAccess     = "access"     // somebody read the audit store, or was refused
	// KindForeign is what others recorded and Docket took in. It says nothing of
	// Docket's own operations, whatever it looks like.
	KindForeign = "foreign"
)

// Kinds returns all kinds.
func Kinds() []string {
	return []string{KindEvaluation, KindResult, KindFailure, KindOutcome, KindAction, KindFinding, KindLifecycle, KindAccess, KindForeign}
}

// The decisions: what an event did to its operation. They follow from
// action_id; whatever is not one of the first three is none.
const (
	DecisionAllow  = "allow"
	DecisionDeny   = "deny"
	DecisionModify = "modify"
	DecisionNone   = "none"
)

// The tenants with a meaning of their own.
const (
	TenantDefault = "default" // of operations whose adapter named none
	TenantDocket  = "docket"  // of what belongs to no tenant
)

// The message headers beside an event on the stream, so that a subscriber can
// drop duplicates without reading the event.
const (
	HeaderEventUID = "Docket-Event-Uid"
	HeaderEpoch    = "Docket-Epoch"
	HeaderSequence = "Docket-Sequence"
)

// Names within an event that Docket's own parts agree on.
const (
	TagPhase       = "phase"        // metadata.tags: the phase of an evaluation
	TagBinding     = "binding"      // metadata.tags: interceptor/binding
	TagReplayGrade = "replay_grade" // metadata.tags: full, partial, none

	Unmapped = "docket" // unmapped.docket holds what OCSF has no attribute for
)

// decision maps action_id to the decision.
func decision(id ocsf.ActionID) string {
	switch id {
	case ocsf.ActionAllowed:
		return DecisionAllow
	case ocsf.ActionDenied:
		return DecisionDeny
	case ocsf.ActionModified:
		return DecisionModify
	default:
		return DecisionNone
	}
}

// knownKind returns the constant equal to s, so that headers share it.
func knownKind(s []byte) (string, bool) {
	switch string(s) {
	case KindEvaluation:
		return KindEvaluation, true
	case KindResult:
		return KindResult, true
	case KindFailure:
		return KindFailure, true
	case KindOutcome:
		return KindOutcome, true
	case KindAction:
		return KindAction, true
	case KindFinding:
		return KindFinding, true
	case KindLifecycle:
		return KindLifecycle, true
	case KindAccess:
		return KindAccess, true
	case KindForeign:
		return KindForeign, true
	}
	return "", false
}
