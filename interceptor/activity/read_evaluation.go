// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
)

func (r *reading) evaluation() error {
	h, op := r.header, r.out.Operation
	ev := &interceptor.Evaluation{
		UID: interceptor.UID(h.EvaluationUID), Operation: op.UID, Interceptor: h.Interceptor, Binding: h.Binding,
		Service: op.Service, Method: op.Method, Principal: op.Principal, Trace: op.Trace, RequestID: op.RequestID,
		Start: instant(r.StartTime), Index: r.integer(ownIndex), Count: r.integer(ownCount),
	}
	if err := ev.Phase.UnmarshalText([]byte(h.Phase)); err != nil {
		return err
	}
	if op.Span.IsValid() && r.Trace.Span != nil {
		ev.Trace = spanContext(r.Trace.UID, r.Trace.Span.UID)
	}
	r.out.Evaluation = ev
	r.out.Binding = &interceptor.Binding{Interceptor: h.Interceptor, ID: h.Binding}
	if would, ok := r.own[ownWould].(string); ok {
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
	if replay, ok := r.own[ownReplay].(map[string]any); ok {
		why, _ := replay["why"].(string)
		// What is there, though redacted, is not missing.
		for _, part := range strings.Split(why, "; ") {
			if part == whyRedacted || part == "" {
				continue
			}
			if r.out.Missing != "" {
				part = "; " + part
			}
			r.out.Missing += part
		}
	}
	r.out.visible = r.granted("attributes")
	metadata, _ := r.own[ownMetadata].(map[string]any)
	if r.out.MetadataSameAs = uidAt(metadata, dataSameAs); r.out.MetadataSameAs == "" {
		ev.Metadata = namespacesOf(r.own[ownMetadata])
	}
	data, err := r.requestData()
	if err != nil {
		return err
	}
	name := dataProposed
	if ev.Phase == interceptor.PostCommit {
		name = dataCommitted
	}
	r.out.SameAs, r.out.StateSameAs = uidAt(data, dataSameAs), uidAt(data, dataStateSameAs)
	if ev.Payload, r.out.payload, err = payloadAt(data, name); err != nil {
		return err
	}
	if ev.State, r.out.state, err = payloadAt(data, dataState); err != nil {
		return err
	}
	if ev.Payload == nil && r.out.SameAs == "" && r.out.Missing == "" {
		r.out.Missing = "no payload in the event"
	}
	return nil
}

func (r *reading) requestData() (map[string]any, error) {
	if r.API == nil || r.API.Request == nil {
		return nil, nil
	}
	return membersOf(r.API.Request.Data)
}

func (r *reading) responseData() (map[string]any, error) {
	if r.API == nil || r.API.Response == nil {
		return nil, nil
	}
	data, err := membersOf(r.API.Response.Data)
	_, r.out.Truncated = data["digest"]
	return data, err
}

func (r *reading) result() error {
	data, err := r.responseData()
	if err != nil {
		return err
	}
	res := &interceptor.Result{Decision: decisionOf(r.ActionID), End: instant(r.EndTime)}
	if r.out.Binding.Shadow {
		res.Decision = r.out.Would
	}
	res.Metadata = namespacesOf(data[dataDynamic])
	res.Reason, _ = data["reason"].(string)
	res.StatusCode, _ = data["status_code"].(string)
	if r.out.Truncated {
		res.Reason, res.StatusCode = or(r.StatusDetail, r.API.Response.Message), r.StatusCode
	}
	if res.Patches, err = r.patches(data); err != nil {
		return err
	}
	if m, ok := data["log_annotations"].(map[string]any); ok {
		res.Annotations = stringsOf(m)
	}
	if list, ok := data["warnings"].([]any); ok {
		for _, w := range list {
			s, _ := w.(string)
			res.Warnings = append(res.Warnings, s)
		}
	}
	if list, ok := r.own[ownViolations].([]any); ok && len(list) > 0 {
		res.Violation, _ = list[0].(string)
	}
	r.out.Result = res
	return nil
}

func (r *reading) failure() error {
	f := &interceptor.Failure{
		Kind: interceptor.FailureKind(r.header.FailureKind), Detail: r.StatusDetail,
		Decision: decisionOf(r.ActionID), End: instant(r.EndTime),
	}
	r.out.Failure = f
	return f.Policy.UnmarshalText([]byte(r.header.FailurePolicy))
}
