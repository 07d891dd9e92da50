// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/internal/jsonstruct"
)

// TestKnownByJSON: the payload of a message that is known by its JSON is that JSON.
func TestKnownByJSON(t *testing.T) {
	const raw = `{"a":[1,2.5,null,true],"b":{"c":"x"}}`
	p := NewPayload(jsonstruct.New([]byte(raw)))
	if got, err := p.JSON(); err != nil || string(got) != raw {
		t.Errorf("payload %s, %v", got, err)
	}
	if got := p.Descriptor().FullName(); got != "google.protobuf.Struct" {
		t.Errorf("a %s", got)
	}
	if v, ok := p.Lookup("/b/c"); !ok || v != "x" || p.Dropped() != nil {
		t.Errorf("at /b/c is %v, dropped is %v", v, p.Dropped())
	}
}

// TestKnownByJSONIsJudged runs an operation whose request is known by its JSON: bindings are shown
// it, and patch it, as if it were the Struct.
func TestKnownByJSONIsJudged(t *testing.T) {
	for _, m := range []proto.Message{jsonstruct.New([]byte(`{"n":"A"}`)), &structpb.Struct{Fields: map[string]*structpb.Value{"n": structpb.NewStringValue("A")}}} {
		shown, out, failure := through(t, Plan{}, &Operation{Service: "s", Method: "M", Request: m}, one("replace", "/n", "", `"b"`))
		if strings.Join(shown, " ") != `{"n":"A"} {"n":"b"}` || out.Decision != Modify || failure != "" {
			t.Errorf("shown %s, %s, failure %q", shown, out.Decision, failure)
		}
	}
}

// TestKnownByJSONTooDeep: what bindings cannot be shown is refused, as it is of a Struct.
func TestKnownByJSONTooDeep(t *testing.T) {
	deep := strings.Repeat(`{"a":`, maxShownDepth+1) + "1" + strings.Repeat("}", maxShownDepth+1)
	plan := &Plan{Unmatched: UnmatchedAllow, Bindings: []Binding{{
		Interceptor: "i", ID: "b", Phases: []Phase{Validate},
		Impl: Func(func(context.Context, *Evaluation) (*Result, error) { return &Result{Decision: Allow}, nil }),
	}}}
	chain, err := New(plan, Discard)
	if err != nil {
		t.Fatal(err)
	}
	op := &Operation{Service: "s", Method: "M", Request: jsonstruct.New([]byte(deep))}
	out := chain.Run(t.Context(), op, func(context.Context, proto.Message) (proto.Message, error) { return nil, nil })
	if out.Ran || !strings.Contains(out.Reason, "a google.protobuf.Struct, has no JSON form") {
		t.Errorf("%s because %q", out.Decision, out.Reason)
	}
	if err := chain.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
