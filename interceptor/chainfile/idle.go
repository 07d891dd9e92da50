// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docket-audit/docket/interceptor"
)

// What follows is sound, but has no effect as long as nobody else does something
// about it, which its author may not know: it is warned of.

// headerPrefix begins the attributes that are headers.
const headerPrefix = "request.headers."

// provided are the attributes that every operation of the proxy may have, see
// package grpcproxy. Other adapters have others.
var provided = []string{"source.address", "user_agent", "request.method", "request.path"}

// provides reports whether the proxy gives operations an attribute that a pattern
// matches.
func (g Gateway) provides(pattern string) bool {
	names := slices.Clone(provided)
	for _, header := range g.Attributes {
		names = append(names, headerPrefix+header)
	}
	return slices.ContainsFunc(names, func(name string) bool { return covers(pattern, name) })
}

// A grant is what an interceptor was granted to see or to write.
type grant struct{ interceptor, key, name string }

// grants notes what a list grants.
func (b *builder) grants(interceptor, key string, list []string) {
	for _, name := range list {
		if g := (grant{interceptor, key, name}); !slices.Contains(b.granted, g) {
			b.granted = append(b.granted, g)
		}
	}
}

// grantsOf notes what a binding is granted.
func (b *builder) grantsOf(o interceptor.Binding) {
	b.grants(o.Interceptor, keyAttributes, o.Attributes)
	b.grants(o.Interceptor, keyReads, o.Reads)
	b.grants(o.Interceptor, keyWrites, o.Writes)
}

// grantsOfFile notes what the file grants to an interceptor whose manifest, which
// may ask for less, was not read.
func (b *builder) grantsOfFile(s *service) {
	tables := []*stated{&s.stated}
	for _, o := range s.overrides {
		if !o.disabled {
			tables = append(tables, &o.stated)
		}
	}
	for _, st := range tables {
		b.grants(s.name, keyAttributes, st.attributes)
		b.grants(s.name, keyReads, st.reads)
		b.grants(s.name, keyWrites, st.writes)
	}
}

// warnOfGrants warns of attributes that no operation will have, and of metadata
// namespaces that nobody writes.
func (b *builder) warnOfGrants() {
	for _, g := range b.granted {
		switch {
		case g.key == keyAttributes && !b.gateway.provides(g.name):
			b.warn("interceptor %q: it is granted attribute %q, which no operation has: %s", g.interceptor, g.name, howToProvide(g.name))
		case g.key == keyReads && !slices.ContainsFunc(b.granted, func(w grant) bool { return w.key == keyWrites && w.name == g.name }):
			b.warn("interceptor %q: it is granted metadata namespace %q, which no binding may write", g.interceptor, g.name)
		}
	}
}

func howToProvide(attribute string) string {
	header, ok := strings.CutPrefix(attribute, headerPrefix)
	switch {
	case !ok:
		return "the proxy gives it " + strings.Join(provided, ", ") + ", and the headers of [gateway] attributes"
	case strings.HasSuffix(header, "*"):
		return "list the headers in [gateway] attributes"
	}
	return fmt.Sprintf("list the header in [gateway], attributes = [%q]", header)
}

// warnOfObservers warns of bindings of post_commit alone where nobody judges what
// they would observe, which unmatched = "deny" therefore denies.
func (b *builder) warnOfObservers() {
	if b.plan.Unmatched != interceptor.UnmatchedDeny {
		return
	}
	judged := func(rpc string) bool { // "" is every method
		return slices.ContainsFunc(b.plan.Bindings, func(j interceptor.Binding) bool {
			return !j.Shadow && !onlyObserves(j) && (len(j.RPCs) == 0 || slices.Contains(j.RPCs, rpc))
		})
	}
	for _, o := range b.plan.Bindings {
		if !onlyObserves(o) || o.Shadow {
			continue
		}
		unjudged := slices.DeleteFunc(slices.Clone(o.RPCs), judged)
		if len(o.RPCs) == 0 && !judged("") {
			unjudged = []string{"what no other binding judges"}
		}
		if len(unjudged) > 0 {
			b.warn("binding %q of interceptor %q only observes: unmatched = \"deny\" denies %s", o.ID, o.Interceptor, strings.Join(unjudged, ", "))
		}
	}
}

// onlyObserves reports whether a binding has no say before the handler.
func onlyObserves(b interceptor.Binding) bool {
	return !slices.ContainsFunc(b.Phases, func(p interceptor.Phase) bool { return p != interceptor.PostCommit })
}

func (b *builder) warn(format string, args ...any) {
	b.explanation.Warnings = append(b.explanation.Warnings, fmt.Sprintf(format, args...))
}
