// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/serve/servetest"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// What holds no events answers before there is a token, and no access is told of.
func TestHealthAndReflection(t *testing.T) {
	s := start(t, newShelf())
	health := grpc_health_v1.NewHealthClient(s.conn)
	for _, service := range []string{"", auditv1.AuditService_ServiceDesc.ServiceName} {
		got, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, got, err)
		}
	}
	watch, err := health.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", got, err)
	}

	reflection, err := grpc_reflection_v1.NewServerReflectionClient(s.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = reflection.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: auditv1.AuditService_ServiceDesc.ServiceName},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := reflection.Recv()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, b := range got.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(b, file); err != nil {
			t.Fatal(err)
		}
		for _, service := range file.GetService() {
			found = found || file.GetPackage() == "docket.audit.v1" && service.GetName() == "AuditService" && len(service.GetMethod()) == len(servetest.RPCs)
		}
	}
	if !found {
		t.Errorf("reflection does not know the service: %v", got)
	}
	_ = reflection.CloseSend()

	for _, method := range []string{"/docket.audit.v1.AuditService/Delete", "/docket.audit.v2.AuditService/GetEvent", "/grpc.channelz.v1.Channelz/GetServers", "/x/y"} {
		for _, token := range []string{"", "admin"} {
			if err := s.conn.Invoke(as(t.Context(), token), method, &emptypb.Empty{}, &emptypb.Empty{}); status.Code(err) != codes.Unimplemented {
				t.Errorf("%s as %q: %v", method, token, err)
			}
		}
	}
	// Of these it tells, and of who is well or what there is it does not.
	told := s.accesses.take()
	for _, one := range told {
		if !errors.Is(one.Err, serve.ErrUnsupported) || !strings.HasPrefix(one.Request, "/") || one.Door != "api" {
			t.Errorf("told %+v", one)
		}
	}
	if len(told) != 8 {
		t.Errorf("told of %+v", told)
	}
	// A server that stops says so to those who watch.
	s.Drain()
	if got, err := watch.Recv(); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("drained: %v, %v", got, err)
	}
}

// Errors have what programs need, as google.rpc says.
func TestErrorDetails(t *testing.T) {
	s := start(t, newShelf())
	_, err := s.client().SearchEvents(as(t.Context(), "admin"), &auditv1.SearchEventsRequest{PageToken: "x"})
	var fields []*errdetails.BadRequest_FieldViolation
	for _, d := range status.Convert(err).Details() {
		if b, ok := d.(*errdetails.BadRequest); ok {
			fields = append(fields, b.GetFieldViolations()...)
		}
	}
	if status.Code(err) != codes.InvalidArgument || len(fields) != 1 || fields[0].GetField() != "page_token" || fields[0].GetDescription() != "it is none that this server gave" {
		t.Errorf("%v: %v", err, fields)
	}
	_, err = s.client().SearchEvents(as(t.Context(), "nothing"), &auditv1.SearchEventsRequest{})
	var info *errdetails.ErrorInfo
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			info = i
		}
	}
	if status.Code(err) != codes.PermissionDenied || info.GetDomain() != "docket" || info.GetReason() != "PERMISSION_DENIED" || info.GetMetadata()["hint"] == "" {
		t.Errorf("%v: %v", err, info)
	}
	var e *serve.RemoteError
	if !errors.As(serve.FromStatus(err), &e) || e.Code != "permission_denied" || e.Hint() != info.GetMetadata()["hint"] {
		t.Errorf("%+v", e)
	}
}

// Who sends a token over gRPC sends it as in HTTP, and no other header stands for
// it.
func TestTokenIsInOneHeader(t *testing.T) {
	s := start(t, newShelf())
	for name, want := range map[string]codes.Code{
		"authorization": codes.OK, "grpc-metadata-authorization": codes.Unauthenticated, "x-forwarded-authorization": codes.Unauthenticated,
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), name, "Bearer admin")
		if _, err := s.client().SearchEvents(ctx, &auditv1.SearchEventsRequest{}, grpc.WaitForReady(true)); status.Code(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
