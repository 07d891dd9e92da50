// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// What unmapped.docket is made of: what OCSF has no attribute for.
const (
	ownIndex         = "index" // of the binding in its phase, from 0
	ownCount         = "count" // of the bindings in that phase
	ownPrincipal     = "principal"
	ownAttributes    = "attributes"
	ownReplay        = "replay" // why the grade is not full
	ownViolations    = "violations"
	ownFailureKind   = "failure_kind"
	ownFailurePolicy = "failure_policy"
	ownPlan          = "plan"
	ownRan           = "ran"
	ownHandlerStatus = "handler_status"
	ownAnswer        = "answer" // the plan's: release or withhold
	ownDurable       = "durable"
	ownSkipped       = "skipped" // why the bindings that were not called were not
	ownRejected      = "rejected"

	ownRedactions     = "redactions"      // what was left out, and by which rule
	ownMoreRedactions = "redactions_more" // how many of them are not listed
	ownRedacted       = "redacted"        // how many values all of them are of, by what was done
	ownBroken         = "broken"          // why the event says less than it should
	ownLabels         = "labels"
	ownVisible        = "visible"     // the attributes and metadata namespaces that a binding is granted
	ownMetadata       = "metadata"    // what it saw of the latter
	ownWould          = "would"       // what a shadow would have decided
	ownCallerSpan     = "caller_span" // id of the caller's span, where the operation has one of its own
)

// A writer makes the event of one fact.
type writer struct {
	config *Config
	fact   interceptor.Fact // a copy, with what rules leave out left out
	digest string           // of the plan
	shared *shared
	op     *operation
	redact redacting
}

// A shared is what all events of an operation say alike. It is made once; the
// events point to it, and nobody changes it.
type shared struct {
	profiles  []string
	actor     *ocsf.Actor
	model     *ocsf.AIModel
	agent     *ocsf.AIAgent
	source    ocsf.NetworkEndpoint
	service   *ocsf.Service // nil when it has no name
	principal map[string]string
	// attributes and labels are what the outcome tells.
	attributes, labels map[string]string
	rules              []*rule // that are for the operation
	redacted           notes   // what was left out of these and of principal

	uid    string
	method string
	trace  string // id; "" when there is none
	caller string // id of the caller's span in it, likewise

	people people       // room for the actor,
	called ocsf.Service // the service,
	room   [4]string    // and the profiles
}

func share(op *interceptor.Operation, c *Config) *shared {
	rules := c.Redactor.redacting(op.Service + "/" + op.Method)
	op = rules.operation(op)
	agent := agentOf(op)
	s := &shared{
		model:     agent.model,
		source:    sourceOf(c.Gateway, op.Attributes[sourceAddress]),
		principal: texts(op.Principal), uid: text(string(op.UID)), method: text(op.Method),
		labels: texts(op.Labels),
	}
	s.actor = s.people.actorOf(op.Principal, agent, c.newer())
	s.profiles = append(s.room[:0], profileSecurityControl)
	s.attributes = attributesOf(op, &rules.notes)
	s.rules, s.redacted = rules.rules, rules.notes
	if op.Service != "" {
		s.called.Name = text(op.Service)
		s.service = &s.called
	}
	if id := traceOf(op); id.IsValid() {
		s.trace = id.String()
		if op.Trace.HasSpanID() {
			s.caller = op.Trace.SpanID().String()
		}
		s.profiles = append(s.profiles, profileTrace)
	}
	if c.newer() {
		s.agent = agent.described()
	}
	if s.model != nil || s.agent != nil {
		s.profiles = append(s.profiles, profileAIOperation)
	}
	if c.newer() {
		s.profiles = append(s.profiles, profile.ProfileRecordIntegrity)
	}
	return s
}

// name says which method it is. The schema wants an operation, even of one whose
// method nobody knows.
func (s *shared) name(a *ocsf.API) {
	a.Operation, a.Service = s.method, s.service
	if s.method == "" {
		a.Extra = nameless
	}
}

var nameless = ocsf.Extra{{Name: "operation", Value: ocsf.Raw(`""`)}}

// event returns the event of the fact.
func (w *writer) event() *draft {
	f := w.fact
	e := w.frame()
	switch {
	case f.Outcome != nil:
		w.outcome(e)
	case f.Result != nil:
		w.evaluated(e, profile.KindResult, f.Result.End)
		w.result(e)
	case f.Failure != nil:
		w.evaluated(e, profile.KindFailure, f.Failure.End)
		w.failure(e)
	default:
		w.evaluation(e)
	}
	if f.Evaluation == nil || f.Result == nil && f.Failure == nil {
		w.redactions(e, &w.shared.redacted, &w.redact.notes) // principal and attributes are told here
	} else {
		w.redactions(e, &w.redact.notes)
	}
	return e
}

// frame returns what all events of an operation have.
func (w *writer) frame() *draft {
	op, shared := w.fact.Operation, w.shared
	e := draw()
	e.Time, e.SeverityID = millis(w.fact.Time), ocsf.SeverityInformational
	e.Metadata = w.config.metadata("", op.Tenant)
	e.Actor, e.SrcEndpoint, e.AIAgent, e.AIModel = shared.actor, &shared.source, shared.agent, shared.model
	e.ActivityID = activityOf(op.Method)
	shared.name(&e.api)
	e.API = &e.api
	e.Metadata.CorrelationUID, e.Metadata.Profiles = shared.uid, shared.profiles
	if shared.trace != "" {
		e.traced.UID = shared.trace
		e.Trace = &e.traced
	}
	return e
}

// metadata returns the metadata of a new event.
func (c *Config) metadata(kind, tenant string) ocsf.Metadata {
	return ocsf.Metadata{
		Version: c.Schema, UID: c.NewUID(), EventCode: kind, TenantUID: or(text(tenant), profile.TenantDefault),
		Product: c.product,
	}
}

// own puts what is not mapped under Docket's own name.
func own(e ocsf.Event, name string, value any) {
	b := e.Common()
	if b.Unmapped == nil {
		b.Unmapped = map[string]any{}
	}
	m, ok := b.Unmapped[profile.Unmapped].(map[string]any)
	if !ok {
		m = map[string]any{}
		b.Unmapped[profile.Unmapped] = m
	}
	m[name] = value
}

// binding sets what events of one evaluation share.
func (w *writer) binding(e *draft, kind string) {
	ev := w.fact.Evaluation
	e.Metadata.EventCode = kind
	called := w.op.called(ev.Interceptor, ev.Binding)
	e.tag(profile.TagPhase, ev.Phase.String())
	e.tag(profile.TagBinding, called.name)
	w.judged(e, ev.Interceptor, ev.Binding, ev.Phase, kind != profile.KindFailure)
	e.ask(text(string(ev.UID)))
	e.DstEndpoint = &called.endpoint
}

// judged sets the binding that the event is of, and whether it was heard.
func (w *writer) judged(e *draft, by, binding string, phase interceptor.Phase, applied bool) {
	e.policy = policy(by, binding, phase)
	e.policy.Version, e.policy.IsApplied = w.digest, e.bit(bitApplied, applied)
	e.Policy = &e.policy
}

func policy(by, binding string, phase interceptor.Phase) ocsf.Policy {
	return ocsf.Policy{UID: text(binding), Name: text(by), Type: policyTypeOf(phase)}
}

// policyTypeOf returns policy.type of a phase.
func policyTypeOf(phase interceptor.Phase) string {
	switch phase {
	case interceptor.ModifyOperation:
		return policyTypeModify
	case interceptor.Validate:
		return policyTypeValidate
	case interceptor.PostCommit:
		return policyTypePostCommit
	}
	return policyType + phase.String()
}

var (
	policyTypeModify     = policyType + interceptor.ModifyOperation.String()
	policyTypeValidate   = policyType + interceptor.Validate.String()
	policyTypePostCommit = policyType + interceptor.PostCommit.String()
)

func (w *writer) evaluation(e *draft) {
	ev := w.fact.Evaluation
	w.binding(e, profile.KindEvaluation)
	e.ActionID, e.DispositionID = ocsf.ActionObserved, ocsf.DispositionLogged
	e.StartTime = millis(ev.Start)
	c := w.captured(e, ev)
	w.visible(e, &c)
	e.request.Data = c.data
	e.tag(profile.TagReplayGrade, c.grade)
	if c.why != "" {
		e.own(ownReplay, map[string]any{"grade": c.grade, "why": c.why})
	}
	truncated(e, c.size)
	w.trace(e, ev.Interceptor+"/"+ev.Binding)
	e.own(ownIndex, ev.Index)
	e.own(ownCount, ev.Count)
	if w.shared.principal != nil {
		e.own(ownPrincipal, w.shared.principal)
	}
}

// truncated notes that size bytes were left out.
func truncated(e *draft, size int) {
	if size == 0 {
		return
	}
	kilobytes := (int64(size) + 1023) / 1024
	if before := e.Metadata.UntruncatedSize; before != nil {
		kilobytes += *before
	}
	e.Metadata.IsTruncated, e.Metadata.UntruncatedSize = e.bit(bitTruncated, true), e.number(numberSize, kilobytes)
}

func put(m map[string]any, name, value string) {
	if value != "" {
		m[name] = value
	}
}

// millis returns t in milliseconds since the epoch, as OCSF has it.
func millis(t time.Time) int64 { return max(t.UnixMilli(), 0) }

// maxDetail bounds what is written of a reason or a cause outside of payloads.
const maxDetail = 4 << 10

func clip(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail]
	}
	return text(s)
}
