// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// FindingFailOpen is the type of the finding that an operation passed a binding
// unchecked, or in post_commit unseen: finding_info.types.
const FindingFailOpen = "fail_open"

// finding returns the finding that a fact raises beside its event, or nil. What
// sets fail_open apart from ignore in post_commit is just this.
func (w *writer) finding(of *draft) ocsf.Event {
	f := w.fact
	if f.Failure == nil || f.Failure.Policy != interceptor.FailOpen || f.Failure.Decision != interceptor.Allow {
		return nil
	}
	// The event may be released before the finding is written: the finding has
	// nothing of the event's memory.
	api := ocsf.API{Request: &ocsf.Request{UID: of.request.UID}}
	w.shared.name(&api)
	policy := of.policy
	policy.IsApplied = new(*of.policy.IsApplied)
	how, severity := "unchecked", ocsf.SeverityHigh
	if f.Evaluation.Phase == interceptor.PostCommit {
		how, severity = "unseen", ocsf.SeverityMedium // it was allowed by who judged it
	}
	title := fmt.Sprintf("%s passed %s/%s %s: the binding failed (%s) and its policy is fail_open",
		api.Operation, policy.Name, policy.UID, how, text(string(f.Failure.Kind)))
	e := &ocsf.DetectionFinding{
		Base: ocsf.Base{
			Time: of.Time, SeverityID: severity, Message: title, Metadata: w.config.metadata(profile.KindFinding, f.Operation.Tenant),
			ActionID: ocsf.ActionAllowed, DispositionID: ocsf.DispositionAlert, IsAlert: new(true), Policy: &policy,
		},
		ActivityID: ocsf.DetectionFindingCreate, StatusID: ocsf.DetectionFindingStatusNew,
		FindingInfo: &ocsf.FindingInfo{
			Title: title, Types: []string{FindingFailOpen}, CreatedTime: of.Time,
			RelatedEvents: []ocsf.RelatedEvent{{UID: of.Metadata.UID, TypeUID: ocsf.TypeOf(of.Class(), of.Activity())}},
		},
		Evidences: []ocsf.Evidences{{
			API:  &api,
			Data: map[string]any{ownFailureKind: text(string(f.Failure.Kind)), "detail": of.StatusDetail},
		}},
	}
	e.FindingInfo.UID = e.Metadata.UID
	e.Metadata.CorrelationUID = of.Metadata.CorrelationUID
	e.Metadata.Profiles = []string{profileSecurityControl}
	return e
}

// PlanActivated returns the event that a plan is in force from now on: Entity
// Management (3004), with the whole plan as entity.data in the canonical JSON
// that its digest is of. plan SHOULD be that of the chain, [interceptor.Chain.Plan],
// which has its defaults written out. Settings of interceptors are part of a
// plan and so of the record: they are no place for secrets.
func PlanActivated(plan *interceptor.Plan, opts ...Option) ocsf.Event {
	c := newConfig(opts)
	raw, err := json.Marshal(plan)
	if err == nil {
		raw, err = ocsf.Canonicalize(raw)
	}
	if err != nil {
		raw = nil // such a plan has no digest either, and no chain runs it
	}
	id := plan.Digest()
	e := &ocsf.EntityManagement{
		Base: ocsf.Base{
			Time: millis(c.Now()), SeverityID: ocsf.SeverityInformational,
			Message:  fmt.Sprintf("plan %s is in force, with %s; what no binding governs is decided by unmatched = %q", id, counted(len(plan.Bindings), "binding"), plan.Unmatched),
			Metadata: c.metadata(profile.KindLifecycle, profile.TenantDocket),
		},
		ActivityID: ocsf.EntityManagementActivate, StatusID: ocsf.StatusSuccess,
		Entity: &ocsf.ManagedEntity{
			Name: "plan", UID: id, TypeID: ocsf.ManagedEntityTypePolicy, Data: ocsf.Canonical(raw),
			Policy: &ocsf.Policy{UID: id, Name: "plan", IsApplied: new(true)},
		},
	}
	e.Message = text(e.Message)
	own(e, ownPlan, id)
	return e
}

// PlanRejected returns the event that a plan was to be in force, but could not
// be: Application Error (6008), with the cause and the file that the plan was read
// from. inForce is the plan that stays; nil is none. It is no event of a plan,
// which whoever collects plans would look for one in.
func PlanRejected(cause error, file string, inForce *interceptor.Plan, opts ...Option) ocsf.Event {
	c := newConfig(opts)
	why := "unknown"
	if cause != nil {
		why = clip(cause.Error())
	}
	e := &ocsf.ApplicationError{
		Base: ocsf.Base{
			Time: millis(c.Now()), SeverityID: ocsf.SeverityHigh,
			Message:      "a plan was rejected; the one in force stays",
			StatusDetail: why,
			Metadata:     c.metadata(profile.KindLifecycle, profile.TenantDocket),
		},
		ActivityID: ocsf.ApplicationErrorGeneralError, StatusID: ocsf.StatusFailure,
	}
	if inForce != nil {
		own(e, ownPlan, inForce.Digest())
	} else {
		e.Message = "a plan was rejected; none is in force"
	}
	own(e, ownRejected, map[string]any{"file": text(file), "error": why})
	return e
}

// counted says how many there are: "1 binding", "2 bindings".
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
