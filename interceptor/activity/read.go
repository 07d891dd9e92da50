// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"errors"
	"fmt"
	"slices"
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
// Payload, State and Metadata of an Evaluation are nil when they are not in this very
// event; [Operations] finds those of earlier ones.
type Recorded struct {
	interceptor.Fact
	Header profile.Header

	// SameAs, StateSameAs and MetadataSameAs name the evaluations whose payload,
	// state and metadata this one was shown again.
	SameAs, StateSameAs, MetadataSameAs interceptor.UID
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

	// LabelsRedacted says that the operation's labels are not as they were, or not
	// all there, ReasonRedacted that the reason of a deny is not as it was.
	LabelsRedacted, ReasonRedacted bool

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

// notes says whether something was left out at a part of the event; also when
// there are too many notes to tell.
func (r *reading) notes(at string) bool {
	list, _ := r.own[ownRedactions].([]any)
	return r.own[ownMoreRedactions] != nil || slices.ContainsFunc(list, func(item any) bool {
		m, _ := item.(map[string]any)
		return m["at"] == at
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
