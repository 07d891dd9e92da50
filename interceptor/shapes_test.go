// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/internal/secretwalk"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

// The schema of these tests exists at run time only. A line is a field: number,
// type, name; "optional", "repeated" or "oneof" may stand before.
var schemas = map[string]string{
	"All": `1 double f_double
		2 float f_float
		3 int64 f_int64
		4 uint64 f_uint64
		5 sint64 f_sint64
		6 fixed64 f_fixed64
		7 sfixed64 f_sfixed64
		8 int32 f_int32
		9 bool f_bool
		10 string f_string
		11 bytes f_bytes
		12 .s.Enum f_enum
		13 optional int32 opt_int
		14 optional string opt_text
		15 oneof string pick_text
		16 oneof uint64 pick_number
		17 oneof .s.Leaf pick_leaf
		18 oneof .google.protobuf.NullValue pick_null
		20 map:string:.s.Leaf leaves
		21 map:int64:string by_number
		22 map:bool:fixed64 by_bool
		23 repeated uint64 numbers
		24 repeated .s.Leaf list
		25 repeated .s.Enum enums
		26 .google.protobuf.Timestamp at
		27 .google.protobuf.Duration took
		28 .google.protobuf.FieldMask mask
		29 .google.protobuf.Struct config
		30 .google.protobuf.ListValue some
		31 .google.protobuf.Value anything
		32 .google.protobuf.Int64Value boxed
		33 .google.protobuf.BytesValue raw
		34 .google.protobuf.Any box
		35 repeated .google.protobuf.Value values
		36 .google.protobuf.Empty nothing
		37 repeated .google.protobuf.Timestamp times
		38 map:string:.google.protobuf.UInt64Value counters
		40 .s.Leaf leaf
		41 .s.Two two
		50 string sibling`,
	"Leaf": `1 string note
		2 uint64 big_number
		3 .s.Leaf child`,
	"Two": `1 int32 plain
		2 group:.s.Two.Grp grp`,
}

type shapes struct {
	all, leaf, two protoreflect.MessageType
	types          *dynamicpb.Types
}

func (s *shapes) walk() secretwalk.Walk { return secretwalk.Walk{Types: s.types} }

// parse reads a message of the schema.
func (s *shapes) parse(t testing.TB, json string) protoreflect.Message {
	t.Helper()
	m := s.all.New()
	if err := (protojson.UnmarshalOptions{Resolver: s.types}).Unmarshal([]byte(json), m.Interface()); err != nil {
		t.Fatalf("%s: %v", json, err)
	}
	return m
}

func fieldOf(line string, in *descriptorpb.DescriptorProto, proto3 bool) *descriptorpb.FieldDescriptorProto {
	words := strings.Fields(line)
	var number int32
	_, _ = fmt.Sscan(words[0], &number)
	name, typ := words[len(words)-1], words[len(words)-2]
	f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	switch words[1] {
	case "repeated":
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	case "oneof":
		f.OneofIndex = proto.Int32(0)
	case "optional":
		if proto3 {
			f.Proto3Optional = proto.Bool(true)
			f.OneofIndex = proto.Int32(int32(len(in.GetOneofDecl())))
			in.OneofDecl = append(in.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_" + name)})
		}
	}
	if key, value, ok := strings.Cut(strings.TrimPrefix(typ, "map:"), ":"); ok && strings.HasPrefix(typ, "map:") {
		entry := "Entry"
		for _, word := range slices.Backward(strings.Split(name, "_")) { // as protobuf wants it
			entry = strings.ToUpper(word[:1]) + word[1:] + entry
		}
		nested := &descriptorpb.DescriptorProto{Name: &entry, Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)}}
		nested.Field = append(nested.Field, fieldOf("1 "+key+" key", nested, false), fieldOf("2 "+value+" value", nested, false))
		in.NestedType = append(in.NestedType, nested)
		f.Label, typ = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(), ".s.All."+entry
	}
	group, isGroup := strings.CutPrefix(typ, "group:")
	switch {
	case isGroup:
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_GROUP.Enum(), &group
	case typ == ".s.Enum" || strings.HasSuffix(typ, ".NullValue"):
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum(), &typ
	case typ[0] == '.':
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), &typ
	default:
		f.Type = descriptorpb.FieldDescriptorProto_Type(descriptorpb.FieldDescriptorProto_Type_value["TYPE_"+strings.ToUpper(typ)]).Enum()
	}
	return f
}

func schemaOf(t testing.TB) *shapes {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	var imports []string
	for _, file := range []protoreflect.FileDescriptor{
		timestamppb.File_google_protobuf_timestamp_proto, durationpb.File_google_protobuf_duration_proto, fieldmaskpb.File_google_protobuf_field_mask_proto,
		structpb.File_google_protobuf_struct_proto, wrapperspb.File_google_protobuf_wrappers_proto, anypb.File_google_protobuf_any_proto, emptypb.File_google_protobuf_empty_proto,
	} {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
		imports = append(imports, file.Path())
	}
	message := func(name string, proto3 bool) *descriptorpb.DescriptorProto {
		d := &descriptorpb.DescriptorProto{Name: &name}
		if strings.Contains(schemas[name], "oneof") {
			d.OneofDecl = append(d.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("choice")})
		}
		for line := range strings.Lines(schemas[name]) {
			d.Field = append(d.Field, fieldOf(line, d, proto3))
		}
		return d
	}
	zero, one := int32(0), int32(1)
	two := message("Two", false)
	two.NestedType = []*descriptorpb.DescriptorProto{{Name: proto.String("Grp"), Field: []*descriptorpb.FieldDescriptorProto{fieldOf("1 int64 n", nil, false)}}}
	two.ExtensionRange = []*descriptorpb.DescriptorProto_ExtensionRange{{Start: proto.Int32(100), End: proto.Int32(200)}}
	extensions := []*descriptorpb.FieldDescriptorProto{fieldOf("100 .s.Leaf ext_leaf", nil, false), fieldOf("101 int64 ext_number", nil, false)}
	for _, x := range extensions {
		x.Extendee = proto.String(".s.Two")
	}
	set.File = append(set.File, &descriptorpb.FileDescriptorProto{
		Name: proto.String("s/leaf.proto"), Package: proto.String("s"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{message("Leaf", true)},
		EnumType: []*descriptorpb.EnumDescriptorProto{{Name: proto.String("Enum"), Value: []*descriptorpb.EnumValueDescriptorProto{
			{Name: proto.String("NONE"), Number: &zero}, {Name: proto.String("ONE"), Number: &one},
		}}},
	}, &descriptorpb.FileDescriptorProto{
		Name: proto.String("s/two.proto"), Package: proto.String("s"), Syntax: proto.String("proto2"), Dependency: []string{"s/leaf.proto"},
		MessageType: []*descriptorpb.DescriptorProto{two}, Extension: extensions,
	}, &descriptorpb.FileDescriptorProto{
		Name: proto.String("s/all.proto"), Package: proto.String("s"), Syntax: proto.String("proto3"), Dependency: append(imports, "s/leaf.proto", "s/two.proto"),
		MessageType: []*descriptorpb.DescriptorProto{message("All", true)},
	})
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	s := &shapes{types: dynamicpb.NewTypes(files)}
	for name, mt := range map[protoreflect.FullName]*protoreflect.MessageType{"s.All": &s.all, "s.Leaf": &s.leaf, "s.Two": &s.two} {
		if *mt, err = s.types.FindMessageByName(name); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestPatchesOfEveryShape patches one value of each shape.
func TestPatchesOfEveryShape(t *testing.T) {
	s := schemaOf(t)
	for _, tc := range []struct {
		name, given string
		patch       []Patch
		want        string // or "error: " and a part of it
	}{
		{"schema names in a value", `{}`, one("add", "/leaf", "", `{"big_number":"7"}`), `{"leaf":{"bigNumber":"7"}}`},
		{"schema name deeper", `{"leaf":{}}`, one("add", "/leaf/big_number", "", `7`), `error: which is "bigNumber"`},
		{"schema name in a map value", `{"leaves":{"big_number":{}}}`, one("add", "/leaves/big_number/big_number", "", `7`), `error: which is "bigNumber"`},
		{"schema name in a list item", `{"list":[{}]}`, one("add", "/list/0/big_number", "", `7`), `error: which is "bigNumber"`},
		{"any name in a struct", `{"config":{}}`, one("add", "/config/big_number", "", `7`), `{"config":{"big_number":7}}`},
		{"another oneof member", `{"pickText":"a"}`, one("add", "/pickNumber", "", `"1"`), "error: oneof"},
		{"one oneof member for another", `{"pickText":"a"}`, []Patch{{Op: "remove", Path: "/pickText"}, {Op: "add", Path: "/pickNumber", Value: []byte(`"1"`)}}, `{"pickNumber":"1"}`},
		{"unknown enum number", `{}`, one("add", "/fEnum", "", `99`), `{"fEnum":99}`},
		{"presence", `{}`, one("add", "/optInt", "", `0`), `{"optInt":0}`},
		{"no presence", `{"optInt":0}`, one("remove", "/optInt", "", ""), `{}`},
		{"integer key", `{"byNumber":{"-9223372036854775808":"a"}}`, one("replace", "/byNumber/-9223372036854775808", "", `"b"`), `{"byNumber":{"-9223372036854775808":"b"}}`},
		{"time", `{"at":"2026-01-02T03:04:05Z"}`, one("replace", "/at", "", `"9999-12-31T23:59:59.999999999Z"`), `{"at":"9999-12-31T23:59:59.999999999Z"}`},
		{"no time", `{}`, one("add", "/at", "", `"yesterday"`), "error: not a valid s.All"},
		{"wrapper", `{"boxed":"1"}`, one("replace", "/boxed", "", `9223372036854775807`), `{"boxed":"9223372036854775807"}`},
		{"value null", `{"anything":1}`, one("replace", "/anything", "", `null`), `{"anything":null}`},
		{"item of a list value", `{"some":[1,{"a":2}]}`, one("add", "/some/1/a", "", `[true]`), `{"some":[1,{"a":[true]}]}`},
		{"group", `{"two":{"grp":{"n":"1"}}}`, one("test", "/two/grp", "", `{"n":1}`), "="},
		{"group by its type", `{"two":{"grp":{"n":"1"}}}`, one("replace", "/two/Grp/n", "", `2`), `error: which is "grp"`},
		{"what may hold an extension", `{"two":{"plain":1}}`, one("remove", "/two", "", ""), "error: omitted secret"}, // it may be one
		{"inside a group", `{"two":{"grp":{"n":"1"}}}`, one("replace", "/two/grp/n", "", `2`), `{"two":{"grp":{"n":"2"}}}`},
		{"extension", `{"two":{"[s.ext_number]":"1"}}`, one("replace", "/two/[s.ext_number]", "", `2`), `{"two":{"[s.ext_number]":"2"}}`},
		{"inside an extension", `{"two":{"[s.ext_leaf]":{"note":"a"}}}`, one("add", "/two/[s.ext_leaf]/bigNumber", "", `2`), `{"two":{"[s.ext_leaf]":{"note":"a","bigNumber":"2"}}}`},
		{"inside an any", `{"box":{"@type":"x/s.Leaf","note":"a"}}`, one("replace", "/box/note", "", `"b"`), "error: omitted secret"},
		{"any", `{"box":{"@type":"x/s.Leaf","note":"a"}}`, one("replace", "/box", "", `{"@type":"x/s.Leaf","note":"b"}`), `{"box":{"@type":"x/s.Leaf","note":"b"}}`},
		{"any of another type", `{"box":{"@type":"x/s.Leaf","note":"a"}}`, one("replace", "/box", "", `{"@type":"x/google.protobuf.Duration","value":"1s"}`), `{"box":{"@type":"x/google.protobuf.Duration","value":"1s"}}`},
		{"an any goes", `{"box":{"@type":"x/s.Leaf","note":"a"},"sibling":"b"}`, one("remove", "/box", "", ""), `{"sibling":"b"}`},
		{"any anew", `{"sibling":"b"}`, one("add", "/box", "", `{"@type":"x/s.Leaf"}`), `{"sibling":"b","box":{"@type":"x/s.Leaf"}}`},
		{"any of an unknown type", `{"sibling":"b"}`, one("add", "/box", "", `{"@type":"x/no.Such"}`), "error: not a valid s.All"},
		{"beside an any", `{"box":{"@type":"x/s.Leaf","note":"a"}}`, one("add", "/sibling", "", `"b"`), `{"sibling":"b","box":{"@type":"x/s.Leaf","note":"a"}}`},

		{"test list of 64 bits", `{"numbers":["1","18446744073709551615"]}`, one("test", "/numbers", "", `[1.0,18446744073709551615]`), "="},
		{"test item of 64 bits", `{"numbers":["1"]}`, one("test", "/numbers/0", "", `1`), "="},
		{"test map of 64 bits", `{"byBool":{"true":"5"}}`, one("test", "/byBool", "", `{"true":5}`), "="},
		{"test 64 bits in a message", `{"leaf":{"child":{"bigNumber":"5"}}}`, one("test", "/leaf", "", `{"child":{"bigNumber":5}}`), "="},
		{"test 64 bits in map values", `{"leaves":{"k":{"bigNumber":"5"}}}`, one("test", "/leaves", "", `{"k":{"bigNumber":5}}`), "="},
		{"test wrapper", `{"boxed":"-5"}`, one("test", "/boxed", "", `-5`), "="},
		{"test map of wrappers", `{"counters":{"k":"5"}}`, one("test", "/counters", "", `{"k":5}`), "="},
		{"test extension", `{"two":{"[s.ext_number]":"5"}}`, one("test", "/two/[s.ext_number]", "", `5`), "="},
		{"test text", `{"fString":"5"}`, one("test", "/fString", "", `5`), "error: test failed"},
		{"test in a struct", `{"config":{"a":"5"}}`, one("test", "/config/a", "", `5`), "error: test failed"},
		{"test other number", `{"fInt64":"9007199254740993"}`, one("test", "/fInt64", "", `9007199254740992`), "error: test failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.want == "=" {
				tc.want = tc.given
			}
			got, err := patched(s.parse(t, tc.given).Interface(), tc.patch, s.walk())
			if text, bad := strings.CutPrefix(tc.want, "error: "); bad {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Fatalf("got %v, error %v; want %q", got, err, text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.parse(t, tc.want).Interface(), got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestEverySchemaShapeSurvivesPatching patches beside everything that a schema
// can have. All else stays what it was, the unknown fields of every message too.
func TestEverySchemaShapeSurvivesPatching(t *testing.T) {
	s := schemaOf(t)
	field := func(m protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
		return m.Descriptor().Fields().ByName(name)
	}
	for name, tc := range map[string]struct {
		patch []Patch
		want  func(protoreflect.Message) bool // false: the patch does not apply
	}{
		"set a sibling": {one("add", "/sibling", "", `"new"`), func(m protoreflect.Message) bool {
			m.Set(field(m, "sibling"), protoreflect.ValueOfString("new"))
			return true
		}},
		"replace a message": {one("add", "/leaf", "", `{"note":"new"}`), func(m protoreflect.Message) bool {
			m.Clear(field(m, "leaf"))
			leaf := m.Mutable(field(m, "leaf")).Message()
			leaf.Set(field(leaf, "note"), protoreflect.ValueOfString("new"))
			return true
		}},
		"take the first item": {one("remove", "/list/0", "", ""), func(m protoreflect.Message) bool {
			list := m.Mutable(field(m, "list")).List()
			if list.Len() == 0 {
				return false
			}
			for i := range list.Len() - 1 {
				list.Set(i, list.Get(i+1))
			}
			list.Truncate(list.Len() - 1)
			return true
		}},
		"move a well-known item": {one("move", "/values/1", "/values/0", ""), func(m protoreflect.Message) bool {
			list := m.Mutable(field(m, "values")).List()
			if list.Len() < 2 {
				return false
			}
			first := list.Get(0)
			list.Set(0, list.Get(1))
			list.Set(1, first)
			return true
		}},
		"add to a struct": {one("add", "/config/zz", "", `1.5`), func(m protoreflect.Message) bool {
			if !m.Has(field(m, "config")) {
				return false
			}
			entries := m.Mutable(field(m, "config")).Message()
			v := entries.Mutable(field(entries, "fields")).Map().NewValue()
			v.Message().Set(field(v.Message(), "number_value"), protoreflect.ValueOfFloat64(1.5))
			entries.Mutable(field(entries, "fields")).Map().Set(protoreflect.ValueOfString("zz").MapKey(), v)
			return true
		}},
		"move a struct": {one("move", "/anything", "/config", ""), func(m protoreflect.Message) bool {
			if !m.Has(field(m, "config")) {
				return false
			}
			held := m.Mutable(field(m, "config")).Message()
			m.Clear(field(m, "config"))
			m.Clear(field(m, "anything"))
			v := m.Mutable(field(m, "anything")).Message()
			v.Set(field(v, "struct_value"), protoreflect.ValueOfMessage(held))
			return true
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				given := maker{s, rt}.message(s.all.New(), 0)
				want := proto.Clone(given.Interface())
				before := proto.Clone(given.Interface())
				if !tc.want(want.ProtoReflect()) {
					return
				}
				got, err := patched(given.Interface(), slices.Clone(tc.patch), s.walk())
				if err != nil {
					rt.Fatal(err)
				}
				if !proto.Equal(want, got) {
					rt.Fatal(cmp.Diff(want, got, protocmp.Transform()))
				}
				if !proto.Equal(before, given.Interface()) {
					rt.Fatal("the original changed")
				}
			})
		})
	}
}

// FuzzShapes: no patch of any shape panics, what comes out of one is a message
// that stays what it is when it is patched with nothing, and the message that
// was given does not change.
func FuzzShapes(f *testing.F) {
	s := schemaOf(f)
	given := s.parse(f, `{"fInt64":"-1","pickText":"a","leaves":{"k":{"note":"n","child":{"bigNumber":"7"}}},"byNumber":{"-5":"five"},"numbers":["1","2"],
		"list":[{"note":"a"},{"note":"b"}],"at":"2026-01-02T03:04:05Z","took":"1.5s","mask":"a,b","config":{"a":[1,{"b":null}],"c":"d"},"some":[{"x":1}],
		"anything":{"y":[2]},"boxed":"9","raw":"AA==","box":{"@type":"x/s.Leaf","note":"in"},"values":[1,"two",{"three":[3]}],"nothing":{},"times":["2026-01-02T03:04:05Z"],
		"counters":{"n":"1"},"leaf":{"child":{"child":{"note":"deep"}}},"two":{"grp":{"n":"1"},"[s.ext_leaf]":{"note":"x"}}}`)
	age(given)
	before := proto.Clone(given.Interface())
	f.Add("move", "/anything", "/config", []byte(nil))
	f.Add("move", "/config/z", "/anything", []byte(nil))
	f.Add("copy", "/values/-", "/some/0", []byte(nil))
	f.Add("move", "/at", "/times/0", []byte(nil))
	f.Add("copy", "/boxed", "/counters/n", []byte(nil))
	f.Add("move", "/leaf", "/leaves/k/child", []byte(nil))
	f.Add("copy", "/leaf/note", "/at", []byte(nil))
	f.Add("add", "/two/[s.ext_leaf]/child", "", []byte(`{"big_number":"1"}`))
	f.Add("test", "/counters", "", []byte(`{"n":1}`))
	f.Fuzz(func(t *testing.T, op, path, from string, value []byte) {
		got, err := patched(given.Interface(), []Patch{{Op: op, Path: path, From: from, Value: value}}, s.walk())
		if !proto.Equal(before, given.Interface()) {
			t.Fatal("the original changed")
		}
		if err != nil {
			return
		}
		again, err := patched(got, nil, s.walk())
		if err != nil || !proto.Equal(got, again) {
			t.Errorf("patched with nothing, error %v: %s", err, cmp.Diff(got, again, protocmp.Transform()))
		}
		if path == "/box" || from == "/box" {
			return
		}
		if box := given.Descriptor().Fields().ByName("box"); !got.ProtoReflect().Get(box).Equal(given.Get(box)) {
			t.Error("the contents of an Any changed")
		}
	})
}

// age gives a message, and all in it, an unknown field.
func age(m protoreflect.Message) {
	m.SetUnknown(unknown(string(m.Descriptor().Name())))
	eachMessage(m, nil, func(t tree, held protoreflect.Message) tree {
		age(held)
		return t
	})
}
