// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// readPlainly is [Read] in the plain way, which knows nothing of how events usually
// look: every event is decoded by package ocsf, what is free-form by package json, and
// payloads are messages. It is slow, and says what Read is to say.
func readPlainly(raw []byte) (*Recorded, error) {
	h, err := profile.Parse(raw)
	if err != nil {
		return nil, err
	}
	switch h.Kind {
	case profile.KindEvaluation, profile.KindResult, profile.KindFailure, profile.KindOutcome:
	default:
		return nil, fmt.Errorf("read %s event %s: %w", h.Kind, h.MetadataUID, ErrNoFact)
	}
	if ocsf.ClassUID(h.ClassUID) != ocsf.ClassAPIActivity {
		return nil, fmt.Errorf("read %s event %s: class %d: %w", h.Kind, h.MetadataUID, h.ClassUID, ErrNoFact)
	}
	event, err := ocsf.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("read event %s: %w", h.MetadataUID, err)
	}
	e, _ := event.(*ocsf.APIActivity)
	r := &plainReading{APIActivity: e, header: h}
	if r.own, err = plainMembersOf(e.Unmapped[profile.Unmapped]); err != nil {
		return nil, fmt.Errorf("read event %s: unmapped.%s: %w", h.MetadataUID, profile.Unmapped, err)
	}
	return r.fact()
}

// plainMembersOf returns the members of a free-form object; nil when v is none.
func plainMembersOf(v any) (map[string]any, error) {
	raw, ok := v.(ocsf.Raw)
	if !ok {
		return nil, nil
	}
	var value any
	// Whoever decoded the event has refused duplicate names.
	if err := json.Unmarshal(raw, &value, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, err
	}
	m, _ := value.(map[string]any)
	return m, nil
}

// A plainReading is an event being read.
type plainReading struct {
	*ocsf.APIActivity
	header profile.Header
	own    map[string]any // unmapped.docket
	out    Recorded
}

func (r *plainReading) fact() (*Recorded, error) {
	r.out.Header = r.header
	r.out.Broken, _ = r.own[ownBroken].(string)
	r.out.Redacted, r.out.LabelsRedacted, r.out.ReasonRedacted = r.redacted(), r.notes(atLabels), r.notes(atReason)
	r.out.Time = instant(r.Time)
	r.out.Operation = r.operation()
	var err error
	if r.header.Kind == profile.KindOutcome {
		r.out.Outcome, err = r.outcome()
	} else {
		err = r.evaluation()
	}
	if err != nil {
		return nil, fmt.Errorf("read %s event %s: %w", r.header.Kind, r.header.MetadataUID, err)
	}
	return &r.out, nil
}

func (r *plainReading) notes(at string) bool {
	list, _ := r.own[ownRedactions].([]any)
	return r.own[ownMoreRedactions] != nil || slices.ContainsFunc(list, func(item any) bool {
		m, _ := item.(map[string]any)
		return m["at"] == at
	})
}

// redacted says whether a rule of an operator left something out.
func (r *plainReading) redacted() bool {
	list, _ := r.own[ownRedactions].([]any)
	return r.own[ownMoreRedactions] != nil || slices.ContainsFunc(list, func(item any) bool {
		m, _ := item.(map[string]any)
		switch m["at"] {
		// What a binding was not shown, or what nothing was decided by.
		case atAttributes:
			return m["rule"] != ruleCredentials && len(r.granted("attributes")) > 0
		case atLabels, atReason, atDetail, atSkipped, atViolations, atWarnings:
			return false
		}
		return m["rule"] != ruleDescriptor
	})
}

// granted returns the names that an evaluation was granted of attributes, or of
// metadata namespaces.
func (r *plainReading) granted(what string) []string {
	visible, _ := r.own[ownVisible].(map[string]any)
	list, _ := visible[what].([]any)
	var names []string
	for _, item := range list {
		name, _ := item.(string)
		names = append(names, name)
	}
	return names
}

// plainNamespacesOf returns the metadata that a value of JSON is; nil when it is none.
func plainNamespacesOf(v any) map[string]map[string]any {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	out := make(map[string]map[string]any, len(m))
	for name, item := range m {
		out[name], _ = item.(map[string]any)
	}
	return out
}

func (r *plainReading) operation() *interceptor.Operation {
	h := r.header
	op := &interceptor.Operation{
		UID: interceptor.UID(h.OperationUID), Tenant: h.Tenant, Service: h.Service, Method: h.Method,
		Principal: r.strings(ownPrincipal), Attributes: r.strings(ownAttributes), Labels: r.strings(ownLabels),
	}
	op.RequestID = op.Attributes[attributeRequestID]
	op.Durable, _ = r.own[ownDurable].(bool)
	if h.Kind == profile.KindOutcome {
		op.Start = instant(r.StartTime)
	}
	if r.Trace == nil {
		return op
	}
	caller, traced := r.own[ownCallerSpan].(string)
	if span := r.Trace.Span; span != nil && !traced {
		caller = span.ParentUID
	}
	if caller != "" || !traced {
		op.Trace = spanContext(r.Trace.UID, caller)
	}
	if span := r.Trace.Span; span != nil && traced {
		op.Span = spanContext(r.Trace.UID, span.ParentUID) // of an evaluation's span
		if h.Kind == profile.KindOutcome {
			op.Span = spanContext(r.Trace.UID, span.UID)
		}
	}
	return op
}

func (r *plainReading) strings(name string) map[string]string {
	m, ok := r.own[name].(map[string]any)
	if !ok {
		return nil
	}
	return plainStringsOf(m)
}

func (r *plainReading) integer(name string) int {
	f, _ := r.own[name].(float64)
	return int(f)
}

func plainStringsOf(m map[string]any) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k], _ = v.(string)
	}
	return out
}

func plainUidAt(data map[string]any, name string) interceptor.UID {
	s, _ := data[name].(string)
	return interceptor.UID(s)
}

// plainPayloadAt returns the payload at name and its message; nil when it is not there.
func plainPayloadAt(data map[string]any, name string) (*interceptor.Payload, proto.Message, error) {
	v, ok := data[name]
	if !ok {
		return nil, nil, nil
	}
	m, err := plainMessageOf(v)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return interceptor.NewPayload(m), m, nil
}

// plainMessageOf returns the message that stands for a JSON value: a Struct for an
// object, a Value for the well-known types that JSON writes otherwise.
func plainMessageOf(v any) (proto.Message, error) {
	if m, ok := v.(map[string]any); ok {
		return structpb.NewStruct(m)
	}
	return structpb.NewValue(v)
}

func (r *plainReading) evaluation() error {
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
func (r *plainReading) input(ev *interceptor.Evaluation) error {
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
	if r.out.MetadataSameAs = plainUidAt(metadata, dataSameAs); r.out.MetadataSameAs == "" {
		ev.Metadata = plainNamespacesOf(r.own[ownMetadata])
	}
	data, err := r.requestData()
	if err != nil {
		return err
	}
	name := dataProposed
	if ev.Phase == interceptor.PostCommit {
		name = dataCommitted
	}
	r.out.SameAs, r.out.StateSameAs = plainUidAt(data, dataSameAs), plainUidAt(data, dataStateSameAs)
	if ev.Payload, r.out.payload, err = plainPayloadAt(data, name); err != nil {
		return err
	}
	if ev.State, r.out.state, err = plainPayloadAt(data, dataState); err != nil {
		return err
	}
	if ev.Payload == nil && r.out.SameAs == "" && r.out.Missing == "" {
		r.out.Missing = "no payload in the event"
	}
	return nil
}

func (r *plainReading) requestData() (map[string]any, error) {
	if r.API == nil || r.API.Request == nil {
		return nil, nil
	}
	return plainMembersOf(r.API.Request.Data)
}

func (r *plainReading) responseData() (map[string]any, error) {
	if r.API == nil || r.API.Response == nil {
		return nil, nil
	}
	data, err := plainMembersOf(r.API.Response.Data)
	_, r.out.Truncated = data["digest"]
	return data, err
}

func (r *plainReading) result() error {
	data, err := r.responseData()
	if err != nil {
		return err
	}
	res := &interceptor.Result{Decision: decisionOf(r.ActionID), End: instant(r.EndTime)}
	if r.out.Binding.Shadow {
		res.Decision = r.out.Would
	}
	res.Metadata = plainNamespacesOf(data[dataDynamic])
	res.Reason, _ = data["reason"].(string)
	res.StatusCode, _ = data["status_code"].(string)
	if r.out.Truncated {
		res.Reason, res.StatusCode = or(r.StatusDetail, r.API.Response.Message), r.StatusCode
	}
	if res.Patches, err = r.patches(data); err != nil {
		return err
	}
	if m, ok := data["log_annotations"].(map[string]any); ok {
		res.Annotations = plainStringsOf(m)
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

func (r *plainReading) failure() error {
	f := &interceptor.Failure{
		Kind: interceptor.FailureKind(r.header.FailureKind), Detail: r.StatusDetail,
		Decision: decisionOf(r.ActionID), End: instant(r.EndTime),
	}
	r.out.Failure = f
	return f.Policy.UnmarshalText([]byte(r.header.FailurePolicy))
}

func (r *plainReading) outcome() (*interceptor.Outcome, error) {
	data, err := r.responseData()
	if err != nil {
		return nil, err
	}
	out := &interceptor.Outcome{Decision: decisionOf(r.ActionID), Ran: r.header.Ran, End: instant(r.EndTime)}
	code, _ := codeNamed(r.StatusCode)
	out.Status = status.New(code, r.StatusDetail)
	if out.Decision == interceptor.Deny {
		out.Reason = r.StatusDetail
	}
	if name, ok := r.own[ownHandlerStatus].(string); ok {
		if code, ok = codeNamed(name); !ok {
			code = codes.Unknown
		}
		out.HandlerStatus = status.New(code, "")
		if code != codes.OK {
			out.HandlerStatus = status.New(code, r.StatusDetail)
		}
	}
	if out.Patches, err = r.patches(data); err != nil {
		return nil, err
	}
	for _, a := range r.Authorizations {
		p, err := plainPartOf(a)
		if err != nil {
			return nil, err
		}
		if p.Skipped != "" {
			p.Skipped = or(r.skipped(&p), p.Skipped)
		}
		out.Parts = append(out.Parts, p)
	}
	if by := r.Policy; by != nil {
		for i := range out.Parts {
			p := &out.Parts[i]
			if p.Decision == interceptor.Deny && p.Interceptor == by.Name && p.Binding == by.UID && policyType+p.Phase.String() == by.Type {
				out.By = p
			}
		}
	}
	return out, nil
}

// skipped returns why a binding was not called: one text for all, or a list.
func (r *plainReading) skipped(p *interceptor.Part) string {
	list, ok := r.own[ownSkipped].([]any)
	if !ok {
		why, _ := r.own[ownSkipped].(string)
		return why
	}
	for _, item := range list {
		m, _ := item.(map[string]any)
		if m["interceptor"] == p.Interceptor && m["binding"] == p.Binding && m["phase"] == p.Phase.String() {
			why, _ := m["why"].(string)
			return why
		}
	}
	return ""
}

// plainPartOf reads one binding's part. Of a failure it knows the policy alone, and
// so what the chain makes of it.
func plainPartOf(a ocsf.Authorization) (interceptor.Part, error) {
	if a.Policy == nil {
		return interceptor.Part{}, errors.New("an authorization names no policy")
	}
	p := interceptor.Part{Interceptor: a.Policy.Name, Binding: a.Policy.UID}
	if err := p.Phase.UnmarshalText([]byte(strings.TrimPrefix(a.Policy.Type, policyType))); err != nil {
		return p, err
	}
	var decision string
	decision, p.Shadow = strings.CutPrefix(a.Decision, shadowPrefix)
	if decision == decisionSkipped {
		p.Skipped = decisionSkipped
		return p, nil
	}
	decided := &p.Decision
	if p.Shadow {
		decided = &p.Would
	}
	policy, ok := strings.CutPrefix(decision, failedPrefix)
	if !ok {
		return p, decided.UnmarshalText([]byte(decision))
	}
	p.Failure = &interceptor.Failure{}
	if err := p.Failure.Policy.UnmarshalText([]byte(policy)); err != nil {
		return p, err
	}
	switch {
	case p.Failure.Policy == interceptor.FailOpen:
		*decided = interceptor.Allow
	case p.Failure.Policy == interceptor.Ignore && p.Shadow:
	default:
		*decided = interceptor.Deny
	}
	p.Failure.Decision = p.Decision
	return p, nil
}

// patches returns the patches in a response, and notes when one has lost its value.
func (r *plainReading) patches(data map[string]any) ([]interceptor.Patch, error) {
	list, _ := data["patches"].([]any)
	var patches []interceptor.Patch
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, errors.New("a patch is not an object")
		}
		var p interceptor.Patch
		p.Op, _ = m["op"].(string)
		p.Path, _ = m["path"].(string)
		p.From, _ = m["from"].(string)
		if v, ok := m["value"]; ok {
			raw, err := ocsf.EncodeValue(v)
			if err != nil {
				return nil, fmt.Errorf("value of a patch: %w", err)
			}
			p.Value = raw
		} else if s, ok := m["value_text"].(string); ok {
			p.Value = []byte(s)
		} else if m["withheld"] != nil {
			r.out.Redacted = true
		}
		patches = append(patches, p)
	}
	return patches, nil
}
