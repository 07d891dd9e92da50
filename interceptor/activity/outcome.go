// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

func (w *writer) outcome(e *draft) {
	op, out := w.fact.Operation, w.fact.Outcome
	e.Metadata.EventCode = profile.KindOutcome
	e.ask(w.shared.uid)
	w.span(e, string(op.UID), w.shared.method, op.Start, out.End)
	e.ActionID, e.DispositionID = effect(out.Decision)
	code := codes.OK
	if out.Status != nil {
		code = out.Status.Code()
	}
	e.StatusID, e.StatusCode = ocsf.StatusSuccess, codeName(code)
	w.answer(e, code, out.Decision, out.Patches)
	e.response.Data = w.bounded(e, w.config.CaptureMax)
	if code != codes.OK || out.Decision == interceptor.Deny {
		e.StatusID = ocsf.StatusFailure
		e.StatusDetail = clip(out.Reason)
		if out.Decision != interceptor.Deny {
			e.StatusDetail = clip(w.redact.text(atDetail, "", out.Status.Message()))
		}
		e.response.Error, e.response.ErrorMessage = e.StatusCode, e.StatusDetail
	}
	if out.Decision == interceptor.Deny {
		e.SeverityID = ocsf.SeverityMedium
	}
	w.parts(e)
	e.own(ownPlan, w.digest)
	e.own(ownRan, out.Ran)
	e.own(ownDurable, op.Durable)
	if w.fact.Plan != nil && w.fact.Plan.Answer != "" {
		e.own(ownAnswer, text(w.fact.Plan.Answer))
	}
	if out.Ran {
		e.own(ownHandlerStatus, codeName(out.HandlerStatus.Code()))
	}
	if w.shared.principal != nil {
		e.own(ownPrincipal, w.shared.principal)
	}
	if w.shared.attributes != nil {
		e.own(ownAttributes, w.shared.attributes)
	}
	if w.shared.labels != nil && w.keepsPayloads() {
		e.own(ownLabels, w.shared.labels)
	}
}

// parts writes each binding's part, and as the policy the one that denied.
func (w *writer) parts(e *draft) {
	out := w.fact.Outcome
	var skipped []any // of them all
	alike := true
	policies := make([]ocsf.Policy, len(out.Parts))
	if len(out.Parts) > 0 {
		e.Authorizations = make([]ocsf.Authorization, len(out.Parts))
	}
	for i := range out.Parts {
		p := &out.Parts[i]
		decision := p.Decision.String()
		switch {
		case p.Skipped != "":
			decision = decisionSkipped
			why := clip(p.Skipped)
			if len(skipped) > 0 {
				before, _ := skipped[0].(map[string]any)
				alike = alike && before["why"] == why
			}
			skipped = append(skipped, map[string]any{"interceptor": text(p.Interceptor), "binding": text(p.Binding), "phase": p.Phase.String(), "why": why})
		case p.Failure != nil:
			decision = failedPrefix + p.Failure.Policy.String()
		case p.Shadow:
			decision = p.Would.String()
		}
		if p.Shadow {
			decision = shadowPrefix + decision
		}
		policies[i] = policy(p.Interceptor, p.Binding, p.Phase)
		e.Authorizations[i] = ocsf.Authorization{Decision: decision, Policy: &policies[i]}
	}
	switch {
	case len(skipped) == 0:
	case alike: // mostly because of one deny
		first, _ := skipped[0].(map[string]any)
		e.own(ownSkipped, first["why"])
	default:
		e.own(ownSkipped, skipped)
	}
	if by := out.By; by != nil {
		w.judged(e, by.Interceptor, by.Binding, by.Phase, by.Failure == nil)
	}
}

// answer sets the response that says what was decided, and begins its data.
func (w *writer) answer(e *draft, code codes.Code, d interceptor.Decision, patches []interceptor.Patch) {
	e.response.Code = e.number(numberCode, int64(code))
	e.API.Response = &e.response
	e.data[dataAllowed] = d != interceptor.Deny
	if len(patches) > 0 {
		list := make([]any, len(patches))
		for i, p := range patches {
			list[i] = w.patch(p)
		}
		e.data[dataPatches] = list
	}
}
