// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"maps"
	"slices"
	"strings"
)

// steps returns the steps of the route that an operation takes. Whom principals
// or labels do not select is skipped, and the others are numbered as if it were
// not there: who counts them must come to the last.
func (r *route) steps(op *Operation) (judge, observe []step) {
	if !r.selective {
		return r.judge, r.observe
	}
	all := slices.Concat(r.judge, r.observe)
	for i := range all {
		all[i].skipped = all[i].passesOver(op)
	}
	places(all)
	return all[:len(r.judge)], all[len(r.judge):]
}

// governed reports whether a binding is called that has a say before the handler.
// A shadow has none, nor has one that only observes in post_commit: neither can
// make of a method that is denied one that is allowed.
func governed(judging []step) bool {
	return slices.ContainsFunc(judging, func(s step) bool { return s.skipped == "" && !s.Shadow })
}

// passesOver says why the binding does not select an operation of a method that
// it does select; "" when it does.
func (b *Binding) passesOver(op *Operation) string {
	if len(b.Principals) > 0 && !slices.ContainsFunc(b.Principals, func(pattern string) bool { return isPrincipal(pattern, op.Principal) }) {
		return "selector: principal"
	}
	for _, label := range slices.Sorted(maps.Keys(b.Labels)) {
		value, ok := op.Labels[label]
		if want := b.Labels[label]; !ok || want != "*" && want != value {
			return "selector: label " + label
		}
	}
	return ""
}

// isPrincipal matches KIND or KIND/SUBJECT, which may end in an asterisk. A
// sandbox is known by its id where it has no subject.
func isPrincipal(pattern string, principal map[string]string) bool {
	name := principal["kind"]
	if strings.Contains(pattern, "/") {
		subject := principal["subject"]
		if subject == "" && name == "sandbox" {
			subject = principal["sandbox_id"]
		}
		name += "/" + subject
	}
	return matches(pattern, name)
}

// matches compares a name with a pattern, which may end in an asterisk.
func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}
