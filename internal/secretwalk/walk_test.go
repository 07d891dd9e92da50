// SPDX-License-Identifier: Apache-2.0

package secretwalk_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/docket-audit/docket/internal/secretwalk"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

const ours, theirs protowire.Number = secretwalk.Option, 60001

// marked is a schema known at run time only: Inner and an extension of Holder
// have a field marked by our option, one marked by another, and a public one.
func marked(t *testing.T) *dynamicpb.Types {
	t.Helper()
	field := func(name string, number int32, option protowire.Number) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &number, Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
		if option != 0 {
			f.Options = &descriptorpb.FieldOptions{}
			f.Options.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, option, protowire.VarintType), 1))
		}
		return f
	}
	extension := field("pin_code", 100, ours)
	extension.Extendee = proto.String(".m.Holder")
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("marked.proto"), Package: proto.String("m"), Syntax: proto.String("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Inner"), Field: []*descriptorpb.FieldDescriptorProto{field("a_key", 1, ours), field("b_key", 2, theirs), field("name", 3, 0)}},
			{Name: proto.String("Holder"), Field: []*descriptorpb.FieldDescriptorProto{field("name", 1, 0)}, ExtensionRange: []*descriptorpb.DescriptorProto_ExtensionRange{{Start: proto.Int32(100), End: proto.Int32(200)}}},
		},
		Extension: []*descriptorpb.FieldDescriptorProto{extension},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var set protoregistry.Files
	if err := set.RegisterFile(file); err != nil {
		t.Fatal(err)
	}
	return dynamicpb.NewTypes(&set)
}

// read makes a message of JSON.
func read(t *testing.T, types *dynamicpb.Types, name protoreflect.FullName, json string) proto.Message {
	t.Helper()
	mt, err := types.FindMessageByName(name)
	if err != nil {
		t.Fatal(err)
	}
	m := mt.New().Interface()
	if err := (protojson.UnmarshalOptions{Resolver: types}).Unmarshal([]byte(json), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestOption: another option marks other fields, and ours none any more.
func TestOption(t *testing.T) {
	types := marked(t)
	m := read(t, types, "m.Inner", `{"aKey":"canary","bKey":"canary","name":"n"}`)
	md := m.ProtoReflect().Descriptor()
	for option, want := range map[protowire.Number]struct {
		json   string
		hidden string
	}{
		0:      {`{"bKey":"canary","name":"n"}`, "aKey"},
		ours:   {`{"bKey":"canary","name":"n"}`, "aKey"},
		theirs: {`{"aKey":"canary","name":"n"}`, "bKey"},
	} {
		w := secretwalk.Walk{Option: option, Types: types}
		if !proto.Equal(read(t, types, "m.Inner", want.json), w.Redact(m)) {
			t.Errorf("option %d: shown: %v", option, w.Redact(m))
		}
		if diff := cmp.Diff([]string{"/" + want.hidden}, w.Dropped(m)); diff != "" {
			t.Errorf("option %d: dropped: %s", option, diff)
		}
		for _, name := range []string{"aKey", "bKey"} {
			if got := w.Hides(md, []string{name}); got != (name == want.hidden) {
				t.Errorf("option %d: %s is hidden: %t", option, name, got)
			}
		}
	}
}

// TestTypes: what an Any holds, and extensions, are looked up where the Walk says.
func TestTypes(t *testing.T) {
	types := marked(t)
	box, err := anypb.New(read(t, types, "m.Inner", `{"aKey":"canary","name":"n"}`))
	if err != nil {
		t.Fatal(err)
	}
	w := secretwalk.Walk{Types: types}
	out, err := protojson.MarshalOptions{Resolver: types}.Marshal(w.Redact(box))
	if err != nil || strings.Contains(string(out), "canary") || !strings.Contains(string(out), `"n"`) {
		t.Errorf("shown: %s, %v", out, err)
	}
	if diff := cmp.Diff([]string{"/aKey"}, w.Dropped(box)); diff != "" {
		t.Error(diff)
	}
	if raw, err := protojson.Marshal(secretwalk.Walk{}.Redact(box)); err == nil {
		t.Errorf("a type that nobody knows is shown: %s", raw)
	}

	holder := read(t, types, "m.Holder", `{"name":"n","[m.pin_code]":"canary"}`)
	if out, err := (protojson.MarshalOptions{Resolver: types}).Marshal(w.Redact(holder)); err != nil || strings.Contains(string(out), "canary") {
		t.Errorf("shown: %s, %v", out, err)
	}
	md := holder.ProtoReflect().Descriptor()
	if !w.Hides(md, []string{"[m.pin_code]"}) || w.Hides(md, []string{"name"}) || !w.Hides(md, nil) {
		t.Error("the secret extension can be patched, or its sibling cannot")
	}
	if diff := cmp.Diff([]string{"/[m.pin_code]"}, w.Dropped(holder)); diff != "" {
		t.Error(diff)
	}
}

func TestDropped(t *testing.T) {
	md := tree(t, 1)
	m := dynamicpb.NewMessage(md)
	json := `{"apiKey":"canary","name":"n","child":{"name":"n"},"list":[` + leaves + `,{"child":` + leaves + `}],"byName":{"a/b~c":` + leaves + `}}`
	if err := protojson.Unmarshal([]byte(json), m); err != nil {
		t.Fatal(err)
	}
	want := []string{"/apiKey", "/byName/a~1b~0c/apiKey", "/list/0/apiKey", "/list/1/child/apiKey"}
	if diff := cmp.Diff(want, secretwalk.Walk{}.Dropped(m)); diff != "" {
		t.Error(diff)
	}
	inner, err := anypb.New(&sandboxv1.Credentials{Token: "canary", Secrets: map[string]string{"k": "canary"}})
	if err != nil {
		t.Fatal(err)
	}
	outer, err := anypb.New(inner)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/value/secrets", "/value/token"}, secretwalk.Walk{}.Dropped(outer)); diff != "" {
		t.Error(diff)
	}
	if got := (secretwalk.Walk{}).Dropped(nil); got != nil {
		t.Errorf("of nothing was dropped %q", got)
	}
	if got := (secretwalk.Walk{}).Dropped(wrapperspb.String("x")); got != nil {
		t.Errorf("of a wrapper was dropped %q", got)
	}
}

func TestField(t *testing.T) {
	types := marked(t)
	w := secretwalk.Walk{Types: types}
	inner := read(t, types, "m.Inner", `{}`).ProtoReflect().Descriptor()
	holder := read(t, types, "m.Holder", `{}`).ProtoReflect().Descriptor()
	for _, tc := range []struct {
		md         protoreflect.MessageDescriptor
		name, want string
		byJSONName bool
	}{
		{inner, "aKey", "m.Inner.a_key", true},
		{inner, "a_key", "m.Inner.a_key", false},
		{inner, "name", "m.Inner.name", true},
		{inner, "colour", "", false},
		{inner, "", "", false},
		{holder, "[m.pin_code]", "m.pin_code", true},
		{holder, "[m.pin_code", "m.pin_code", false},
		{holder, "pinCode", "", false},
		{inner, "[m.pin_code]", "", false}, // of another message
		{holder, "[m.nothing]", "", false},
	} {
		fd, byJSONName := w.Field(tc.md, tc.name)
		got := ""
		if fd != nil {
			got = string(fd.FullName())
		}
		if got != tc.want || byJSONName != tc.byJSONName {
			t.Errorf("%s, %q: %q by its JSON name: %t; want %q, %t", tc.md.FullName(), tc.name, got, byJSONName, tc.want, tc.byJSONName)
		}
	}
}
