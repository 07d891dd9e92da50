// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// evaluated reads what is of one evaluation: that it begins, or how it ended.
func (r *reading) evaluated() error {
	h, op, ev := &r.out.Header, &r.op, &r.evaluation
	*ev = interceptor.Evaluation{
		UID: interceptor.UID(h.EvaluationUID), Operation: op.UID, Interceptor: h.Interceptor, Binding: h.Binding,
		Service: op.Service, Method: op.Method, Principal: op.Principal, Trace: op.Trace, RequestID: op.RequestID,
		Start: instant(r.whole(theStart)), Index: r.integer(theIndex), Count: r.integer(theCount),
	}
	var err error
	if ev.Phase, err = phaseNamed(h.Phase); err != nil {
		return err
	}
	if op.Span.IsValid() && r.has(theSpan) {
		id, _ := r.text(theTraceUID)
		span, _ := r.text(theSpanUID)
		ev.Trace = spanContext(id, span)
	}
	r.out.Evaluation = ev
	r.binding = interceptor.Binding{Interceptor: ev.Interceptor, ID: ev.Binding}
	r.out.Binding = &r.binding
	if would, ok := r.text(whatItWould); ok {
		r.out.Binding.Shadow = true
		if err := r.out.Would.UnmarshalText([]byte(would)); err != nil {
			return err
		}
	}
	switch h.Kind {
	case profile.KindEvaluation:
		return r.input(ev)
	case profile.KindResult:
		return r.result()
	default:
		return r.failure()
	}
}

// input reads what the binding was shown.
func (r *reading) input(ev *interceptor.Evaluation) error {
	why, _ := r.textAt(r.member(r.place(theReplay), "why"))
	// What is there, though redacted, is not missing.
	for part := range strings.SplitSeq(why, "; ") {
		if part == whyRedacted || part == "" {
			continue
		}
		if r.out.Missing != "" {
			part = "; " + part
		}
		r.out.Missing += part
	}
	r.out.visible = r.granted("attributes")
	var err error
	if r.out.MetadataSameAs = r.uid(r.member(r.place(theMetadata), dataSameAs)); r.out.MetadataSameAs == "" {
		if ev.Metadata, err = r.namespaces(theMetadata); err != nil {
			return err
		}
	}
	if err := r.counted(theRequest); err != nil {
		return err
	}
	name, payload := dataProposed, theProposed
	if ev.Phase == interceptor.PostCommit {
		name, payload = dataCommitted, theCommitted
	}
	r.out.SameAs, r.out.StateSameAs = r.uid(r.place(theSameAs)), r.uid(r.place(theStateSameAs))
	if ev.Payload, r.out.payload, err = r.payload(name, payload); err != nil {
		return err
	}
	if ev.State, r.out.state, err = r.payload(dataState, theState); err != nil {
		return err
	}
	if ev.Payload == nil && r.out.SameAs == "" && r.out.Missing == "" {
		r.out.Missing = "no payload in the event"
	}
	return nil
}

// response looks at what is free-form in a response.
func (r *reading) response() error {
	r.out.Truncated = r.has(theDigest)
	return r.counted(theResponseData)
}

func (r *reading) result() error {
	if err := r.response(); err != nil {
		return err
	}
	res := &interceptor.Result{Decision: r.decision(), End: instant(r.whole(theEnd))}
	if r.out.Binding.Shadow {
		res.Decision = r.out.Would
	}
	var err error
	if res.Metadata, err = r.namespaces(theDynamic); err != nil {
		return err
	}
	res.Reason, _ = r.text(theReason)
	res.StatusCode, _ = r.text(theResultCode)
	if r.out.Truncated {
		detail, _ := r.text(theStatusDetail)
		message, _ := r.text(theResponseMessage)
		res.Reason = or(detail, message)
		res.StatusCode, _ = r.text(theStatusCode)
	}
	if res.Patches, err = r.patches(); err != nil {
		return err
	}
	res.Annotations = r.texts(theAnnotations)
	for item := range r.items(r.place(theWarnings)) {
		warning, _ := r.textAt(item)
		res.Warnings = append(res.Warnings, warning)
	}
	for first := range r.items(r.place(theViolations)) {
		res.Violation, _ = r.textAt(first)
		break
	}
	r.out.Result = res
	return nil
}

func (r *reading) decision() interceptor.Decision {
	return decisionOf(ocsf.ActionID(r.whole(theAction)))
}

func (r *reading) failure() error {
	f := &interceptor.Failure{
		Kind: interceptor.FailureKind(r.out.Header.FailureKind), Decision: r.decision(), End: instant(r.whole(theEnd)),
	}
	f.Detail, _ = r.text(theStatusDetail)
	r.out.Failure = f
	return f.Policy.UnmarshalText([]byte(r.out.Header.FailurePolicy))
}
