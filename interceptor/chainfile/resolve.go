// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/docket-audit/docket/interceptor"
)

// resolved is one binding in force, and where its values come from.
type resolved struct {
	interceptor.Binding
	idOrigin, rpcsOrigin, phasesOrigin origin
	policies                           map[interceptor.Phase]Value
	options                            map[string]Value // by key of the file
}

// said notes what a failure means in a phase, and who said so.
func (r *resolved) said(phase interceptor.Phase, policy interceptor.FailurePolicy, from origin) {
	if r.policies == nil {
		r.policies = map[interceptor.Phase]Value{}
	}
	r.policies[phase] = value(policy.String(), from)
}

// say notes the value of a key, and who gave it.
func (r *resolved) say(key, text string, from origin) {
	if r.options == nil {
		r.options = map[string]Value{}
	}
	r.options[key] = value(text, from)
}

// declared is one binding of a manifest, checked; bad says what is wrong with
// it when it is not usable.
type declared struct {
	id     string
	rpcs   []string // empty: every method
	phases []interceptor.Phase
	bad    error
	// badPolicy is wrong where the manifest's wish counts, which is under dynamic.
	badPolicy error
	source    *interceptor.Binding
}

// readManifest checks the bindings of a manifest, each for itself.
func readManifest(m *interceptor.Manifest) []declared {
	list := make([]declared, 0, len(m.Bindings))
	for i := range m.Bindings {
		b := &m.Bindings[i]
		d := declared{id: strings.TrimSpace(b.ID), phases: slices.Clone(b.Phases), source: b}
		slices.Sort(d.phases)
		d.phases = slices.Compact(d.phases)
		switch {
		case d.id == "":
			d.bad = fmt.Errorf("its binding number %d has no id", i+1)
		case slices.ContainsFunc(list, func(o declared) bool { return o.id == d.id }):
			d.bad = fmt.Errorf("binding id %q is there twice", d.id)
		case len(d.phases) == 0:
			d.bad = fmt.Errorf("binding %q has no phases", d.id)
		}
		for _, p := range d.phases {
			switch {
			case p == 0:
				d.bad = fmt.Errorf("binding %q has an unspecified phase", d.id)
			case p < interceptor.ModifyOperation || p > interceptor.PostCommit:
				d.bad = fmt.Errorf("binding %q has the unknown phase %d", d.id, p)
			}
		}
		for _, rpc := range b.RPCs {
			rpc, err := parseRPC(rpc)
			if err != nil {
				d.bad = fmt.Errorf("binding %q: %w", d.id, err)
			}
			d.rpcs = append(d.rpcs, rpc)
		}
		for _, policy := range []interceptor.FailurePolicy{b.FailurePolicy, b.PostCommitPolicy, b.ModifyPolicy} {
			if policy > interceptor.Ignore {
				d.badPolicy = fmt.Errorf("binding %q has an unknown failure policy", d.id)
			}
		}
		if err := checkDeclared(b); err != nil && d.bad == nil {
			d.bad = fmt.Errorf("binding %q: %w", d.id, err)
		}
		list = append(list, d)
	}
	return list
}

// resolve makes the bindings in force of a service and its manifest, with
// warnings about what of the manifest is left alone.
func (s *service) resolve(m *interceptor.Manifest) (bindings []resolved, warnings []string, err error) {
	manifest := readManifest(m)
	s.used = nil
	if s.policy == dynamic {
		if m.FailurePolicy > interceptor.Ignore {
			return nil, nil, s.errorf("name", "the interceptor's manifest is at fault", "it has an unknown failure policy")
		}
		bindings, err = s.resolveDynamic(m, manifest)
	} else {
		bindings, warnings, err = s.resolveStrict(manifest)
	}
	if err != nil {
		return nil, nil, err
	}
	if s.stated.failure == interceptor.FailClosed && len(bindings) > 0 && !slices.ContainsFunc(bindings, func(b resolved) bool { return judges(b.Phases) }) {
		return nil, nil, s.errPostCommitClosed(s.stated.policy(interceptor.PostCommit))
	}
	return bindings, warnings, s.checkUnused(bindings)
}

func (s *service) errorf(key, hint, format string, args ...any) error {
	return s.table.Errorf(key, hint, "interceptor %q: "+format, append([]any{s.name}, args...)...)
}

func (s *service) resolveDynamic(m *interceptor.Manifest, manifest []declared) ([]resolved, error) {
	used := map[*override]bool{}
	var out []resolved
	for _, d := range manifest {
		if bad := cmp.Or(d.bad, d.badPolicy); bad != nil {
			return nil, s.errorf("name", "the interceptor's manifest is at fault", "%v", bad)
		}
		o := s.overrideOf(d)
		used[o] = true
		if o != nil && o.disabled {
			continue
		}
		r, err := s.narrow(d, o)
		if err != nil {
			return nil, err
		}
		if err := s.choosePolicies(&r, o, d.source, m); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	for _, o := range s.overrides {
		if !used[o] {
			return nil, o.table.Errorf("id", unmatchedHint(o, manifest), "%s: interceptor %q declares no such binding", o.subject(), s.name)
		}
	}
	return out, nil
}

// overrideOf finds the override of a declared binding: by id, else by its
// selector.
func (s *service) overrideOf(d declared) *override {
	for _, o := range s.overrides {
		if o.id == d.id {
			return o
		}
	}
	for _, o := range s.overrides {
		if o.id == "" && len(d.rpcs) == 1 && d.rpcs[0] == o.rpc {
			return o
		}
	}
	return nil
}

func unmatchedHint(o *override, manifest []declared) string {
	var ids []string
	for _, d := range manifest {
		ids = append(ids, d.id)
	}
	slices.Sort(ids)
	if o.id == "" {
		return "name one of its bindings by id: " + strings.Join(ids, ", ")
	}
	return "it declares " + strings.Join(ids, ", ")
}

// narrow applies what an override says about methods and phases, which may
// only take away.
func (s *service) narrow(d declared, o *override) (resolved, error) {
	r := s.binding(d.id)
	r.RPCs, r.Phases = d.rpcs, d.phases
	r.idOrigin, r.rpcsOrigin, r.phasesOrigin = fromManifest, fromManifest, fromManifest
	if r.BindingOrder = d.source.BindingOrder; r.BindingOrder != 0 {
		r.say("order", fmt.Sprint(r.BindingOrder), fromManifest)
	}
	if err := s.settle(&r, d, o); err != nil || o == nil {
		return r, err
	}
	if o.rpc != "" {
		if len(d.rpcs) > 0 && !slices.Contains(d.rpcs, o.rpc) {
			return r, o.table.Errorf("rpc", "the manifest selects "+strings.Join(d.rpcs, ", "),
				"binding %q of interceptor %q cannot be widened to %s", d.id, s.name, o.rpc)
		}
		r.RPCs, r.rpcsOrigin = []string{o.rpc}, o.selectorAt()
	}
	if o.phases != nil {
		for _, p := range o.phases {
			if !slices.Contains(d.phases, p) {
				return r, o.table.Errorf("phases", "the manifest has "+phaseWords(d.phases),
					"phase %s cannot be added to binding %q of interceptor %q", p, d.id, s.name)
			}
		}
		r.Phases, r.phasesOrigin = o.phases, o.stated.origin("phases")
	}
	return r, nil
}

// settle applies what is said about a binding besides its methods, phases and
// policies.
func (s *service) settle(r *resolved, d declared, o *override) error {
	if err := s.selectWhom(r, d, o); err != nil {
		return err
	}
	if err := s.grant(r, d, o); err != nil {
		return err
	}
	s.place(r, o)
	s.run(r, o)
	return nil
}

// place notes the stated place of a binding among its interceptor's.
func (s *service) place(r *resolved, o *override) {
	if o != nil && o.table.Has("order") {
		r.BindingOrder = o.table.Order
		r.say("order", fmt.Sprint(r.BindingOrder), o.stated.origin("order"))
	}
}

func (o *override) selectorAt() origin {
	if o.table.Has("rpc") {
		return o.stated.origin("rpc")
	}
	return o.stated.origin("service")
}

// resolveStrict serves allowlist and exact: the file says what is in force,
// the manifest has to agree.
func (s *service) resolveStrict(manifest []declared) ([]resolved, []string, error) {
	listed := map[string]bool{}
	var out []resolved
	for _, o := range s.overrides {
		d, err := s.declaring(o, manifest)
		if err != nil {
			return nil, nil, err
		}
		listed[d.id] = true
		r, err := s.listedBinding(o, d)
		if err != nil {
			return nil, nil, err
		}
		if err := s.choosePolicies(&r, o, nil, nil); err != nil {
			return nil, nil, err
		}
		out = append(out, r)
	}
	warnings, err := s.unlisted(manifest, listed)
	if err != nil {
		return nil, nil, err
	}
	out, err = s.merge(out)
	return out, warnings, err
}

// declaring finds the one binding of the manifest that declares the method.
func (s *service) declaring(o *override, manifest []declared) (declared, error) {
	var found []declared
	for _, d := range manifest {
		if d.bad == nil && (len(d.rpcs) == 0 || slices.Contains(d.rpcs, o.rpc)) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		hint := "its manifest declares no usable binding"
		if rpcs := declaredRPCs(manifest); len(rpcs) > 0 {
			hint = "its manifest declares " + strings.Join(rpcs, ", ")
		}
		return declared{}, o.table.Errorf("rpc", hint, "interceptor %q does not declare %s", s.name, o.rpc)
	default:
		return declared{}, o.table.Errorf("rpc", `use binding_policy = "dynamic" and name bindings by id`,
			"interceptor %q declares %s in %d bindings (%s, %s, ...)", s.name, o.rpc, len(found), found[0].id, found[1].id)
	}
}

func declaredRPCs(manifest []declared) []string {
	var rpcs []string
	for _, d := range manifest {
		if d.bad == nil {
			rpcs = append(rpcs, d.rpcs...)
		}
	}
	slices.Sort(rpcs)
	return slices.Compact(rpcs)
}

func (s *service) listedBinding(o *override, d declared) (resolved, error) {
	for _, p := range o.phases {
		if !slices.Contains(d.phases, p) {
			return resolved{}, o.table.Errorf("phases", "the manifest has "+phaseWords(d.phases),
				"interceptor %q does not declare phase %s for %s", s.name, p, o.rpc)
		}
	}
	if s.policy == exact && !slices.Equal(o.phases, d.phases) {
		return resolved{}, o.table.Errorf("phases", "the manifest has "+phaseWords(d.phases),
			"the phases of %s are not exactly those that interceptor %q declares", o.rpc, s.name)
	}
	r := s.binding(d.id)
	r.RPCs, r.Phases = []string{o.rpc}, o.phases
	r.idOrigin, r.rpcsOrigin, r.phasesOrigin = fromManifest, o.selectorAt(), o.stated.origin("phases")
	if err := s.settle(&r, d, o); err != nil {
		return r, err
	}
	if s.policy == exact && !samePeople(&r.Binding, d.source) {
		return r, o.table.Errorf("principals", "write down the manifest's principals and labels, all of them",
			"the principals or labels of %s are not exactly those that interceptor %q declares", o.rpc, s.name)
	}
	return r, nil
}

// unlisted says what the manifest has beyond the file: allowlist warns of it,
// exact refuses it.
func (s *service) unlisted(manifest []declared, listed map[string]bool) ([]string, error) {
	var warnings []string
	for _, d := range manifest {
		what := ""
		switch {
		case d.bad != nil:
			what = "a malformed binding: " + d.bad.Error()
		case !listed[d.id]:
			what = fmt.Sprintf("binding %q, which the file does not list", d.id)
		case s.policy == exact:
			for _, rpc := range d.rpcs {
				if !slices.ContainsFunc(s.overrides, func(o *override) bool { return o.rpc == rpc }) {
					what = fmt.Sprintf("%s in binding %q, which the file does not list", rpc, d.id)
				}
			}
			if len(d.rpcs) == 0 {
				what = fmt.Sprintf("every method in binding %q, more than the file lists", d.id)
			}
		}
		if what == "" {
			continue
		}
		if s.policy == exact {
			return nil, s.errorf("binding_policy", `list it, or use binding_policy = "allowlist"`, "its manifest declares %s", what)
		}
		warnings = append(warnings, fmt.Sprintf("interceptor %q: its manifest declares %s; it is not in force", s.name, what))
	}
	return warnings, nil
}

// merge joins the entries about several methods of one declared binding: it is
// one binding, with one set of phases and one failure policy.
func (s *service) merge(list []resolved) ([]resolved, error) {
	var out []resolved
	for i, r := range list {
		j := slices.IndexFunc(out, func(o resolved) bool { return o.ID == r.ID })
		if j < 0 {
			out = append(out, r)
			continue
		}
		if o := out[j]; !alike(o.Binding, r.Binding) {
			return nil, s.overrides[i].table.Errorf("phases", "give them the same phases and failure_policy, and the same of all else",
				"%s and %s are one binding (%q) of interceptor %q", r.RPCs[0], o.RPCs[0], r.ID, s.name)
		}
		out[j].RPCs = append(out[j].RPCs, r.RPCs...)
	}
	return out, nil
}

// alike reports whether two bindings differ in their methods alone.
func alike(a, b interceptor.Binding) bool {
	a.RPCs, b.RPCs = nil, nil
	return reflect.DeepEqual(a, b)
}

// samePeople reports whether two bindings are for the same principals and labels.
func samePeople(a, b *interceptor.Binding) bool {
	x, y := slices.Sorted(slices.Values(a.Principals)), slices.Sorted(slices.Values(b.Principals))
	return slices.Equal(x, y) && maps.Equal(a.Labels, b.Labels)
}

// binding is what the interceptor's table says about each of its bindings.
func (s *service) binding(id string) resolved {
	return resolved{Binding: interceptor.Binding{
		Interceptor: s.name, ID: id, Order: s.table.Order, Endpoint: s.endpoint, Settings: s.settings,
		Timeout: s.timeout, MaxResponseBytes: s.maxResponseBytes, MaxPatches: s.maxPatches,
		MaxConcurrent: s.maxConcurrent, MaxQueue: s.maxQueue,
	}}
}

func phaseWords(phases []interceptor.Phase) string {
	words := make([]string, 0, len(phases))
	for _, p := range phases {
		words = append(words, p.String())
	}
	return strings.Join(words, ", ")
}
