// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// ErrNoFact says that an event is not one of a fact: a finding, a start, ...
var ErrNoFact = errors.New("not the event of a fact")

// A Recorded fact is what one event tells. Times are whole milliseconds, the
// Plan is told by its digest only, the Binding by its names.
//
// The Payload and State of an Evaluation are nil when they are not in this very
// event; [Operations] finds those of earlier ones.
type Recorded struct {
	interceptor.Fact
	Header profile.Header

	// SameAs and StateSameAs name the evaluations whose payload and state this
	// one was shown again.
	SameAs, StateSameAs interceptor.UID
	// Missing says why the input is not in the record, if it is not.
	Missing string
	// Redacted says that something of the input, or of what was answered, is not in
	// the record, or not as it was, because a rule or the binding's capture leaves
	// it out. Fields that the schema marks secret do not count.
	Redacted bool
	// Would is what a shadow would have decided; None of others.
	Would interceptor.Decision
	// Broken says why the event says less than it should, if it does.
	Broken string
	// Truncated says that a result or outcome was too large to be recorded; its
	// patches are not known.
	Truncated bool

	payload, state proto.Message // of the Evaluation's Payload and State
	visible        []string      // names of the attributes that the binding was granted
}

// Read returns the fact that an event is of. It fails with [ErrNoFact] on an
// event of another kind.
func Read(raw []byte) (*Recorded, error) {
	h, err := profile.Parse(raw)
	if err != nil {
		return nil, err
	}
	return read(raw, h)
}

func read(raw []byte, h profile.Header) (*Recorded, error) {
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
	r := &reading{APIActivity: e, header: h}
	if r.own, err = membersOf(e.Unmapped[profile.Unmapped]); err != nil {
		return nil, fmt.Errorf("read event %s: unmapped.%s: %w", h.MetadataUID, profile.Unmapped, err)
	}
	return r.fact()
}

// membersOf returns the members of a free-form object; nil when v is none.
func membersOf(v any) (map[string]any, error) {
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

// A reading is an event being read.
type reading struct {
	*ocsf.APIActivity
	header profile.Header
	own    map[string]any // unmapped.docket
	out    Recorded
}

func (r *reading) fact() (*Recorded, error) {
	r.out.Header = r.header
	r.out.Broken, _ = r.own[ownBroken].(string)
	r.out.Redacted = r.redacted()
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

// redacted says whether a rule of an operator left something out.
func (r *reading) redacted() bool {
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
func (r *reading) granted(what string) []string {
	visible, _ := r.own[ownVisible].(map[string]any)
	list, _ := visible[what].([]any)
	var names []string
	for _, item := range list {
		name, _ := item.(string)
		names = append(names, name)
	}
	return names
}

// namespacesOf returns the metadata that a value of JSON is; nil when it is none.
func namespacesOf(v any) map[string]map[string]any {
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

func (r *reading) operation() *interceptor.Operation {
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

// spanContext returns the context of a span of a trace.
func spanContext(traceID, spanID string) trace.SpanContext {
	config := trace.SpanContextConfig{Remote: true}
	config.TraceID, _ = trace.TraceIDFromHex(traceID)
	config.SpanID, _ = trace.SpanIDFromHex(spanID)
	return trace.NewSpanContext(config)
}

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
	r.out.visible, ev.Metadata = r.granted("attributes"), namespacesOf(r.own[ownMetadata])
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

func (r *reading) strings(name string) map[string]string {
	m, ok := r.own[name].(map[string]any)
	if !ok {
		return nil
	}
	return stringsOf(m)
}

func (r *reading) integer(name string) int {
	f, _ := r.own[name].(float64)
	return int(f)
}

func stringsOf(m map[string]any) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k], _ = v.(string)
	}
	return out
}

func uidAt(data map[string]any, name string) interceptor.UID {
	s, _ := data[name].(string)
	return interceptor.UID(s)
}

// payloadAt returns the payload at name and its message; nil when it is not there.
func payloadAt(data map[string]any, name string) (*interceptor.Payload, proto.Message, error) {
	v, ok := data[name]
	if !ok {
		return nil, nil, nil
	}
	m, err := messageOf(v)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return interceptor.NewPayload(m), m, nil
}

// messageOf returns the message that stands for a JSON value: a Struct for an
// object, a Value for the well-known types that JSON writes otherwise.
func messageOf(v any) (proto.Message, error) {
	if m, ok := v.(map[string]any); ok {
		return structpb.NewStruct(m)
	}
	return structpb.NewValue(v)
}

// instant is the inverse of millis.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
