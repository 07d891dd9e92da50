// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"time"

	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// evaluated sets what results and failures share.
func (w *writer) evaluated(e *draft, kind string, end time.Time) {
	ev := w.fact.Evaluation
	w.binding(e, kind)
	if w.shadow() {
		e.tag(tagShadow, "true")
	}
	w.span(e, string(ev.UID), "Evaluate", ev.Start, end)
}

func (w *writer) result(e *draft) {
	r := w.fact.Result
	e.ActionID, e.DispositionID = effect(r.Decision)
	if w.shadow() {
		e.ActionID, e.DispositionID = effect(interceptor.None)
		e.own(ownWould, r.Decision.String())
	}
	e.StatusID = ocsf.StatusSuccess
	code := codes.OK
	if r.Decision == interceptor.Deny {
		code = denialCode(r.StatusCode)
		e.StatusID, e.StatusCode, e.SeverityID = ocsf.StatusFailure, codeName(code), ocsf.SeverityMedium
		e.StatusDetail = clip(r.Reason)
	}
	w.answer(e, code, r.Decision, r.Patches)
	put(e.data, dataReason, text(r.Reason))
	put(e.data, dataStatusCode, text(r.StatusCode))
	if len(r.Annotations) > 0 {
		e.data[dataAnnotations] = texts(r.Annotations)
	}
	if len(r.Warnings) > 0 {
		warnings := make([]string, len(r.Warnings))
		for i, s := range r.Warnings {
			warnings[i] = text(s)
		}
		e.data[dataWarnings] = warnings
	}
	w.dynamic(e)
	e.response.Data = w.bounded(e, w.config.CaptureMax)
	if r.Decision == interceptor.Deny {
		e.response.Error, e.response.ErrorMessage = e.StatusCode, e.StatusDetail
	} else {
		e.response.Message = clip(r.Reason)
	}
	e.decide(w.prefixed(r.Decision.String()))
	if r.Violation != "" {
		e.own(ownViolations, []string{clip(r.Violation)})
	}
}

func (w *writer) failure(e *draft) {
	f, phase := w.fact.Failure, w.fact.Evaluation.Phase
	e.ActionID, _ = effect(f.Decision)
	e.DispositionID, e.StatusID = ocsf.DispositionError, ocsf.StatusFailure
	code, name := failureCode(f.Kind)
	e.StatusCode, e.StatusDetail = name, clip(f.Detail)
	e.response.Code, e.response.Error, e.response.ErrorMessage = e.number(numberCode, int64(code)), name, text(string(f.Kind))
	e.API.Response = &e.response
	switch {
	case f.Decision == interceptor.Deny:
		e.SeverityID = ocsf.SeverityMedium
	case f.Policy == interceptor.FailOpen && phase != interceptor.PostCommit && !w.shadow():
		e.SeverityID, e.IsAlert = ocsf.SeverityHigh, e.bit(bitAlert, true)
	default:
		e.SeverityID = ocsf.SeverityLow
	}
	e.decide(w.prefixed(failedPrefix + f.Policy.String()))
	if w.shadow() {
		e.own(ownWould, wouldBe(f, phase).String())
	}
	e.own(ownFailureKind, text(string(f.Kind)))
	e.own(ownFailurePolicy, f.Policy.String())
}

// What authorizations say of a binding that gave no result.
const (
	failedPrefix    = "error:"  // the failure policy follows
	shadowPrefix    = "shadow:" // what it would have been follows
	decisionSkipped = "skipped"
)

// tagShadow marks the ends of evaluations by shadows.
const tagShadow = "shadow"

// shadow says whether the fact is of a binding that is never applied.
func (w *writer) shadow() bool { return w.fact.Binding != nil && w.fact.Binding.Shadow }

func (w *writer) prefixed(decision string) string {
	if w.shadow() {
		return shadowPrefix + decision
	}
	return decision
}

// wouldBe returns what a shadow's failure would have made of the operation.
func wouldBe(f *interceptor.Failure, phase interceptor.Phase) interceptor.Decision {
	switch {
	case phase != interceptor.PostCommit && (f.Kind == interceptor.Cancelled || f.Policy == interceptor.FailClosed):
		return interceptor.Deny
	case f.Policy == interceptor.FailOpen:
		return interceptor.Allow
	default:
		return interceptor.None
	}
}

// dynamic writes the metadata that a result sets.
func (w *writer) dynamic(e *draft) {
	set := w.fact.Result.Metadata
	if len(set) == 0 {
		return
	}
	raw, err := w.namespaces(set)
	if err != nil {
		e.own(ownBroken, "the metadata that it sets has no JSON form")
		return
	}
	e.data[dataDynamic] = ocsf.Canonical(raw)
}
