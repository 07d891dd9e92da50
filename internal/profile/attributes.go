// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"

	"github.com/docket-audit/docket/ocsf"
)

// event reads the whole event.
func (r *reader) event() error {
	if err := r.object("event", (*reader).top); err != nil {
		return err
	}
	if r.seals != nil {
		r.end()
	}
	// Nothing but the one value: what follows it would travel unread.
	if r.at != len(r.b) {
		return fmt.Errorf("%w: %d bytes after the event", ErrMalformed, len(r.b)-r.at)
	}
	return r.attested()
}

// settle completes h, the header that was read, with what follows from several
// attributes.
func (r *reader) settle(h *Header) {
	h.Decision = decision(ocsf.ActionID(r.action))
	switch h.Kind {
	case KindEvaluation, KindResult, KindFailure:
		h.EvaluationUID = r.requestUID
	}
	h.PlanDigest = or(r.planUID, r.planPolicy)
	h.Principal = or(h.Principal, or(r.appUID, r.appName))
}

func (r *reader) top(name []byte) error {
	h := &r.s.Header
	if r.seals != nil {
		if err := r.look(name, r.seals.key); err != nil {
			return err
		}
	}
	switch string(name) {
	case "action_id":
		return r.whole("action_id", &r.action)
	case "activity_id":
		return r.small("activity_id", &h.ActivityID)
	case "actor":
		return r.object("actor", (*reader).actor)
	case "api":
		return r.object("api", (*reader).api)
	case attestationList:
		r.real, r.expected = true, inPlace
		return r.first(attestationList, (*reader).attestations)
	case "class_uid":
		return r.small("class_uid", &h.ClassUID)
	case "duration":
		return r.whole("duration", &h.DurationMS)
	case "message":
		return r.detail("message", &h.Message)
	case "metadata":
		return r.object("metadata", (*reader).metadata)
	case "policy":
		return r.object("policy", (*reader).policy)
	case "severity_id":
		return r.small("severity_id", &h.SeverityID)
	case "src_endpoint":
		return r.object("src_endpoint", (*reader).endpoint)
	case "status_code":
		return r.detail("status_code", &h.StatusCode)
	case "status_detail":
		return r.detail("status_detail", &h.StatusDetail)
	case "status_id":
		return r.small("status_id", &h.StatusID)
	case "time":
		return r.whole("time", &h.Time)
	case "trace":
		return r.object("trace", (*reader).trace)
	case "type_uid":
		return r.whole("type_uid", &h.TypeUID)
	case "unmapped":
		err := r.object("unmapped", (*reader).unmapped)
		if err == nil && r.seals == aside {
			r.s.gap.inner = true
			r.end()
		}
		return err
	}
	return r.skip()
}

func (r *reader) actor(name []byte) error {
	switch string(name) {
	case "app_name":
		return r.detail("actor.app_name", &r.appName)
	case "app_uid":
		return r.detail("actor.app_uid", &r.appUID)
	case "application":
		return r.object("actor.application", (*reader).application)
	case "user":
		return r.object("actor.user", (*reader).user)
	}
	return r.skip()
}

func (r *reader) application(name []byte) error {
	switch string(name) {
	case "name":
		return r.detail("actor.application.name", &r.appName)
	case "uid":
		return r.detail("actor.application.uid", &r.appUID)
	}
	return r.skip()
}

func (r *reader) user(name []byte) error {
	if string(name) == "uid" {
		return r.detail("actor.user.uid", &r.s.Principal)
	}
	return r.skip()
}

func (r *reader) endpoint(name []byte) error {
	if string(name) == "ip" {
		return r.detail("src_endpoint.ip", &r.s.Source)
	}
	return r.skip()
}

func (r *reader) trace(name []byte) error {
	if string(name) == "uid" {
		return r.detail("trace.uid", &r.s.TraceUID)
	}
	return r.skip()
}

func (r *reader) api(name []byte) error {
	switch string(name) {
	case "operation":
		return r.text("api.operation", &r.s.Method)
	case "request":
		return r.object("api.request", (*reader).request)
	case "service":
		return r.object("api.service", (*reader).service)
	}
	return r.skip()
}

func (r *reader) request(name []byte) error {
	if string(name) == "uid" {
		return r.detail("api.request.uid", &r.requestUID)
	}
	return r.skip()
}

func (r *reader) service(name []byte) error {
	if string(name) == "name" {
		return r.text("api.service.name", &r.s.Service)
	}
	return r.skip()
}

func (r *reader) metadata(name []byte) error {
	h := &r.s.Header
	switch string(name) {
	case "correlation_uid":
		return r.detail("metadata.correlation_uid", &h.OperationUID)
	case "event_code":
		return r.kind()
	case "loggers":
		return r.first("metadata.loggers", (*reader).loggers)
	case "sequence":
		return r.whole("metadata.sequence", &h.Sequence)
	case "tags":
		return r.array("metadata.tags", (*reader).tags)
	case "tenant_uid":
		return r.text("metadata.tenant_uid", &h.Tenant)
	case "uid":
		return r.text("metadata.uid", &h.MetadataUID)
	case "version":
		return r.version()
	}
	return r.skip()
}

func (r *reader) loggers() error { return r.object("metadata.loggers[0]", (*reader).logger) }

func (r *reader) logger(name []byte) error {
	switch string(name) {
	case "name":
		return r.text("metadata.loggers[0].name", &r.s.Emitter)
	case "uid":
		return r.text("metadata.loggers[0].uid", &r.s.Epoch)
	}
	return r.skip()
}

func (r *reader) kind() error {
	v, err := r.plain("metadata.event_code")
	if err != nil {
		return err
	}
	kind, ok := knownKind(v)
	if !ok {
		return fmt.Errorf("%w: metadata.event_code is no kind of event: %.40q", ErrMalformed, v)
	}
	r.s.Kind = kind
	return nil
}

// tags reads a name and its value, in whichever order they come.
func (r *reader) tags() error {
	if r.seals != nil {
		return r.skip()
	}
	r.name, r.value = word{}, word{}
	err := r.object("metadata.tags", (*reader).tag)
	switch string(r.said(r.name)) {
	case TagPhase:
		r.keep(r.value, &r.s.Phase)
	case TagReplayGrade:
		r.keep(r.value, &r.s.ReplayGrade)
	default:
		if r.growing {
			r.notes = append(r.notes, note{node: r.value.node, is: free})
		}
	}
	return err
}

func (r *reader) tag(name []byte) (err error) {
	switch string(name) {
	case "name":
		r.name, err = r.word("metadata.tags.name")
		return err
	case "value":
		r.value, err = r.word("metadata.tags.value")
		return err
	}
	return r.skip()
}

func (r *reader) policy(name []byte) error {
	switch string(name) {
	case "name":
		return r.detail("policy.name", &r.s.Interceptor)
	case "uid":
		return r.detail("policy.uid", &r.s.Binding)
	case "version":
		return r.detail("policy.version", &r.planPolicy)
	}
	return r.skip()
}

func (r *reader) unmapped(name []byte) error {
	if r.seals == aside {
		if err := r.look(name, attestationList); err != nil {
			return err
		}
	}
	switch string(name) {
	case attestationList:
		r.aside, r.expected = true, aside
		return r.first("unmapped."+attestationList, (*reader).attestations)
	case Unmapped:
		return r.object("unmapped.docket", (*reader).own)
	}
	return r.skip()
}

func (r *reader) own(name []byte) error {
	h := &r.s.Header
	switch string(name) {
	case "failure_kind":
		return r.detail("unmapped.docket.failure_kind", &h.FailureKind)
	case "failure_policy":
		return r.detail("unmapped.docket.failure_policy", &h.FailurePolicy)
	case "plan":
		return r.detail("unmapped.docket.plan", &r.planUID)
	case "ran":
		return r.truth("unmapped.docket.ran", &h.Ran)
	}
	return r.skip()
}
