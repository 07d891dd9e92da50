// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"fmt"
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
			binding := &wire.InterceptorBinding{Id: b.ID, Selector: &wire.InterceptorSelector{Rpc: rpc}, FailurePolicy: wirePolicy(policy)}
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

// manifestFromWire reads a manifest strictly: what is not understood might be a
// control that would be left out.
func manifestFromWire(w *wire.InterceptorManifest) (*interceptor.Manifest, error) {
	m := &interceptor.Manifest{Name: w.GetName(), Audience: w.GetExpectedAudience()}
	var err error
	if m.FailurePolicy, err = readPolicy(w.GetFailurePolicy()); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	for i, wb := range w.GetBindings() {
		b, err := bindingFromWire(wb)
		if err != nil {
			return nil, fmt.Errorf("read manifest: binding %d (%q): %w", i, wb.GetId(), err)
		}
		if j := slices.IndexFunc(m.Bindings, func(other interceptor.Binding) bool { return sameButMethods(other, b) }); j >= 0 {
			m.Bindings[j].RPCs = append(m.Bindings[j].RPCs, b.RPCs...)
			continue
		}
		m.Bindings = append(m.Bindings, b)
	}
	return m, nil
}

// sameButMethods reports whether two bindings are one that the wire had to
// write once for each of its methods.
func sameButMethods(a, b interceptor.Binding) bool {
	return a.ID == b.ID && slices.Equal(a.Phases, b.Phases) && len(a.RPCs) > 0 && len(b.RPCs) > 0 &&
		a.FailurePolicy == b.FailurePolicy && a.PostCommitPolicy == b.PostCommitPolicy
}

func bindingFromWire(w *wire.InterceptorBinding) (interceptor.Binding, error) {
	b := interceptor.Binding{ID: strings.TrimSpace(w.GetId())}
	if b.ID == "" {
		return b, fmt.Errorf("id is empty")
	}
	rpc, err := readSelector(w.GetSelector())
	if err != nil {
		return b, err
	}
	if rpc != "" {
		b.RPCs = []string{rpc}
	}
	for _, p := range w.GetPhases() {
		phase := interceptor.Phase(p)
		if int32(phase) != int32(p) || phase.String() == "" {
			return b, fmt.Errorf("unknown phase %d", p)
		}
		b.Phases = append(b.Phases, phase)
	}
	if len(b.Phases) == 0 {
		return b, fmt.Errorf("no phases")
	}
	slices.Sort(b.Phases)
	b.Phases = slices.Compact(b.Phases)

	policy, err := readPolicy(w.GetFailurePolicy())
	if err != nil {
		return b, err
	}
	// One wish for all of the binding's phases. It holds for those before the
	// handler; post_commit can only fail open, so a wish that it be closed is
	// passed on only where there is nothing else that it could mean, to be
	// refused.
	if slices.ContainsFunc(b.Phases, func(p interceptor.Phase) bool { return p != interceptor.PostCommit }) {
		b.FailurePolicy = policy
	} else {
		b.PostCommitPolicy = policy
	}
	return b, nil
}

// readSelector returns "service/method", or "" for every method.
func readSelector(s *wire.InterceptorSelector) (string, error) {
	rpc, service, method := strings.TrimSpace(s.GetRpc()), strings.TrimSpace(s.GetService()), strings.TrimSpace(s.GetMethod())
	switch {
	case rpc != "":
		var ok bool
		if service, method, ok = strings.Cut(rpc, "/"); !ok || strings.Contains(method, "/") {
			return "", fmt.Errorf("selector %q is not service/method", rpc)
		}
		service, method = strings.TrimSpace(service), strings.TrimSpace(method)
	case service == "" && method == "":
		return "", nil
	}
	if service == "" || method == "" {
		return "", fmt.Errorf("selector needs both a service and a method")
	}
	return service + "/" + method, nil
}

func readPolicy(word string) (interceptor.FailurePolicy, error) {
	var p interceptor.FailurePolicy
	if err := p.UnmarshalText([]byte(word)); err != nil || p == interceptor.Ignore {
		return 0, fmt.Errorf("unsupported failure policy %q", word)
	}
	return p, nil
}
