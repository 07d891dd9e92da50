// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"

	"github.com/docket-audit/docket/ocsf"
)

// event reads the whole event and settles what follows from several attributes.
func (r *reader) event(raw []byte) error {
	var action int64
	if err := r.object("event", func(name []byte) error { return r.top(raw, name, &action) }); err != nil {
		return err
	}
	// Nothing but the one value: what follows it would travel unread.
	if end := r.dec.InputOffset(); end != int64(len(raw)) {
		return fmt.Errorf("%w: %d bytes after the event", ErrMalformed, int64(len(raw))-end)
	}
	if err := r.attested(); err != nil {
		return err
	}
	h := &r.s.Header
	h.Decision = decision(ocsf.ActionID(action))
	switch h.Kind {
	case KindEvaluation, KindResult, KindFailure:
		h.EvaluationUID = r.requestUID
	}
	h.PlanDigest = r.planUID
	if h.PlanDigest == "" {
		h.PlanDigest = r.planPolicy
	}
	if h.Principal == "" {
		h.Principal = r.appUID
	}
	if h.Principal == "" {
		h.Principal = r.appName
	}
	return nil
}

func (r *reader) top(raw, name []byte, action *int64) error {
	h := &r.s.Header
	switch string(name) {
	case "action_id":
		return r.whole("action_id", action)
	case "activity_id":
		return r.small("activity_id", &h.ActivityID)
	case "actor":
		return r.object("actor", r.actor)
	case "api":
		return r.object("api", r.api)
	case attestationList:
		r.real = true
		return r.first(attestationList, func() error { return r.attest(raw, inPlace) })
	case "class_uid":
		return r.small("class_uid", &h.ClassUID)
	case "duration":
		return r.whole("duration", &h.DurationMS)
	case "message":
		return r.text("message", &h.Message)
	case "metadata":
		return r.object("metadata", r.metadata)
	case "policy":
		return r.object("policy", r.policy)
	case "severity_id":
		return r.small("severity_id", &h.SeverityID)
	case "src_endpoint":
		return r.object("src_endpoint", func(name []byte) error {
			if string(name) == "ip" {
				return r.text("src_endpoint.ip", &h.Source)
			}
			return r.dec.SkipValue()
		})
	case "status_code":
		return r.text("status_code", &h.StatusCode)
	case "status_detail":
		return r.text("status_detail", &h.StatusDetail)
	case "status_id":
		return r.small("status_id", &h.StatusID)
	case "time":
		return r.whole("time", &h.Time)
	case "trace":
		return r.object("trace", func(name []byte) error {
			if string(name) == "uid" {
				return r.text("trace.uid", &h.TraceUID)
			}
			return r.dec.SkipValue()
		})
	case "type_uid":
		return r.whole("type_uid", &h.TypeUID)
	case "unmapped":
		return r.object("unmapped", func(name []byte) error { return r.unmapped(raw, name) })
	}
	return r.dec.SkipValue()
}

func (r *reader) actor(name []byte) error {
	switch string(name) {
	case "app_name":
		return r.text("actor.app_name", &r.appName)
	case "app_uid":
		return r.text("actor.app_uid", &r.appUID)
	case "application":
		return r.object("actor.application", func(name []byte) error {
			switch string(name) {
			case "name":
				return r.text("actor.application.name", &r.appName)
			case "uid":
				return r.text("actor.application.uid", &r.appUID)
			}
			return r.dec.SkipValue()
		})
	case "user":
		return r.object("actor.user", func(name []byte) error {
			if string(name) == "uid" {
				return r.text("actor.user.uid", &r.s.Principal)
			}
			return r.dec.SkipValue()
		})
	}
	return r.dec.SkipValue()
}

func (r *reader) api(name []byte) error {
	switch string(name) {
	case "operation":
		return r.text("api.operation", &r.s.Method)
	case "request":
		return r.object("api.request", func(name []byte) error {
			if string(name) == "uid" {
				return r.text("api.request.uid", &r.requestUID)
			}
			return r.dec.SkipValue()
		})
	case "service":
		return r.object("api.service", func(name []byte) error {
			if string(name) == "name" {
				return r.text("api.service.name", &r.s.Service)
			}
			return r.dec.SkipValue()
		})
	}
	return r.dec.SkipValue()
}

func (r *reader) metadata(name []byte) error {
	h := &r.s.Header
	switch string(name) {
	case "correlation_uid":
		return r.text("metadata.correlation_uid", &h.OperationUID)
	case "event_code":
		return r.kind()
	case "loggers":
		return r.first("metadata.loggers", func() error {
			return r.object("metadata.loggers[0]", func(name []byte) error {
				switch string(name) {
				case "name":
					return r.text("metadata.loggers[0].name", &h.Emitter)
				case "uid":
					return r.text("metadata.loggers[0].uid", &h.Epoch)
				}
				return r.dec.SkipValue()
			})
		})
	case "sequence":
		return r.whole("metadata.sequence", &h.Sequence)
	case "tags":
		return r.array("metadata.tags", r.tag)
	case "tenant_uid":
		return r.text("metadata.tenant_uid", &h.Tenant)
	case "uid":
		return r.text("metadata.uid", &h.MetadataUID)
	case "version":
		return r.version()
	}
	return r.dec.SkipValue()
}

func (r *reader) kind() error {
	if k := r.dec.PeekKind(); k != '"' {
		return r.wrong("metadata.event_code", "a string", k)
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		return err
	}
	kind, ok := knownKind(v[1 : len(v)-1])
	if !ok {
		return fmt.Errorf("%w: metadata.event_code is no kind of event: %.40s", ErrMalformed, v)
	}
	r.s.Kind = kind
	return nil
}

// tag reads a name and its value, in whichever order they come.
func (r *reader) tag() error {
	var name, value string
	err := r.object("metadata.tags", func(member []byte) error {
		switch string(member) {
		case "name":
			return r.text("metadata.tags.name", &name)
		case "value":
			return r.text("metadata.tags.value", &value)
		}
		return r.dec.SkipValue()
	})
	switch name {
	case TagPhase:
		r.s.Phase = value
	case TagReplayGrade:
		r.s.ReplayGrade = value
	}
	return err
}

func (r *reader) policy(name []byte) error {
	switch string(name) {
	case "name":
		return r.text("policy.name", &r.s.Interceptor)
	case "uid":
		return r.text("policy.uid", &r.s.Binding)
	case "version":
		return r.text("policy.version", &r.planPolicy)
	}
	return r.dec.SkipValue()
}

func (r *reader) unmapped(raw, name []byte) error {
	switch string(name) {
	case attestationList:
		r.aside = true
		return r.first("unmapped."+attestationList, func() error { return r.attest(raw, aside) })
	case Unmapped:
		return r.object("unmapped.docket", r.own)
	}
	return r.dec.SkipValue()
}

func (r *reader) own(name []byte) error {
	h := &r.s.Header
	switch string(name) {
	case "failure_kind":
		return r.text("unmapped.docket.failure_kind", &h.FailureKind)
	case "failure_policy":
		return r.text("unmapped.docket.failure_policy", &h.FailurePolicy)
	case "plan":
		return r.text("unmapped.docket.plan", &r.planUID)
	case "ran":
		return r.truth("unmapped.docket.ran", &h.Ran)
	}
	return r.dec.SkipValue()
}
