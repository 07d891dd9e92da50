// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"time"

	"google.golang.org/grpc/codes"

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
	fact   *interceptor.Fact
	digest string // of the plan
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
	source    *ocsf.NetworkEndpoint
	service   *ocsf.Service
	principal map[string]string
	// attributes and labels are what the outcome tells.
	attributes, labels map[string]string
	redacted           notes // what was left out of these and of principal

	uid    string
	method string
	trace  string // id; "" when there is none
}

func share(op *interceptor.Operation, c *Config) *shared {
	rules := c.Redactor.redacting(op.Service + "/" + op.Method)
	op = rules.operation(op)
	agent := agentOf(op)
	s := &shared{
		profiles: append(make([]string, 0, 4), profileSecurityControl),
		actor:    actorOf(op.Principal, agent, c.newer()), model: agent.model,
		source:    sourceOf(c.Gateway, op.Attributes[sourceAddress]),
		principal: texts(op.Principal), uid: text(string(op.UID)), method: text(op.Method),
		labels: texts(op.Labels),
	}
	s.attributes = attributesOf(op, &rules.notes)
	s.redacted = rules.notes
	if op.Service != "" {
		s.service = &ocsf.Service{Name: text(op.Service)}
	}
	if id := traceOf(op); id.IsValid() {
		s.trace = id.String()
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

// api returns a new API object. The schema wants an operation, even of one
// whose method nobody knows.
func (s *shared) api() *ocsf.API {
	a := &ocsf.API{Operation: s.method, Service: s.service}
	if s.method == "" {
		a.Extra = nameless
	}
	return a
}

var nameless = ocsf.Extra{{Name: "operation", Value: ocsf.Raw(`""`)}}

// event returns the event of the fact.
func (w *writer) event() *ocsf.APIActivity {
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
func (w *writer) frame() *ocsf.APIActivity {
	op, shared := w.fact.Operation, w.shared
	e := &ocsf.APIActivity{
		Base: ocsf.Base{
			Time: millis(w.fact.Time), SeverityID: ocsf.SeverityInformational,
			Metadata: w.config.metadata("", op.Tenant),
			Actor:    shared.actor,
			API:      shared.api(),
		},
		ActivityID:  activityOf(op.Method),
		AIAgent:     shared.agent,
		AIModel:     shared.model,
		SrcEndpoint: shared.source,
	}
	e.Metadata.CorrelationUID, e.Metadata.Profiles = shared.uid, shared.profiles
	if shared.trace != "" {
		e.Trace = &ocsf.Trace{UID: shared.trace}
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
func (w *writer) binding(e *ocsf.APIActivity, kind string) {
	ev := w.fact.Evaluation
	e.Metadata.EventCode = kind
	e.Metadata.Tags = []ocsf.KeyValueObject{
		{Name: profile.TagPhase, Value: ev.Phase.String()},
		{Name: profile.TagBinding, Value: text(ev.Interceptor + "/" + ev.Binding)},
	}
	e.Policy = w.policy(ev.Interceptor, ev.Binding, ev.Phase)
	e.Policy.Version, e.Policy.IsApplied = w.digest, new(kind != profile.KindFailure)
	e.API.Request = &ocsf.Request{UID: text(string(ev.UID))}
	e.DstEndpoint = w.op.target(or(text(ev.Interceptor), "unnamed"), text(ev.Binding))
}

func (w *writer) policy(interceptorName, binding string, phase interceptor.Phase) *ocsf.Policy {
	return &ocsf.Policy{UID: text(binding), Name: text(interceptorName), Type: policyType + phase.String()}
}

func (w *writer) evaluation(e *ocsf.APIActivity) {
	ev := w.fact.Evaluation
	w.binding(e, profile.KindEvaluation)
	e.ActionID, e.DispositionID = ocsf.ActionObserved, ocsf.DispositionLogged
	e.StartTime = millis(ev.Start)
	c := w.captured(ev)
	w.visible(e, &c)
	e.API.Request.Data = c.data
	e.Metadata.Tags = append(e.Metadata.Tags, ocsf.KeyValueObject{Name: profile.TagReplayGrade, Value: c.grade})
	if c.why != "" {
		own(e, ownReplay, map[string]any{"grade": c.grade, "why": c.why})
	}
	truncated(e, c.size)
	w.trace(e, ev.Interceptor+"/"+ev.Binding)
	own(e, ownIndex, ev.Index)
	own(e, ownCount, ev.Count)
	if w.shared.principal != nil {
		own(e, ownPrincipal, w.shared.principal)
	}
}

// evaluated sets what results and failures share.
func (w *writer) evaluated(e *ocsf.APIActivity, kind string, end time.Time) {
	ev := w.fact.Evaluation
	w.binding(e, kind)
	if w.shadow() {
		e.Metadata.Tags = append(e.Metadata.Tags, ocsf.KeyValueObject{Name: tagShadow, Value: "true"})
	}
	w.span(e, string(ev.UID), "Evaluate", ev.Start, end)
}

func (w *writer) result(e *ocsf.APIActivity) {
	r := w.fact.Result
	e.ActionID, e.DispositionID = effect(r.Decision)
	if w.shadow() {
		e.ActionID, e.DispositionID = effect(interceptor.None)
		own(e, ownWould, r.Decision.String())
	}
	e.StatusID = ocsf.StatusSuccess
	code := codes.OK
	if r.Decision == interceptor.Deny {
		code = denialCode(r.StatusCode)
		e.StatusID, e.StatusCode, e.SeverityID = ocsf.StatusFailure, codeName(code), ocsf.SeverityMedium
		e.StatusDetail = clip(r.Reason)
	}
	e.API.Response = w.response(code, r.Decision, r.Patches)
	data, limit := e.API.Response.Data, w.config.CaptureMax
	if m, ok := data.(map[string]any); ok {
		put(m, "reason", text(r.Reason))
		put(m, "status_code", text(r.StatusCode))
		if len(r.Annotations) > 0 {
			m["log_annotations"] = texts(r.Annotations)
		}
		if len(r.Warnings) > 0 {
			warnings := make([]string, len(r.Warnings))
			for i, s := range r.Warnings {
				warnings[i] = text(s)
			}
			m["warnings"] = warnings
		}
		w.dynamic(e, m)
		e.API.Response.Data = w.bounded(e, m, limit)
	}
	if r.Decision == interceptor.Deny {
		e.API.Response.Error, e.API.Response.ErrorMessage = e.StatusCode, e.StatusDetail
	} else {
		e.API.Response.Message = clip(r.Reason)
	}
	e.Authorizations = []ocsf.Authorization{{Decision: w.prefixed(r.Decision.String())}}
	if r.Violation != "" {
		own(e, ownViolations, []string{clip(r.Violation)})
	}
}

func (w *writer) failure(e *ocsf.APIActivity) {
	f, phase := w.fact.Failure, w.fact.Evaluation.Phase
	e.ActionID, _ = effect(f.Decision)
	e.DispositionID, e.StatusID = ocsf.DispositionError, ocsf.StatusFailure
	code, name := failureCode(f.Kind)
	e.StatusCode, e.StatusDetail = name, clip(f.Detail)
	e.API.Response = &ocsf.Response{Code: new(int64(code)), Error: name, ErrorMessage: text(string(f.Kind))}
	switch {
	case f.Decision == interceptor.Deny:
		e.SeverityID = ocsf.SeverityMedium
	case f.Policy == interceptor.FailOpen && phase != interceptor.PostCommit && !w.shadow():
		e.SeverityID, e.IsAlert = ocsf.SeverityHigh, new(true)
	default:
		e.SeverityID = ocsf.SeverityLow
	}
	e.Authorizations = []ocsf.Authorization{{Decision: w.prefixed(failedPrefix + f.Policy.String())}}
	if w.shadow() {
		own(e, ownWould, wouldBe(f, phase).String())
	}
	own(e, ownFailureKind, text(string(f.Kind)))
	own(e, ownFailurePolicy, f.Policy.String())
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
func (w *writer) dynamic(e *ocsf.APIActivity, data map[string]any) {
	set := w.fact.Result.Metadata
	if len(set) == 0 {
		return
	}
	raw, err := w.namespaces(set)
	if err != nil {
		own(e, ownBroken, "the metadata that it sets has no JSON form")
		return
	}
	data[dataDynamic] = ocsf.Canonical(raw)
}

// truncated notes that size bytes were left out.
func truncated(e *ocsf.APIActivity, size int) {
	if size == 0 {
		return
	}
	kilobytes := (int64(size) + 1023) / 1024
	if before := e.Metadata.UntruncatedSize; before != nil {
		kilobytes += *before
	}
	e.Metadata.IsTruncated, e.Metadata.UntruncatedSize = new(true), &kilobytes
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
