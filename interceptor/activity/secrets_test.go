// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/docket-audit/docket/interceptor"
)

// secretive is the type of a message with a secret beside a public field.
func secretive(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	mark := &descriptorpb.FieldOptions{}
	mark.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 50001, protowire.VarintType), 1))
	field := func(name string, n int32, o *descriptorpb.FieldOptions) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: proto.String(name), Number: proto.Int32(n), JsonName: proto.String(name), Options: o,
			Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("s.proto"), Syntax: proto.String("proto3"), Package: proto.String("s"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M"), Field: []*descriptorpb.FieldDescriptorProto{field("public", 1, nil), field("token", 2, mark)}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().Get(0)
}

func withSecret(t *testing.T, public, secret string) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(secretive(t))
	if err := protojson.Unmarshal([]byte(`{"public":"`+public+`","token":"`+secret+`"}`), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSecrets records an operation with a secret, through a chain, and a patch
// that names one, which a chain would refuse: no event holds either.
func TestSecrets(t *testing.T) {
	const canary, sibling = "canary-secret", "public-sibling"
	request := withSecret(t, sibling, canary)
	meddler := interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "replace", Path: "/token", Value: []byte(`"` + canary + `"`)}}}, nil
	})
	s := newStage(t, &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{
		{Interceptor: "meddler", ID: "m", Phases: []interceptor.Phase{interceptor.ModifyOperation}, FailurePolicy: interceptor.FailOpen, Impl: meddler},
		{Interceptor: "naming", ID: "n", Phases: []interceptor.Phase{interceptor.PostCommit}, Impl: naming},
	}})
	op := &interceptor.Operation{Service: "s.S", Method: "CreateM", Request: request}
	if out := s.run(op, created); !out.Ran {
		t.Fatalf("did not run: %s", out.Reason)
	}
	s.close()
	e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.ModifyOperation, Index: 0, Count: 1}
	s.rec.Record(interceptor.Fact{Operation: op, Evaluation: e, Result: &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{
		{Op: "add", Path: "/token", Value: []byte(`"` + canary + `"`)}, {Op: "add", Path: "", Value: []byte(`{"token":"` + canary + `"}`)}, {Op: "add", Path: "/public", Value: []byte(`"` + sibling + `"`)},
	}}})
	siblings := 0
	for _, raw := range s.raw {
		if strings.Contains(string(raw), canary) {
			t.Errorf("the secret is recorded: %s", raw)
		}
		siblings += strings.Count(string(raw), sibling)
	}
	if siblings < 3 {
		t.Errorf("the public sibling is recorded %d times, want it in the request, the response and the patch", siblings)
	}
}
