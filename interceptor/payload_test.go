// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/docket-audit/docket/internal/secretwalk"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// through runs one operation through one modifying binding and one that sees
// what came of it.
func through(t *testing.T, plan Plan, op *Operation, patches []Patch) (shown []string, out *Outcome, failure string) {
	t.Helper()
	see := func(e *Evaluation) {
		raw, err := e.Payload.JSON()
		if err != nil {
			raw = []byte(err.Error())
		}
		shown = append(shown, string(raw))
	}
	plan.Unmatched = UnmatchedAllow
	plan.Bindings = []Binding{
		{Interceptor: "i", ID: "patch", Timeout: time.Minute, Phases: []Phase{ModifyOperation}, Impl: Func(func(_ context.Context, e *Evaluation) (*Result, error) {
			see(e)
			return &Result{Decision: Modify, Patches: patches}, nil
		})},
		{Interceptor: "i", ID: "see", BindingOrder: 1, Timeout: time.Minute, Phases: []Phase{Validate}, Impl: Func(func(_ context.Context, e *Evaluation) (*Result, error) {
			see(e)
			return &Result{Decision: Allow}, nil
		})},
	}
	rec := recorderFunc(func(f Fact) {
		if f.Failure != nil {
			failure = f.Failure.Detail
		}
	})
	chain, err := New(&plan, rec)
	if err != nil {
		t.Fatal(err)
	}
	out = chain.Run(t.Context(), op, func(context.Context, proto.Message) (proto.Message, error) { return nil, nil })
	if err := chain.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return shown, out, failure
}

type recorderFunc func(Fact)

func (r recorderFunc) Record(f Fact)                    { r(f) }
func (recorderFunc) Barrier(context.Context, UID) error { return nil }

// TestSecretOption: the plan says which option marks secrets.
func TestSecretOption(t *testing.T) {
	op := func() *Operation {
		return &Operation{Service: "s", Method: "M", Request: &sandboxv1.Credentials{Token: "canary", TokenHint: "hint"}}
	}
	patch := one("add", "/token", "", `"mine"`)
	shown, out, failure := through(t, Plan{}, op(), patch)
	if out.Ran || !strings.Contains(failure, "omitted secret field") || len(shown) != 1 || shown[0] != `{"tokenHint":"hint"}` {
		t.Errorf("by the default option: shown %q, %s, failure %q", shown, out.Decision, failure)
	}
	shown, out, failure = through(t, Plan{SecretOption: 60001}, op(), patch)
	want := []string{`{"token":"canary","tokenHint":"hint"}`, `{"token":"mine","tokenHint":"hint"}`}
	if diff := cmp.Diff(want, shown); diff != "" || !out.Ran {
		t.Errorf("by another option: %s%s, failure %q", diff, out.Decision, failure)
	}
}

// TestTypesOfAnOperation: an Any and an extension of types that only the adapter
// knows are shown, and survive patching beside them.
func TestTypesOfAnOperation(t *testing.T) {
	s := schemaOf(t)
	given := s.parse(t, `{"box":{"@type":"x/s.Leaf","note":"n"},"two":{"[s.ext_number]":"7"}}`).Interface()
	shown, out, failure := through(t, Plan{}, &Operation{Service: "s", Method: "M", Request: given, Types: s.types}, one("add", "/sibling", "", `"x"`))
	want := []string{
		`{"box":{"@type":"x/s.Leaf","note":"n"},"two":{"[s.ext_number]":"7"}}`,
		`{"box":{"@type":"x/s.Leaf","note":"n"},"sibling":"x","two":{"[s.ext_number]":"7"}}`,
	}
	if diff := cmp.Diff(want, shown); diff != "" || !out.Ran {
		t.Fatalf("%s%s, failure %q", diff, out.Decision, failure)
	}
	if diff := cmp.Diff(s.parse(t, want[1]).Interface(), out.Request, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	// Without the types such a message has no JSON form: nobody is asked.
	shown, out, failure = through(t, Plan{}, &Operation{Service: "s", Method: "M", Request: given}, one("add", "/sibling", "", `"x"`))
	if out.Ran || len(shown) > 0 || failure != "" || !strings.Contains(out.Reason, "s.All, has no JSON form") {
		t.Errorf("shown %q, %s because %q, failure %q", shown, out.Decision, out.Reason, failure)
	}
}

// BenchmarkPatched is one patch of a message with unknown fields.
func BenchmarkPatched(b *testing.B) {
	m := sandbox()
	m.Sandbox.ProtoReflect().SetUnknown(unknown("newer"))
	dynamic := dynamicpb.NewMessage(m.ProtoReflect().Descriptor())
	proto.Merge(dynamic, m)
	patch := one("replace", "/sandbox/spec/image", "", `"alpine"`)
	for name, m := range map[string]proto.Message{"generated": m, "dynamic": dynamic} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := patched(m, patch, secretwalk.Walk{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// broken is a message that cannot even be looked at.
type broken struct{ proto.Message }

func (broken) ProtoReflect() protoreflect.Message { panic("no reflection") }

// TestPayloadThatPanics asks twice for the JSON form of a message that panics:
// who asks later is told an error, not that the payload is empty.
func TestPayloadThatPanics(t *testing.T) {
	p := NewPayload(broken{})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the first who asks is not told of the panic")
			}
		}()
		_, _ = p.JSON()
	}()
	if raw, err := p.JSON(); err == nil {
		t.Errorf("payload %q, want an error", raw)
	}
}
