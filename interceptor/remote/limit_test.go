// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// ends is a Recorder that keeps how evaluations ended.
type ends struct {
	mu       sync.Mutex
	results  []interceptor.Result // guarded by mu
	failures []interceptor.Failure
}

func (e *ends) Record(f interceptor.Fact) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f.Result != nil {
		e.results = append(e.results, *f.Result)
	}
	if f.Failure != nil {
		e.failures = append(e.failures, *f.Failure)
	}
}

func (e *ends) Barrier(context.Context, interceptor.UID) error { return nil }

// padded is an answer that grows by n bytes of a field that nobody knows.
func padded(r *wire.InterceptorResult, n int) *wire.InterceptorResult {
	r.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 2000, protowire.BytesType), make([]byte, n)))
	return r
}

// TestAnswersOverTheirLimit goes over a connection and through a chain whose
// bindings fail open, so that what is denied is denied by the answer itself.
func TestAnswersOverTheirLimit(t *testing.T) {
	const limit, modify, validate = 4 << 10, interceptor.ModifyOperation, interceptor.Validate
	deny := func(reason int, patches ...*wire.JsonPatch) *wire.InterceptorResult {
		return &wire.InterceptorResult{Reason: strings.Repeat("x", reason), Patches: patches}
	}
	allow := func(reason int) *wire.InterceptorResult {
		return &wire.InterceptorResult{Allowed: true, Reason: strings.Repeat("x", reason)}
	}
	patch := &wire.JsonPatch{Op: "add", Path: "/sandbox/name", Value: structpb.NewNumberValue(1)}
	many := make([]*wire.JsonPatch, interceptor.DefaultMaxPatches+1)
	for i := range many {
		many[i] = patch
	}
	for name, tc := range map[string]struct {
		answer    *wire.InterceptorResult
		phase     interceptor.Phase
		violation string // of a deny, or the detail of a failure
		fails     bool
	}{
		"deny":                              {deny(10), validate, "", false},
		"long deny":                         {deny(2 * limit), validate, "result of 8192 bytes; at most 4096 are allowed", false},
		"long deny in modify_operation":     {deny(2 * limit), modify, "result of 8192 bytes", false},
		"deny as long as it can be":         {deny(remote.MaxMessageBytes - 64), validate, "result of 16777152 bytes", false},
		"deny that is longer":               {deny(remote.MaxMessageBytes), validate, "larger than max", true},
		"deny with a long unknown field":    {padded(deny(1), 2*limit), validate, "answer of 8199 bytes; at most 4096 are allowed", false},
		"deny beside many patches":          {deny(1, many...), modify, "33 patches; at most 32 are allowed", false},
		"deny beside patches elsewhere":     {deny(1, patch), validate, "patches in validate", false},
		"allow that is too long":            {allow(2 * limit), validate, "answer of 8197 bytes; at most 4096 are allowed", true},
		"allow with a long unknown field":   {padded(allow(1), 2*limit), modify, "answer of ", true},
		"allow longer than anything can be": {allow(remote.MaxMessageBytes), validate, "larger than max", true},
	} {
		t.Run(name, func(t *testing.T) {
			rec, ran := &ends{}, false
			client := dial(t, serveWire(t, &rude{answer: tc.answer}), remote.MaxResponseBytes(limit))
			chain, err := interceptor.New(&interceptor.Plan{Unmatched: interceptor.UnmatchedDeny, Bindings: []interceptor.Binding{{
				Interceptor: "i", ID: "b", Phases: []interceptor.Phase{tc.phase}, Impl: client,
				FailurePolicy: interceptor.FailOpen, MaxResponseBytes: limit, Timeout: time.Minute,
			}}}, rec)
			if err != nil {
				t.Fatal(err)
			}
			out := chain.Run(t.Context(), &interceptor.Operation{Service: "s", Method: "M", Request: &sandboxv1.CreateSandboxRequest{}},
				func(context.Context, proto.Message) (proto.Message, error) {
					ran = true
					return &sandboxv1.CreateSandboxResponse{}, nil
				})
			if err := chain.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tc.fails {
				if len(rec.failures) != 1 || rec.failures[0].Kind != interceptor.Limit || !strings.Contains(rec.failures[0].Detail, tc.violation) || !ran {
					t.Errorf("failures %+v, ran %t; want limit, %q", rec.failures, ran, tc.violation)
				}
				return
			}
			if out.Decision != interceptor.Deny || out.Status.Code() != codes.PermissionDenied || ran || len(rec.failures) != 0 {
				t.Errorf("decision %s, status %s, ran %t, failures %+v; want a deny", out.Decision, out.Status.Code(), ran, rec.failures)
			}
			if len(rec.results) != 1 || !strings.HasPrefix(rec.results[0].Violation, tc.violation) || (tc.violation == "") != (rec.results[0].Violation == "") {
				t.Errorf("violation %q; want %q", rec.results[0].Violation, tc.violation)
			}
		})
	}
}

// A timeout is told in our words, whichever end of the connection notices it.
func TestTimeoutsReadAlike(t *testing.T) {
	for name, impl := range map[string]interceptor.Func{
		"heeds its deadline": func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"does not": func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			time.Sleep(300 * time.Millisecond)
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			rec := &ends{}
			chain, err := interceptor.New(&interceptor.Plan{Unmatched: interceptor.UnmatchedDeny, Bindings: []interceptor.Binding{{
				Interceptor: "i", ID: "b", Phases: []interceptor.Phase{interceptor.Validate},
				Impl: dial(t, serveInterceptor(t, "unix", impl)), Timeout: 100 * time.Millisecond,
			}}}, rec)
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				chain.Run(t.Context(), &interceptor.Operation{Service: "s", Method: "M", Request: &sandboxv1.CreateSandboxRequest{}}, nil)
			}
			if err := chain.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, f := range rec.failures {
				if f.Kind != interceptor.Timeout || f.Detail != "no answer within 100ms" {
					t.Errorf("%s: %q", f.Kind, f.Detail)
				}
			}
			if len(rec.failures) != 5 {
				t.Errorf("%d failures", len(rec.failures))
			}
		})
	}
}
