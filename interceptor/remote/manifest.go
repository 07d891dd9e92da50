// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"maps"
	"slices"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
)

// manifestToWire writes a manifest. On the wire a binding selects one method,
// so one of ours that selects several becomes as many of the same id; one that
// selects every method has an empty selector, which OpenShell refuses.
func manifestToWire(m *interceptor.Manifest) *wire.InterceptorManifest {
	w := &wire.InterceptorManifest{Name: m.Name, FailurePolicy: wirePolicy(m.FailurePolicy), ExpectedAudience: m.Audience}
	for _, b := range m.Bindings {
		rpcs := b.RPCs
		if len(rpcs) == 0 {
			rpcs = []string{""}
		}
		policy := b.FailurePolicy
		if !slices.ContainsFunc(b.Phases, func(p interceptor.Phase) bool { return p != interceptor.PostCommit }) {
			policy = b.PostCommitPolicy
		}
		for _, rpc := range rpcs {
			binding := &wire.InterceptorBinding{
				Id: b.ID, FailurePolicy: wirePolicy(policy),
				Selector: &wire.InterceptorSelector{Rpc: rpc, Principals: b.Principals, Labels: b.Labels},
				Order:    b.BindingOrder, Attributes: b.Attributes, AccessibleNamespaces: b.Reads, WritableNamespaces: b.Writes,
			}
			for _, phase := range b.Phases {
				binding.Phases = append(binding.Phases, wire.GatewayInterceptorPhase(phase))
			}
			w.Bindings = append(w.Bindings, binding)
		}
	}
	return w
}

// wirePolicy writes a failure policy. The wire contract knows no ignore; what
// comes nearest is fail_open.
func wirePolicy(p interceptor.FailurePolicy) string {
	if p == interceptor.Ignore {
		p = interceptor.FailOpen
	}
	return p.String()
}

// What stands for a phase whose number is not to be had here and for a failure
// policy that is not known. Neither may be in a plan.
const (
	unknownPhase  = interceptor.Phase(255)
	unknownPolicy = interceptor.FailurePolicy(255)
)

// manifestFromWire reads a manifest as it is. What makes no sense stays
// senseless, an unknown phase or an rpc without its method: whoever makes a plan
// of it knows whether the binding is asked for, and refuses it then. Nothing is
// left out that might be a control.
func manifestFromWire(w *wire.InterceptorManifest) *interceptor.Manifest {
	m := &interceptor.Manifest{Name: w.GetName(), Audience: w.GetExpectedAudience(), FailurePolicy: readPolicy(w.GetFailurePolicy())}
	for _, wb := range w.GetBindings() {
		b := bindingFromWire(wb)
		if j := slices.IndexFunc(m.Bindings, func(other interceptor.Binding) bool { return addsMethod(&other, &b) }); j >= 0 {
			m.Bindings[j].RPCs = append(m.Bindings[j].RPCs, b.RPCs...)
			continue
		}
		m.Bindings = append(m.Bindings, b)
	}
	return m
}

// addsMethod reports whether b is a binding that the wire had to write once for
// each of its methods, and this is one more of them. The same method twice is
// two bindings, which a plan refuses.
func addsMethod(a, b *interceptor.Binding) bool {
	return len(a.RPCs) > 0 && len(b.RPCs) > 0 && !slices.Contains(a.RPCs, b.RPCs[0]) &&
		a.ID == b.ID && slices.Equal(a.Phases, b.Phases) && a.FailurePolicy == b.FailurePolicy && a.PostCommitPolicy == b.PostCommitPolicy &&
		a.BindingOrder == b.BindingOrder && slices.Equal(a.Principals, b.Principals) && maps.Equal(a.Labels, b.Labels) &&
		slices.Equal(a.Attributes, b.Attributes) && slices.Equal(a.Reads, b.Reads) && slices.Equal(a.Writes, b.Writes)
}

func bindingFromWire(w *wire.InterceptorBinding) interceptor.Binding {
	b := interceptor.Binding{
		ID: strings.TrimSpace(w.GetId()), BindingOrder: w.GetOrder(), Principals: w.GetSelector().GetPrincipals(), Labels: w.GetSelector().GetLabels(),
		Attributes: w.GetAttributes(), Reads: w.GetAccessibleNamespaces(), Writes: w.GetWritableNamespaces(),
	}
	if rpc := readSelector(w.GetSelector()); rpc != "" {
		b.RPCs = []string{rpc}
	}
	for _, p := range w.GetPhases() {
		phase := interceptor.Phase(p)
		if int32(phase) != int32(p) {
			phase = unknownPhase
		}
		b.Phases = append(b.Phases, phase)
	}
	slices.Sort(b.Phases)
	b.Phases = slices.Compact(b.Phases)

	// One wish for all of the binding's phases. It holds for those before the
	// handler; post_commit can only fail open, so a wish that it be closed is
	// passed on only where there is nothing else that it could mean, to be
	// refused.
	policy := readPolicy(w.GetFailurePolicy())
	if slices.ContainsFunc(b.Phases, func(p interceptor.Phase) bool { return p != interceptor.PostCommit }) {
		b.FailurePolicy = policy
	} else {
		b.PostCommitPolicy = policy
	}
	return b
}

// readSelector returns "service/method", or "" for every method. A text that is
// not of that form is returned as it is.
func readSelector(s *wire.InterceptorSelector) string {
	rpc, service, method := strings.TrimSpace(s.GetRpc()), strings.TrimSpace(s.GetService()), strings.TrimSpace(s.GetMethod())
	switch {
	case rpc == "" && service == "" && method == "":
		return ""
	case rpc == "":
		return service + "/" + method
	}
	if service, method, ok := strings.Cut(rpc, "/"); ok {
		return strings.TrimSpace(service) + "/" + strings.TrimSpace(method)
	}
	return rpc
}

// readPolicy reads a wish. Ignore is the operator's alone to say.
func readPolicy(word string) interceptor.FailurePolicy {
	var p interceptor.FailurePolicy
	if err := p.UnmarshalText([]byte(word)); err != nil || p == interceptor.Ignore {
		return unknownPolicy
	}
	return p
}
