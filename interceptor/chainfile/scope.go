// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docket-audit/docket/interceptor"
)

// selectWhom narrows whom a binding is for: what the manifest declares, and of that
// what the override says.
func (s *service) selectWhom(r *resolved, d declared, o *override) error {
	r.Principals, r.Labels = slices.Clone(d.source.Principals), maps.Clone(d.source.Labels)
	if len(r.Principals) > 0 {
		r.say("principals", strings.Join(r.Principals, " "), fromManifest)
	}
	if len(r.Labels) > 0 {
		r.say("labels", labelWords(r.Labels), fromManifest)
	}
	if o == nil {
		return nil
	}
	if len(o.table.Principals) > 0 {
		for _, p := range o.table.Principals {
			if len(r.Principals) > 0 && !slices.ContainsFunc(r.Principals, func(d string) bool { return coversPrincipal(d, p) }) {
				return o.table.Errorf("principals", "the manifest selects "+strings.Join(r.Principals, ", "),
					"binding %q of interceptor %q cannot be widened to %s", d.id, s.name, p)
			}
		}
		r.Principals = slices.Clone(o.table.Principals)
		r.say("principals", strings.Join(r.Principals, " "), o.stated.origin("principals"))
	}
	for _, label := range slices.Sorted(maps.Keys(o.labels)) {
		value := o.labels[label]
		if had, ok := r.Labels[label]; ok && had != "*" && had != value {
			return o.table.Errorf("labels", fmt.Sprintf("the manifest selects %s = %q", label, had),
				"binding %q of interceptor %q cannot be widened to label %s = %q", d.id, s.name, label, value)
		}
		if r.Labels == nil {
			r.Labels = map[string]string{}
		}
		r.Labels[label] = value
	}
	if len(o.labels) > 0 {
		r.say("labels", labelWords(r.Labels), o.stated.origin("labels"))
	}
	return nil
}

func labelWords(labels map[string]string) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, k+"="+labels[k])
	}
	return strings.Join(words, " ")
}

// covers reports whether all that a pattern matches another one matches too.
// A pattern is a name, or the beginning of one and an asterisk.
func covers(wide, narrow string) bool {
	prefix, open := strings.CutSuffix(wide, "*")
	return wide == narrow || open && strings.HasPrefix(narrow, prefix)
}

// coversPrincipal is covers for KIND and KIND/SUBJECT: a kind covers all its
// subjects.
func coversPrincipal(wide, narrow string) bool {
	if !strings.Contains(wide, "/") {
		narrow, _, _ = strings.Cut(narrow, "/")
	}
	return covers(wide, narrow)
}

// The keys of grants.
const (
	keyAttributes = "attributes"
	keyReads      = "accessible_namespaces"
	keyWrites     = "writable_namespaces"
)

// wish is one kind of grant: what a binding of a manifest would like to see or
// write, and what the tables of the file grant.
type wish struct {
	key      string
	declared []string
	granted  func(*stated) []string
	into     *[]string
}

// grant gives a binding what its manifest asks for and the file grants. The
// nearer table decides. Under allowlist and exact the file's list alone counts.
func (s *service) grant(r *resolved, d declared, o *override) error {
	for _, w := range []wish{
		{keyAttributes, d.source.Attributes, func(st *stated) []string { return st.attributes }, &r.Attributes},
		{keyReads, d.source.Reads, func(st *stated) []string { return st.reads }, &r.Reads},
		{keyWrites, d.source.Writes, func(st *stated) []string { return st.writes }, &r.Writes},
	} {
		st := &s.stated
		if o != nil && o.stated.Has(w.key) {
			st = &o.stated
		}
		granted := w.granted(st)
		if s.policy != dynamic {
			*w.into = slices.Clone(granted)
		} else {
			var idle []string
			*w.into, idle = common(w.declared, granted)
			if st.level == levelBinding && len(idle) > 0 {
				return o.table.Errorf(w.key, declaredHint(w.declared), "binding %q of interceptor %q does not ask for %s", d.id, s.name, idle[0])
			}
			s.use(w.key, granted, idle)
		}
		if len(*w.into) > 0 {
			r.say(w.key, strings.Join(*w.into, " "), st.origin(w.key))
		}
	}
	return nil
}

func declaredHint(list []string) string {
	if len(list) == 0 {
		return "its manifest asks for none"
	}
	return "its manifest asks for " + strings.Join(list, ", ")
}

// common is what both lists of patterns match, and what of the grants matches
// nothing that is declared.
func common(declared, granted []string) (both, idle []string) {
	for _, g := range granted {
		n := len(both)
		for _, d := range declared {
			switch {
			case covers(d, g):
				both = append(both, g)
			case covers(g, d):
				both = append(both, d)
			}
		}
		if len(both) == n {
			idle = append(idle, g)
		}
	}
	slices.Sort(both)
	return slices.Compact(both), idle
}

// use notes which grants of the interceptor's table some binding has asked for.
func (s *service) use(key string, granted, idle []string) {
	if s.used == nil {
		s.used = map[string]bool{}
	}
	for _, g := range granted {
		if !slices.Contains(idle, g) {
			s.used[key+" "+g] = true
		}
	}
}

// checkUnused refuses what the interceptor's table says to no effect: a grant
// that no binding in force asks for, a policy for a phase that none has.
func (s *service) checkUnused(bindings []resolved) error {
	if len(bindings) == 0 {
		return nil
	}
	for phase := range s.stated.policies {
		if !slices.ContainsFunc(bindings, func(r resolved) bool { return slices.Contains(r.Phases, phase) }) {
			return s.errorf("phase_policies", "leave the phase out", "no binding in force has phase %s", phase)
		}
	}
	if s.policy != dynamic {
		return nil
	}
	for _, w := range []wish{
		{key: keyAttributes, declared: s.stated.attributes}, {key: keyReads, declared: s.stated.reads}, {key: keyWrites, declared: s.stated.writes},
	} {
		for _, g := range w.declared {
			// With a list of their own in each bindings table the service's is for nobody.
			if !s.used[w.key+" "+g] {
				return s.errorf(w.key, "leave it out", "%s grants %s, which no binding asks for", w.key, g)
			}
		}
	}
	return nil
}

// run settles what else the tables say about how a binding runs.
func (s *service) run(r *resolved, o *override) {
	nearest := func(key string) *stated {
		if o != nil && o.stated.Has(key) {
			return &o.stated
		}
		if s.stated.Has(key) {
			return &s.stated
		}
		return nil
	}
	if st := nearest("mode"); st != nil {
		r.Shadow = *st.shadow
		word := modeEnforce
		if r.Shadow {
			word = modeShadow
		}
		r.say("mode", word, st.origin("mode"))
	}
	if st := nearest("audit"); st != nil {
		r.Audit = st.audit
		r.say("audit", st.audit, st.origin("audit"))
	}
	if st := nearest("capture"); st != nil {
		r.Capture = st.capture
		r.say("capture", st.capture, st.origin("capture"))
	}
	if st := nearest("capture_max"); st != nil {
		r.CaptureMax = st.captureMax
		r.say("capture_max", fmt.Sprint(st.captureMax), st.origin("capture_max"))
	}
}

// checkDeclared says what is wrong with what a manifest's binding asks for.
func checkDeclared(b *interceptor.Binding) error {
	for _, p := range b.Principals {
		if err := checkPrincipal(p); err != nil {
			return err
		}
	}
	if len(b.Writes) > maxWrites {
		return fmt.Errorf("it asks to write %d namespaces, more than %d", len(b.Writes), maxWrites)
	}
	for _, name := range b.Writes {
		if reserved(name) {
			return fmt.Errorf("it asks to write the reserved namespace %q", name)
		}
	}
	return nil
}

// checkPrincipal refuses what is not KIND or KIND/SUBJECT, with an asterisk at
// the end or none.
func checkPrincipal(p string) error {
	if kind, _, _ := strings.Cut(p, "/"); kind == "" || strings.TrimSpace(p) != p || strings.Contains(strings.TrimSuffix(p, "*"), "*") {
		return fmt.Errorf("%q is not KIND or KIND/SUBJECT", p)
	}
	return nil
}

// kinds are those of principals that Docket's adapters name; others come from
// adapters of somebody else.
var kinds = []string{"user", "service", "sandbox", "agent", "anonymous", "unknown"}

// oddPrincipals warns of selectors that look like a subject where a kind belongs:
// a binding that they keep from every operation looks like one that allows all.
func oddPrincipals(b interceptor.Binding) []string {
	var out []string
	for _, p := range b.Principals {
		kind, _, _ := strings.Cut(p, "/")
		if !strings.HasSuffix(kind, "*") && !slices.Contains(kinds, kind) {
			out = append(out, fmt.Sprintf("binding %q of interceptor %q: no principal here is of the kind %q; a subject is written as \"user/%s\"", b.ID, b.Interceptor, kind, kind))
		}
	}
	return out
}
