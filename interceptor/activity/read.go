// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

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
	var t profile.Tree
	h, err := profile.ParseTree(raw, &t)
	if err != nil {
		return nil, err
	}
	return new(reading).read(&t, h)
}

// A reading is an event being read, and room for what its fact consists of.
type reading struct {
	look
	names names                  // nil: no text is kept for longer than the fact
	known *interceptor.Operation // whose principal is not asked for, if it has one

	out        Recorded
	op         interceptor.Operation
	binding    interceptor.Binding
	evaluation interceptor.Evaluation
}

// isFact says whether events of a kind are of facts.
func isFact(kind string) bool {
	switch kind {
	case profile.KindEvaluation, profile.KindResult, profile.KindFailure, profile.KindOutcome:
		return true
	}
	return false
}

// read reads the event that t is the tree of. The fact that it returns is the
// reading's: it lasts until the next one is read.
func (r *reading) read(t *profile.Tree, h profile.Header) (*Recorded, error) {
	if !isFact(h.Kind) {
		return nil, fmt.Errorf("read %s event %s: %w", h.Kind, h.MetadataUID, ErrNoFact)
	}
	if ocsf.ClassUID(h.ClassUID) != ocsf.ClassAPIActivity {
		return nil, fmt.Errorf("read %s event %s: class %d: %w", h.Kind, h.MetadataUID, h.ClassUID, ErrNoFact)
	}
	defer func() { r.Tree = nil }() // it is no part of the fact
	r.out = Recorded{Header: h}
	r.over(t)
	if r.unusual {
		if _, err := ocsf.Decode(t.Event()); err != nil {
			return nil, fmt.Errorf("read event %s: %w", h.MetadataUID, err)
		}
	}
	if err := r.counted(theOwn); err != nil {
		return nil, fmt.Errorf("read event %s: unmapped.%s: %w", h.MetadataUID, profile.Unmapped, err)
	}
	if err := r.fact(); err != nil {
		return nil, fmt.Errorf("read %s event %s: %w", h.Kind, h.MetadataUID, err)
	}
	return &r.out, nil
}

func (r *reading) fact() error {
	r.out.Broken, _ = r.text(theBroken)
	r.out.Redacted, r.out.LabelsRedacted, r.out.ReasonRedacted = r.redacted(), r.notes(atLabels), r.notes(atReason)
	r.out.Time = instant(r.whole(theTime))
	r.operation()
	if r.out.Header.Kind != profile.KindOutcome {
		return r.evaluated()
	}
	var err error
	r.out.Outcome, err = r.outcome()
	return err
}

// redacted says whether a rule of an operator left something out.
func (r *reading) redacted() bool {
	if n := r.at[moreRedactions]; n != 0 && r.Kind(int(n)) != 'n' {
		return true
	}
	for item := range r.items(r.place(theRedactions)) {
		rule, _ := r.textAt(r.member(item, "rule"))
		at, _ := r.textAt(r.member(item, "at"))
		switch at {
		// What a binding was not shown, or what nothing was decided by.
		case atAttributes:
			if rule != ruleCredentials && len(r.granted("attributes")) > 0 {
				return true
			}
		case atLabels, atReason, atDetail, atSkipped, atViolations, atWarnings:
		default:
			if rule != ruleDescriptor {
				return true
			}
		}
	}
	return false
}

// notes says whether something was left out at a part of the event; also when
// there are too many notes to tell.
func (r *reading) notes(at string) bool {
	if n := r.at[moreRedactions]; n != 0 && r.Kind(int(n)) != 'n' {
		return true
	}
	for item := range r.items(r.place(theRedactions)) {
		if where, _ := r.textAt(r.member(item, "at")); where == at {
			return true
		}
	}
	return false
}

// granted returns the names that an evaluation was granted of attributes, or of
// metadata namespaces.
func (r *reading) granted(what string) []string {
	var names []string
	for item := range r.items(r.member(r.place(theVisible), what)) {
		name, _ := r.textAt(item)
		names = append(names, name)
	}
	return names
}

func (r *reading) operation() {
	h, op := &r.out.Header, &r.op
	*op = interceptor.Operation{
		UID: interceptor.UID(h.OperationUID), Tenant: h.Tenant, Service: h.Service, Method: h.Method,
		Attributes: r.texts(theAttributes), Labels: r.texts(theLabels),
	}
	r.out.Operation = op
	if r.known == nil || r.known.Principal == nil {
		op.Principal = r.texts(thePrincipal)
	}
	op.RequestID = op.Attributes[attributeRequestID]
	op.Durable = r.is(isDurable, 't')
	if h.Kind == profile.KindOutcome {
		op.Start = instant(r.whole(theStart))
	}
	if !r.has(theTrace) {
		return
	}
	caller, traced := r.text(theCallerSpan)
	id, _ := r.text(theTraceUID)
	if r.has(theSpan) && !traced {
		caller, _ = r.text(theSpanParent)
	}
	if caller != "" || !traced {
		op.Trace = spanContext(id, caller)
	}
	if r.has(theSpan) && traced {
		span := theSpanParent // of an evaluation's span
		if h.Kind == profile.KindOutcome {
			span = theSpanUID
		}
		own, _ := r.text(span)
		op.Span = spanContext(id, own)
	}
}

// spanContext returns the context of a span of a trace.
func spanContext(traceID, spanID string) trace.SpanContext {
	config := trace.SpanContextConfig{Remote: true}
	config.TraceID, _ = trace.TraceIDFromHex(traceID)
	config.SpanID, _ = trace.SpanIDFromHex(spanID)
	return trace.NewSpanContext(config)
}

// instant is the inverse of millis.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
