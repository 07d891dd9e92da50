// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	v1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

func protoFile(name string, imports ...string) *descriptorpb.FileDescriptorProto {
	return &descriptorpb.FileDescriptorProto{Name: &name, Syntax: proto.String("proto3"), Package: proto.String("p"), Dependency: imports}
}

func TestLinkRefuses(t *testing.T) {
	for want, files := range map[string][]*descriptorpb.FileDescriptorProto{
		"a.proto imports itself by way of b.proto":  {protoFile("a.proto", "b.proto"), protoFile("b.proto", "a.proto")},
		"a.proto imports itself by way of a.proto":  {protoFile("a.proto", "a.proto")},
		"a.proto imports c.proto, which is missing": {protoFile("a.proto", "b.proto", "c.proto"), protoFile("b.proto")},
	} {
		if _, err := link(&descriptorpb.FileDescriptorSet{File: files}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

// A file is made once, and anew where what it imports is another file.
func TestLinkedOnce(t *testing.T) {
	known := linked{}
	input := func(field string) protoreflect.MessageDescriptor {
		common, service := protoFile("common.proto"), protoFile("service.proto", "common.proto")
		common.MessageType = []*descriptorpb.DescriptorProto{{Name: proto.String("M"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: &field, Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}}
		service.Service = []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Call"), InputType: proto.String(".p.M"), OutputType: proto.String(".p.M"),
		}}}}
		files, err := known.link(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{service, common, common}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := lookUp(files, types{}, "p.S", "Call")
		if err != nil {
			t.Fatal(err)
		}
		return m.Input()
	}
	first, again, other := input("a"), input("a"), input("b")
	if first != again || first.Fields().Get(0).Name() != "a" || other.Fields().Get(0).Name() != "b" || len(known) != 4 {
		t.Errorf("%v, %v, %v; %d files were made", first, again, other, len(known))
	}
}

// sparse tells of a symbol its own file, and of a path that file: what a file
// imports has to be asked for.
type sparse struct {
	v1.UnimplementedServerReflectionServer
	files map[string]*descriptorpb.FileDescriptorProto
	asked []string // owned by the stream
}

func (s *sparse) ServerReflectionInfo(stream v1.ServerReflection_ServerReflectionInfoServer) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := req.GetFileByFilename()
		if req.GetFileContainingSymbol() != "" {
			path = sandboxv1.File_demo_sandbox_v1_sandbox_proto.Path()
		}
		s.asked = append(s.asked, path)
		resp := &v1.ServerReflectionResponse{MessageResponse: &v1.ServerReflectionResponse_ErrorResponse{
			ErrorResponse: &v1.ErrorResponse{ErrorCode: int32(codes.NotFound), ErrorMessage: "no such file"},
		}}
		if f := s.files[path]; f != nil {
			raw, err := proto.Marshal(f)
			if err != nil {
				return err
			}
			resp.MessageResponse = &v1.ServerReflectionResponse_FileDescriptorResponse{FileDescriptorResponse: &v1.FileDescriptorResponse{FileDescriptorProto: [][]byte{raw}}}
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
}

// Imports that an upstream does not send along are asked for; those that it does
// not have either, and this program has, are taken from here.
func TestSparseReflection(t *testing.T) {
	own := protodesc.ToFileDescriptorProto(sandboxv1.File_demo_sandbox_v1_sandbox_proto)
	extra := protoFile("extra.proto")
	own.Dependency = append(own.Dependency, "extra.proto")
	s := &sparse{files: map[string]*descriptorpb.FileDescriptorProto{own.GetName(): own, "extra.proto": extra}}
	srv, lis := grpc.NewServer(grpc.WaitForHandlers(true)), bufconn.Listen(1<<20)
	v1.RegisterServerReflectionServer(srv, s)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	r := newReflected(dial(t, lis), time.Now)
	m, err := r.find(t.Context(), "demo.sandbox.v1.Sandboxes", "CreateSandbox")
	srv.Stop()
	if err != nil || m.Input().FullName() != "demo.sandbox.v1.CreateSandboxRequest" {
		t.Errorf("%v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(s.asked) != 1+len(own.GetDependency()) {
		t.Errorf("asked for %v", s.asked)
	}
	delete(s.files, "extra.proto")
	if _, err := linked.link(linked{}, &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{own}}); err == nil {
		t.Error("linked without an import")
	}
}

// Unknown fields are found at any depth.
func TestHasUnknown(t *testing.T) {
	strange := func() *structpb.Value {
		v := structpb.NewBoolValue(true)
		v.ProtoReflect().SetUnknown([]byte("\xf8\x3f\x07"))
		return v
	}
	list := &structpb.ListValue{Values: []*structpb.Value{structpb.NewNullValue(), strange(), structpb.NewNullValue()}}
	for name, c := range map[string]struct {
		m    proto.Message
		want bool
	}{
		"none":                 {structpb.NewBoolValue(true), false},
		"empty":                {&anypb.Any{}, false},
		"itself":               {strange(), true},
		"in a list":            {list, true},
		"in a map":             {&structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewNullValue(), "k": strange(), "z": structpb.NewNullValue()}}, true},
		"in a list in a field": {structpb.NewListValue(list), true},
		"known, deep":          {structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewNullValue()}}), false},
		"scalars in a map":     {&sandboxv1.Sandbox{Labels: map[string]string{"a": "b"}}, false},
	} {
		if got := hasUnknown(c.m.ProtoReflect()); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
