// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/regular"
)

// A Value is a value and where it comes from: "FILE:LINE", "default",
// "manifest", or "unknown" where the manifest was not read.
type Value struct {
	Value  string `json:"value"`
	Origin string `json:"origin"`
	// Level says whose word it is: "manifest", "service" (the interceptor's
	// table), "binding" (a bindings table), "default" or "unknown"; empty for
	// what is no interceptor's.
	Level string `json:"level,omitempty"`
}

// String gives "value (origin)", with the level before a line of the file.
func (v Value) String() string {
	if v.Level == levelService || v.Level == levelBinding {
		return v.Value + " (" + v.Level + ", " + v.Origin + ")"
	}
	return v.Value + " (" + v.Origin + ")"
}

func value(text string, from origin) Value { return Value{text, from.at, from.level} }

// unknown is a value that only a manifest can tell.
var unknown = value("?", fromUnknown)

// An Explanation says what a file means: who runs when, on what, within which
// limits, what a failure makes of the operation, and who said so.
type Explanation struct {
	File      string `json:"file"`
	Format    string `json:"format"` // "docket" or "openshell"
	Unmatched Value  `json:"unmatched"`
	Audit     Value  `json:"audit"`
	// AuditMethods is what is said of single methods; nil when nothing is.
	AuditMethods map[string]Value `json:"audit_methods,omitempty"`
	Deadline     Value            `json:"deadline"`
	Answer       Value            `json:"answer"`

	// What the record keeps of payloads, where a binding does not say, and what is
	// withheld from it. HMACKey is nil where no redaction needs one.
	Capture    Value         `json:"capture"`
	CaptureMax Value         `json:"capture_max"`
	HMACKey    *Value        `json:"hmac_key,omitempty"`
	Withheld   []Withholding `json:"withheld"`
	// Tokens is nil when interceptors are called without one.
	Tokens *TokensOf `json:"tokens,omitempty"`

	// Steps are in the order in which they run.
	Steps []Step `json:"steps"`

	// Unread names the interceptors whose manifest was not read. Of them only
	// what the file says is known.
	Unread   []string `json:"unread"`
	Warnings []string `json:"warnings"`
}

// A Step is one binding in one phase.
type Step struct {
	Phase            string   `json:"phase"`
	Interceptor      string   `json:"interceptor"`
	Endpoint         string   `json:"endpoint"` // "in process", or a URL
	Binding          Value    `json:"binding"`
	Phases           Value    `json:"phases"`  // all of the binding's
	Methods          []string `json:"methods"` // empty: every method
	MethodsOrigin    string   `json:"methods_origin"`
	MethodsLevel     string   `json:"methods_level"`
	FailurePolicy    Value    `json:"failure_policy"` // in this phase
	Order            Value    `json:"order"`
	Timeout          Value    `json:"timeout"`
	MaxResponseBytes Value    `json:"max_response_bytes"`
	MaxPatches       Value    `json:"max_patches"`
	MaxConcurrent    Value    `json:"max_concurrent"`     // of all bindings of the interceptor
	MaxQueue         Value    `json:"max_queue"`          // of all bindings of the interceptor
	Audience         *Value   `json:"audience,omitempty"` // of the tokens that it is called with; nil: without

	// Options are what else somebody stated, by the key of the file: order,
	// principals, labels, mode, audit, capture, capture_max, attributes,
	// accessible_namespaces, writable_namespaces.
	Options map[string]Value `json:"options,omitempty"`

	order, bindingOrder int32
	number              int // of the binding, over the whole file
}

// Explain reads a file without a network. Only interceptors that are linked in
// process with [Local], [Make] or [Link] are asked for their manifest; what the
// others would say is unknown. An error is one that [Load] would give too.
func Explain(path string, opts ...Option) (*Explanation, error) {
	data, err := regular.ReadAtMost(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read chain file: %w", err)
	}
	s, services, err := parse(path, data)
	if err != nil {
		return nil, err
	}
	o := newOptions(opts)
	b := newBuilder(path, s, services)
	for _, svc := range services {
		impl, err := svc.local(o)
		switch {
		case err != nil:
		case impl != nil:
			err = b.add(context.Background(), svc, impl)
		case svc.endpoint == "":
			err = svc.errNoEndpoint()
		default:
			err = b.explanation.addUnread(svc)
			b.grantsOfFile(svc)
		}
		if err != nil {
			return nil, err
		}
	}
	b.finish()
	return b.explanation, nil
}

func newExplanation(name string, s settings) *Explanation {
	e := &Explanation{
		File: name, Format: "docket",
		Unmatched: Value{Value: s.gateway.Unmatched, Origin: s.origins["unmatched"]},
		Audit:     Value{Value: s.audit, Origin: s.origins["mode"]},
		Deadline:  Value{Value: s.deadline.String(), Origin: s.origins["deadline"]},
		Answer:    Value{Value: s.answer, Origin: s.origins["answer"]},
		Steps:     []Step{}, Unread: []string{}, Warnings: append([]string{}, s.warnings...),
	}
	e.explainRecord(&s)
	for name, mode := range s.audits {
		if e.AuditMethods == nil {
			e.AuditMethods = map[string]Value{}
		}
		e.AuditMethods[name] = Value{Value: mode, Origin: s.origins["methods"]}
	}
	if s.openShell {
		e.Format = "openshell"
	}
	if s.openShell && s.origins["unmatched"] == openShellRule {
		e.Warnings = append(e.Warnings, "methods that no binding selects pass ungoverned, as in OpenShell; [gateway] unmatched decides it in writing")
	}
	return e
}

// add explains one binding in force, phase by phase.
func (e *Explanation) add(s *service, r resolved) {
	number := len(e.Steps) // grows with each binding
	for _, phase := range r.Phases {
		step := s.step()
		step.Phase, step.number = phase.String(), number
		step.binding(r)
		step.Phases = value(phaseWords(r.Phases), r.phasesOrigin)
		step.FailurePolicy = r.policies[phase]
		e.Steps = append(e.Steps, step)
	}
	e.sort()
}

// binding fills in what the step has of its binding, whatever the phase.
func (step *Step) binding(r resolved) {
	step.Binding = value(r.ID, r.idOrigin)
	step.Methods, step.MethodsOrigin, step.MethodsLevel = append([]string{}, r.RPCs...), r.rpcsOrigin.at, r.rpcsOrigin.level
	step.Options, step.bindingOrder = r.options, r.BindingOrder
}

// addUnread explains what the file alone says of an interceptor.
func (e *Explanation) addUnread(s *service) error {
	e.Unread = append(e.Unread, s.name)
	for _, o := range s.overrides {
		if o.disabled {
			continue
		}
		r := s.binding(cmp.Or(o.id, unknown.Value))
		r.idOrigin, r.rpcsOrigin, r.phasesOrigin = fromUnknown, fromUnknown, fromUnknown
		s.assume(&r, o)
		if o.id != "" {
			r.idOrigin = o.stated.origin("id")
		}
		if o.rpc != "" {
			r.RPCs, r.rpcsOrigin = []string{o.rpc}, o.selectorAt()
		}
		if o.phases == nil {
			e.addUnknown(s, r, o)
			continue
		}
		if o.rpc == "" {
			r.RPCs = []string{unknown.Value}
		}
		r.Phases, r.phasesOrigin = o.phases, o.stated.origin("phases")
		if err := s.choosePolicies(&r, o, nil, nil); err != nil {
			return err
		}
		if s.policy == dynamic {
			// Where the operator is silent the manifest may have a wish.
			for phase, v := range r.policies {
				r.policies[phase] = orManifest(v)
			}
		}
		e.add(s, r)
	}
	if s.policy == dynamic {
		r := s.binding(unknown.Value)
		r.idOrigin, r.rpcsOrigin = fromUnknown, fromUnknown
		s.assume(&r, nil)
		e.addUnknown(s, r, nil)
	}
	return nil
}

func orManifest(v Value) Value {
	if v.Origin == originDefault {
		v.Origin = "default, unless the manifest says otherwise"
	}
	return v
}

// assume fills in what the file says of a binding whose manifest was not read:
// of grants the manifest may ask for less.
func (s *service) assume(r *resolved, o *override) {
	s.place(r, o)
	s.run(r, o)
	st := &s.stated
	grants := func(key string, list []string) {
		if len(list) > 0 {
			r.say(key, strings.Join(list, " "), st.origin(key))
		}
	}
	if o != nil {
		if len(o.labels) > 0 {
			r.say("labels", labelWords(o.labels), o.stated.origin("labels"))
		}
		if len(o.table.Principals) > 0 {
			r.say("principals", strings.Join(o.table.Principals, " "), o.stated.origin("principals"))
		}
	}
	for _, g := range []struct {
		key  string
		list func(*stated) []string
	}{
		{"attributes", func(st *stated) []string { return st.attributes }},
		{"accessible_namespaces", func(st *stated) []string { return st.reads }},
		{"writable_namespaces", func(st *stated) []string { return st.writes }},
	} {
		st = &s.stated
		if o != nil && o.stated.Has(g.key) {
			st = &o.stated
		}
		grants(g.key, g.list(st))
	}
}

// addUnknown explains a binding whose phases only the manifest knows.
func (e *Explanation) addUnknown(s *service, r resolved, o *override) {
	step := s.step()
	step.Phase, step.number, step.Phases = unknown.Value, len(e.Steps), unknown
	step.binding(r)
	if len(r.RPCs) == 0 {
		step.Methods = []string{unknown.Value}
	}
	step.FailurePolicy = s.saidOfAny(o)
	e.Steps = append(e.Steps, step)
	e.sort()
}

// saidOfAny is the operator's word about failures in whatever phase; phase
// policies are listed one by one.
func (s *service) saidOfAny(o *override) Value {
	for _, st := range []*stated{&o.orNone().stated, &s.stated} {
		if len(st.policies) > 0 {
			var words []string
			for _, phase := range []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate, interceptor.PostCommit} {
				if p, ok := st.policies[phase]; ok {
					words = append(words, phase.String()+" "+p.String())
				}
			}
			return value(strings.Join(words, ", "), st.origin("phase_policies"))
		}
		if st.failure != 0 {
			return value(st.failure.String(), st.origin("failure_policy"))
		}
	}
	return unknown
}

// orNone is the override, or one that says nothing.
func (o *override) orNone() *override {
	if o == nil {
		return &override{}
	}
	return o
}

// step is what an interceptor's table says about each of its bindings.
func (s *service) step() Step {
	t := s.table
	said := func(key, text string) Value {
		if t.Has(key) {
			return value(text, s.stated.origin(key))
		}
		return value(text, fromNobody)
	}
	var audience *Value
	if s.audience != "" && s.endpoint != "" {
		v := said("audience", s.audience)
		audience = &v
	}
	return Step{
		Audience:    audience,
		Interceptor: s.name, Endpoint: cmp.Or(s.endpoint, "in process"), order: t.Order,
		Order:            said("order", strconv.Itoa(int(t.Order))),
		Timeout:          said("timeout", s.timeout.String()),
		MaxResponseBytes: said("max_response_bytes", strconv.Itoa(s.maxResponseBytes)),
		MaxPatches:       said("max_patches", strconv.Itoa(s.maxPatches)),
		MaxConcurrent:    said("max_concurrent", strconv.Itoa(cmp.Or(s.maxConcurrent, interceptor.DefaultMaxConcurrent))),
		MaxQueue:         said("max_queue", strconv.Itoa(cmp.Or(s.maxQueue, interceptor.DefaultMaxQueue))),
	}
}

// sort puts the steps into the order in which they run; those of an unknown
// phase come first.
func (e *Explanation) sort() {
	rank := []string{unknown.Value, interceptor.ModifyOperation.String(), interceptor.Validate.String(), interceptor.PostCommit.String()}
	slices.SortStableFunc(e.Steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(slices.Index(rank, a.Phase), slices.Index(rank, b.Phase)), cmp.Compare(a.order, b.order),
			cmp.Compare(a.bindingOrder, b.bindingOrder), cmp.Compare(a.number, b.number))
	})
}
