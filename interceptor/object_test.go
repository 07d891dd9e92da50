// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// TestObject: an Object is the Struct that its JSON is of, to proto as to the chain.
func TestObject(t *testing.T) {
	const raw = `{"a":[1,2.5,null,true],"b":{"c":"x"}}`
	want, err := structpb.NewStruct(map[string]any{"a": []any{1, 2.5, nil, true}, "b": map[string]any{"c": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	o := NewObject([]byte(raw))
	p := NewPayload(o)
	if got, err := p.JSON(); err != nil || string(got) != raw {
		t.Errorf("payload %s, %v", got, err)
	}
	if p.Descriptor() != want.ProtoReflect().Descriptor() || o.made != nil {
		t.Errorf("a %s, made %v", p.Descriptor().FullName(), o.made)
	}
	if v, ok := p.Lookup("/b/c"); !ok || v != "x" || p.Dropped() != nil {
		t.Errorf("at /b/c is %v, dropped is %v", v, p.Dropped())
	}
	if !proto.Equal(o, want) || !proto.Equal(proto.Clone(o), want) {
		t.Errorf("%v, want %v", o.Struct(), want)
	}
	if _, ok := o.ProtoReflect().Interface().(*structpb.Struct); !ok {
		t.Error("what it is, is no Struct")
	}
}

// TestObjectIsJudged runs an operation whose request is an Object: bindings are shown
// it, and patch it, as if it were the Struct.
func TestObjectIsJudged(t *testing.T) {
	for _, m := range []proto.Message{NewObject([]byte(`{"n":"A"}`)), &structpb.Struct{Fields: map[string]*structpb.Value{"n": structpb.NewStringValue("A")}}} {
		shown, out, failure := through(t, Plan{}, &Operation{Service: "s", Method: "M", Request: m}, one("replace", "/n", "", `"b"`))
		if strings.Join(shown, " ") != `{"n":"A"} {"n":"b"}` || out.Decision != Modify || failure != "" {
			t.Errorf("shown %s, %s, failure %q", shown, out.Decision, failure)
		}
	}
}

// TestObjectTooDeep: what bindings cannot be shown is refused, as it is of a Struct.
func TestObjectTooDeep(t *testing.T) {
	deep := strings.Repeat(`{"a":`, maxShownDepth+1) + "1" + strings.Repeat("}", maxShownDepth+1)
	plan := &Plan{Unmatched: UnmatchedAllow, Bindings: []Binding{{
		Interceptor: "i", ID: "b", Phases: []Phase{Validate},
		Impl: Func(func(context.Context, *Evaluation) (*Result, error) { return &Result{Decision: Allow}, nil }),
	}}}
	chain, err := New(plan, Discard)
	if err != nil {
		t.Fatal(err)
	}
	op := &Operation{Service: "s", Method: "M", Request: NewObject([]byte(deep))}
	out := chain.Run(t.Context(), op, func(context.Context, proto.Message) (proto.Message, error) { return nil, nil })
	if out.Ran || !strings.Contains(out.Reason, "a google.protobuf.Struct, has no JSON form") {
		t.Errorf("%s because %q", out.Decision, out.Reason)
	}
	if err := chain.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
