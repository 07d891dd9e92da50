// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/docket-audit/docket/interceptor"
	optionsv1 "github.com/docket-audit/docket/schemas/proto/openshell/options/v1"
)

// boxes is the API of a service whose requests have an Any and an extension.
func boxes(t *testing.T) []byte {
	t.Helper()
	const (
		text    = descriptorpb.FieldDescriptorProto_TYPE_STRING
		message = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, of string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if of != "" {
			f.TypeName = &of
		}
		return f
	}
	hidden := field("hidden", 2, text, "")
	hidden.Options = &descriptorpb.FieldOptions{}
	proto.SetExtension(hidden.Options, optionsv1.E_Secret, true)
	must := field("must", 1, text, "")
	must.Label = descriptorpb.FieldDescriptorProto_LABEL_REQUIRED.Enum()
	extra := field("extra", 100, message, ".t.Inside")
	extra.Extendee = proto.String(".t.Request")
	return encode(t, &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("t.proto"), Syntax: proto.String("proto2"), Package: proto.String("t"),
		Dependency: []string{"google/protobuf/any.proto", optionsv1.File_openshell_options_v1_options_proto.Path()},
		MessageType: []*descriptorpb.DescriptorProto{
			{
				Name: proto.String("Request"), Field: []*descriptorpb.FieldDescriptorProto{field("box", 1, message, ".google.protobuf.Any")},
				ExtensionRange: []*descriptorpb.DescriptorProto_ExtensionRange{{Start: proto.Int32(100), End: proto.Int32(200)}},
			},
			{Name: proto.String("Inside"), Field: []*descriptorpb.FieldDescriptorProto{field("open", 1, text, ""), hidden}},
			{Name: proto.String("Strict"), Field: []*descriptorpb.FieldDescriptorProto{must, field("may", 2, text, "")}},
		},
		Extension: []*descriptorpb.FieldDescriptorProto{extra},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("M"), InputType: proto.String(".t.Request"), OutputType: proto.String(".t.Request"),
		}, {
			Name: proto.String("Strict"), InputType: proto.String(".t.Strict"), OutputType: proto.String(".t.Strict"),
		}}}},
	}, protodesc.ToFileDescriptorProto(optionsv1.File_openshell_options_v1_options_proto)}})
}

// What an Any holds, and an extension, is known by the upstream's descriptors
// alone: bindings see it, but for its secrets.
func TestAnyOfTheUpstream(t *testing.T) {
	const inside = "\x0a\x01o\x12\x06canary" // a t.Inside
	u := newUpstream(t, "", nil)
	u.script("/t.S/M", answering(func(b []byte) ([]byte, error) { return b, nil }))
	b, shown := showing("/t.S/M")
	_, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil, b), Descriptors: boxes(t)})
	box := func(name string, value []byte) []byte {
		raw := encode(t, &anypb.Any{TypeUrl: "type.googleapis.com/" + name, Value: value})
		return append([]byte{0x0a, byte(len(raw))}, raw...)
	}
	for name, c := range map[string]struct {
		request []byte
		want    string
	}{
		"any":        {box("t.Inside", []byte(inside)), `{"box":{"@type":"type.googleapis.com/t.Inside","open":"o"}}`},
		"well known": {box("google.protobuf.Duration", encode(t, durationpb.New(0))), `{"box":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"0s"}}`},
		"extension":  {[]byte("\xa2\x06\x0b" + inside), `{"[t.extra]":{"open":"o"}}`},
	} {
		tr := converse(t.Context(), conn, "/t.S/M", false, [][]byte{c.request})
		if tr.Code != codes.OK || len(tr.Messages) != 1 || tr.Messages[0] != brief(c.request) || strings.ReplaceAll(shown(), " ", "") != c.want {
			t.Errorf("%s: %+v, shown %s; want %s", name, tr, shown(), c.want)
		}
	}
}

// Whether a required field is missing is for the service to judge.
func TestRequiredFields(t *testing.T) {
	for name, c := range map[string]struct {
		result interceptor.Result
		want   string
	}{
		"allowed": {interceptor.Result{Decision: interceptor.Allow}, ""},
		"patched": {interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "add", Path: "/must", Value: []byte(`"x"`)}}}, "\x0a\x01x"},
	} {
		u := newUpstream(t, "", nil)
		got := make(chan []byte, 1)
		u.script("/t.S/Strict", answering(func(b []byte) ([]byte, error) {
			got <- b
			return b, nil
		}))
		_, conn := serveProxy(t, u, Config{Descriptors: boxes(t), Chain: newChain(t, nil, nil, bind("/t.S/Strict", func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			return &c.result, nil
		}))})
		if tr := converse(t.Context(), conn, "/t.S/Strict", false, [][]byte{{}}); tr.Code != codes.OK {
			t.Errorf("%s: got %+v", name, tr)
		} else if b := <-got; string(b) != c.want {
			t.Errorf("%s: the service got %q, want %q", name, b, c.want)
		}
	}
}
