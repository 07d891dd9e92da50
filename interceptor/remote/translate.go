// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// evaluationToWire is what an interceptor is sent.
func evaluationToWire(e *interceptor.Evaluation) (*wire.InterceptorEvaluation, error) {
	payload, err := structOf(e.Payload)
	if err != nil {
		return nil, err
	}
	w := &wire.InterceptorEvaluation{
		InterceptorName: e.Interceptor, BindingId: e.Binding, Service: utf8(e.Service), Method: utf8(e.Method),
		Principal: utf8Map(e.Principal), Context: utf8Map(e.Attributes),
	}
	if w.Metadata, err = namespacesToWire(e.Metadata); err != nil {
		return nil, err
	}
	switch e.Phase {
	case interceptor.ModifyOperation:
		w.Phase = &wire.InterceptorEvaluation_ModifyOperation{ModifyOperation: &wire.ModifyOperationEvaluation{ProposedOperation: payload}}
	case interceptor.Validate:
		v := &wire.ValidateEvaluation{ProposedOperation: payload}
		if e.State != nil {
			if v.CurrentState, err = structOf(e.State); err != nil {
				return nil, err
			}
		}
		w.Phase = &wire.InterceptorEvaluation_Validate{Validate: v}
	case interceptor.PostCommit:
		w.Phase = &wire.InterceptorEvaluation_PostCommit{PostCommit: &wire.PostCommitEvaluation{CommittedResponse: payload}}
	default:
		return nil, fmt.Errorf("no such phase: %d", e.Phase)
	}
	return w, nil
}

func structOf(p *interceptor.Payload) (*structpb.Struct, error) {
	raw, err := p.JSON()
	if err != nil {
		return nil, err
	}
	s, err := objectOf(raw)
	if err != nil {
		return nil, fmt.Errorf("payload is no JSON object: %w", err)
	}
	return s, nil
}

// evaluationFromWire is what an interceptor served here is shown.
func evaluationFromWire(w *wire.InterceptorEvaluation) (*interceptor.Evaluation, error) {
	e := &interceptor.Evaluation{
		Interceptor: w.GetInterceptorName(), Binding: w.GetBindingId(), Service: w.GetService(), Method: w.GetMethod(),
		Principal: w.GetPrincipal(), Attributes: w.GetContext(),
	}
	var err error
	if e.Metadata, err = namespacesFromWire(w.GetMetadata()); err != nil {
		return nil, err
	}
	var payload *structpb.Struct
	switch phase := w.GetPhase().(type) {
	case *wire.InterceptorEvaluation_ModifyOperation:
		e.Phase, payload = interceptor.ModifyOperation, phase.ModifyOperation.GetProposedOperation()
	case *wire.InterceptorEvaluation_Validate:
		e.Phase, payload = interceptor.Validate, phase.Validate.GetProposedOperation()
		if state := phase.Validate.GetCurrentState(); state != nil {
			e.State = interceptor.NewPayload(state)
		}
	case *wire.InterceptorEvaluation_PostCommit:
		e.Phase, payload = interceptor.PostCommit, phase.PostCommit.GetCommittedResponse()
	default:
		return nil, errors.New("the evaluation has no phase")
	}
	if payload == nil {
		return nil, errors.New("the evaluation has no payload")
	}
	e.Payload = interceptor.NewPayload(payload)
	return e, nil
}

// resultToWire is what an interceptor served here answers.
func resultToWire(r *interceptor.Result) (*wire.InterceptorResult, error) {
	w := &wire.InterceptorResult{Reason: utf8(r.Reason), StatusCode: utf8(r.StatusCode), Warnings: r.Warnings, LogAnnotations: utf8Map(r.Annotations)}
	switch r.Decision {
	case interceptor.Allow, interceptor.Modify:
		w.Allowed = true
	case interceptor.Deny:
	default:
		return nil, fmt.Errorf("no such decision: %d", r.Decision)
	}
	var err error
	if w.DynamicMetadata, err = namespacesToWire(r.Metadata); err != nil && r.Decision != interceptor.Deny {
		return nil, err
	}
	for i := range w.Warnings {
		if w.Warnings[i] != utf8(w.Warnings[i]) {
			w.Warnings = slices.Clone(w.Warnings)
			w.Warnings[i] = utf8(w.Warnings[i])
		}
	}
	for i, p := range r.Patches {
		patch := &wire.JsonPatch{Op: utf8(p.Op), Path: utf8(p.Path), From: utf8(p.From)}
		if p.Value != nil {
			patch.Value = &structpb.Value{}
			if err := protojson.Unmarshal(p.Value, patch.Value); err != nil {
				if r.Decision == interceptor.Deny {
					patch.Value = nil // a deny ignores its patches
				} else {
					return nil, fmt.Errorf("patch %d: value is not JSON: %w", i, err)
				}
			}
		}
		w.Patches = append(w.Patches, patch)
	}
	return w, nil
}

// utf8 keeps a text that gRPC would refuse to send from losing the answer.
func utf8(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// utf8Map is utf8 of names and values. What is in order is not copied: it is
// written on the wire and no more.
func utf8Map(m map[string]string) map[string]string {
	for k, v := range m {
		if utf8(k) == k && utf8(v) == v {
			continue
		}
		out := make(map[string]string, len(m))
		for _, k := range slices.Sorted(maps.Keys(m)) { // of two names that become one, the same wins each time
			out[utf8(k)] = utf8(m[k])
		}
		return out
	}
	return m
}

// namespacesToWire writes metadata namespaces; nil when there are none.
func namespacesToWire(m map[string]map[string]any) (*structpb.Struct, error) {
	if len(m) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write metadata: %w", err)
	}
	s, err := objectOf(raw)
	if err != nil {
		return nil, fmt.Errorf("write metadata: %w", err)
	}
	return s, nil
}

// namespacesFromWire reads them. Each is an object, and every value in it has a
// JSON form.
func namespacesFromWire(s *structpb.Struct) (map[string]map[string]any, error) {
	if len(s.GetFields()) == 0 {
		return nil, nil
	}
	if _, err := protojson.Marshal(s); err != nil {
		return nil, fmt.Errorf("metadata has no JSON form: %w", err)
	}
	m := make(map[string]map[string]any, len(s.GetFields()))
	for name, value := range s.GetFields() {
		space, ok := value.GetKind().(*structpb.Value_StructValue)
		if !ok {
			return nil, fmt.Errorf("metadata namespace %q is no object", name)
		}
		m[name] = space.StructValue.AsMap()
	}
	return m, nil
}

// resultFromWire reads an interceptor's answer.
func resultFromWire(w *wire.InterceptorResult) (*interceptor.Result, error) {
	r := &interceptor.Result{
		Decision: interceptor.Deny, Reason: w.GetReason(), StatusCode: w.GetStatusCode(),
		Annotations: w.GetLogAnnotations(), Warnings: w.GetWarnings(),
	}
	switch {
	case w.GetAllowed() && len(w.GetPatches()) > 0:
		r.Decision = interceptor.Modify
	case w.GetAllowed():
		r.Decision = interceptor.Allow
	}
	var err error
	if r.Metadata, err = namespacesFromWire(w.GetDynamicMetadata()); err != nil {
		if r.Decision != interceptor.Deny {
			return nil, &interceptor.Failure{Kind: interceptor.InvalidResult, Detail: err.Error()}
		}
		r.Violation = err.Error()
	}
	for i, p := range w.GetPatches() {
		patch := interceptor.Patch{Op: p.GetOp(), Path: p.GetPath(), From: p.GetFrom()}
		if p.GetValue() != nil {
			raw, err := protojson.Marshal(p.GetValue())
			if err != nil && r.Decision != interceptor.Deny {
				return nil, &interceptor.Failure{Kind: interceptor.InvalidResult, Detail: fmt.Sprintf("patch %d: value has no JSON form: %v", i, err)}
			}
			patch.Value = json.RawMessage(raw)
		}
		r.Patches = append(r.Patches, patch)
	}
	return r, nil
}
