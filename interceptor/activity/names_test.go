// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// A pointer means a field by the name of its schema and by that of its JSON, which
// may have nothing in common: in a message, a list, a map, and a patch.
func TestPointersByEitherName(t *testing.T) {
	str, msg := descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
	one, many := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	field := func(name, json string, n int32, of string, l *descriptorpb.FieldDescriptorProto_Label) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: proto.String(name), JsonName: proto.String(json), Number: proto.Int32(n), Type: str, Label: l}
		if of != "" {
			f.Type, f.TypeName = msg, proto.String(of)
		}
		return f
	}
	entry := &descriptorpb.DescriptorProto{
		Name: proto.String("ByNameEntry"), Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
		Field: []*descriptorpb.FieldDescriptorProto{field("key", "key", 1, "", one), field("value", "value", 2, ".n.Inner", one)},
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("n.proto"), Syntax: proto.String("proto3"), Package: proto.String("n"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Inner"), Field: []*descriptorpb.FieldDescriptorProto{field("pass_word", "pw", 1, "", one), field("name", "name", 2, "", one)}},
			{
				Name: proto.String("Outer"), NestedType: []*descriptorpb.DescriptorProto{entry},
				Field: []*descriptorpb.FieldDescriptorProto{
					field("one", "first", 1, ".n.Inner", one), field("many", "rest", 2, ".n.Inner", many), field("by_name", "byName", 3, ".n.Outer.ByNameEntry", many),
				},
			},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := dynamicpb.NewMessage(file.Messages().ByName("Outer"))
	inner := `{"pw":"` + canary + `","name":"` + sibling + `"}`
	if err := protojson.Unmarshal([]byte(`{"first":`+inner+`,"rest":[`+inner+`],"byName":{"x":`+inner+`}}`), m); err != nil {
		t.Fatal(err)
	}
	op := &interceptor.Operation{UID: "op", Service: "n.N", Method: "CreateOuter", Request: m}
	e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.ModifyOperation, Count: 1, Payload: interceptor.NewPayload(m)}
	result := &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{
		{Op: "add", Path: "/first/pw", Value: []byte(`"` + canary + `"`)},
		{Op: "add", Path: "/rest/0", Value: []byte(inner)},
	}}
	for _, pointers := range [][]string{
		{"/one/pass_word", "/many/*/pass_word", "/by_name/*/passWord"},
		{"/first/pw", "/rest/*/pw", "/byName/*/pw"},
		{"/*/pass_word", "/*/*/pass_word"},
	} {
		r := redactor(t, activity.Rule{Name: "passwords", Pointers: pointers, Do: activity.RedactMask})
		for _, raw := range recorded(t, "1.8.0", r, nil, op, interceptor.Fact{Evaluation: e}, interceptor.Fact{Evaluation: e, Result: result}) {
			if strings.Contains(raw, canary) || !strings.Contains(raw, sibling) {
				t.Errorf("%q: %s", pointers, raw)
			}
		}
	}
}
