// SPDX-License-Identifier: Apache-2.0

package secretwalk_test

import (
	"strings"
	"testing"

	"github.com/docket-audit/docket/internal/secretwalk"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// tree is a schema that exists at run time only: a message that contains itself
// as a field, in a list and in a map, with a secret in it whose option stands
// among the unknown fields, and an Any.
func tree(t *testing.T, secret uint64) protoreflect.MessageDescriptor {
	t.Helper()
	options := &descriptorpb.FieldOptions{}
	options.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, secretwalk.Option, protowire.VarintType), secret))
	field := func(name string, number int32, typ descriptorpb.FieldDescriptorProto_Type, typeName string, label descriptorpb.FieldDescriptorProto_Label) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: &typ, Label: &label}
		if typeName != "" {
			f.TypeName = &typeName
		}
		return f
	}
	const text, message = descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	const single, repeated = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL, descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	key := field("api_key", 1, text, "", single)
	key.Options = options
	key.JsonName = proto.String("apiKey")
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("tree.proto"), Package: proto.String("t"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/struct.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Tree"),
			Field: []*descriptorpb.FieldDescriptorProto{
				key, field("name", 2, text, "", single),
				field("child", 3, message, ".t.Tree", single), field("list", 4, message, ".t.Tree", repeated),
				field("by_name", 5, message, ".t.Tree.ByNameEntry", repeated), field("config", 6, message, ".google.protobuf.Struct", single),
			},
			NestedType: []*descriptorpb.DescriptorProto{{
				Name: proto.String("ByNameEntry"), Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
				Field: []*descriptorpb.FieldDescriptorProto{field("key", 1, text, "", single), field("value", 2, message, ".t.Tree", single)},
			}},
		}},
	}, files{})
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().Get(0)
}

// files resolves what the test's schema imports.
type files struct{}

func (files) FindFileByPath(string) (protoreflect.FileDescriptor, error) {
	return structpb.File_google_protobuf_struct_proto, nil
}

func (files) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return structpb.File_google_protobuf_struct_proto.Messages().ByName(name.Name()), nil
}

const leaves = `{"apiKey":"canary","name":"sibling"}`

func TestRedactFindsSecretsEverywhere(t *testing.T) {
	for secret, want := range map[uint64]int{1: 0, 0: 6} {
		m := dynamicpb.NewMessage(tree(t, secret))
		json := `{"apiKey":"canary","name":"sibling","child":` + leaves + `,"list":[` + leaves + `,{"child":` + leaves + `}],"byName":{"k":` + leaves + `,"l":{"list":[` + leaves + `]}}}`
		if err := protojson.Unmarshal([]byte(json), m); err != nil {
			t.Fatal(err)
		}
		before := proto.Clone(m)
		out, err := protojson.Marshal(secretwalk.Walk{}.Redact(m))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(out), "canary"); got != want {
			t.Errorf("option %d: %d secrets of %d are shown: %s", secret, got, want, out)
		}
		if got := strings.Count(string(out), "sibling"); got != 6 {
			t.Errorf("option %d: %d public siblings of 6 are shown: %s", secret, got, out)
		}
		if !proto.Equal(m, before) {
			t.Error("the original changed")
		}
	}
}

func TestRedactLooksIntoAny(t *testing.T) {
	inner, err := anypb.New(&sandboxv1.Credentials{Token: "canary", TokenHint: "sibling"})
	if err != nil {
		t.Fatal(err)
	}
	outer, err := anypb.New(inner)
	if err != nil {
		t.Fatal(err)
	}
	out, err := protojson.Marshal(secretwalk.Walk{}.Redact(outer))
	if err != nil || strings.Contains(string(out), "canary") || !strings.Contains(string(out), "sibling") {
		t.Errorf("shown: %s, %v", out, err)
	}
}

func TestRedactCopiesOnlyWhatHoldsSecrets(t *testing.T) {
	public := &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "a", Spec: &sandboxv1.SandboxSpec{Credentials: &sandboxv1.Credentials{TokenHint: "h"}}}}
	if (secretwalk.Walk{}).Redact(public) != proto.Message(public) {
		t.Error("a message without secrets was copied")
	}
	if (secretwalk.Walk{}).Redact(nil) != nil {
		t.Error("nil is something")
	}
}

func TestHides(t *testing.T) {
	md := tree(t, 1)
	for pointer, want := range map[string]bool{
		"": true, "apiKey": true, "api_key": true, "apiKey/x": true, "name": false, "colour": false, "colour/apiKey": false,
		"child": true, "child/name": false, "child/api_key": true, "list": true, "list/0": true, "list/-": true, "list/0/name": false, "list/0/apiKey": true,
		"byName": true, "by_name": true, "byName/apiKey": true, "byName/k/name": false, "by_name/k/child/list/3/apiKey": true,
		"config": false, "config/apiKey": false, "config/fields/api_key": false,
	} {
		var tokens []string
		if pointer != "" {
			tokens = strings.Split(pointer, "/")
		}
		if got := (secretwalk.Walk{}).Hides(md, tokens); got != want {
			t.Errorf("%q is hidden: %t; want %t", pointer, got, want)
		}
	}
	if !(secretwalk.Walk{}).Hides((&anypb.Any{}).ProtoReflect().Descriptor(), []string{"x"}) {
		t.Error("an Any can be patched")
	}
	if (secretwalk.Walk{}).Reaches((&sandboxv1.GetSandboxRequest{}).ProtoReflect().Descriptor()) || !(secretwalk.Walk{}).Reaches((&sandboxv1.GetSandboxResponse{}).ProtoReflect().Descriptor()) {
		t.Error("a request that holds no secret, or a response that does, is mistaken")
	}
}
