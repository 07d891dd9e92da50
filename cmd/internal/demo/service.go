// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// Service keeps sandboxes in memory.
type Service struct {
	sandboxv1.UnimplementedSandboxesServer

	journal *Journal

	mu        sync.Mutex                    // guards the below
	sandboxes map[string]*sandboxv1.Sandbox // by tenant and name
	version   uint64
}

// NewService returns a service that writes every call to journal.
func NewService(journal *Journal) *Service {
	return &Service{journal: journal, sandboxes: map[string]*sandboxv1.Sandbox{}}
}

// Journalled is the server interceptor that writes a call to the journal
// before it is answered: what a caller can know of, the journal has.
func (s *Service) Journalled(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !strings.HasPrefix(info.FullMethod, "/"+sandboxv1.Sandboxes_ServiceDesc.ServiceName+"/") {
		return handler(ctx, req)
	}
	resp, err := handler(ctx, req)
	_, method, _ := strings.Cut(strings.TrimPrefix(info.FullMethod, "/"), "/")
	line := Line{Method: method, Status: codeName(status.Code(err)), Time: time.Now().UTC(), OperationUID: first(ctx, "docket-operation-uid"), Tenant: first(ctx, tenantKey)}
	if jerr := s.journal.Write(line); jerr != nil {
		// A service that cannot count must not pretend that it did.
		panic(jerr)
	}
	return resp, err
}

func first(ctx context.Context, key string) string {
	if v := metadata.ValueFromIncomingContext(ctx, key); len(v) > 0 {
		return v[0]
	}
	return ""
}

func place(ctx context.Context, name string) string { return first(ctx, tenantKey) + "/" + name }

// CreateSandbox implements [sandboxv1.SandboxesServer].
func (s *Service) CreateSandbox(ctx context.Context, r *sandboxv1.CreateSandboxRequest) (*sandboxv1.CreateSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sb, ok := proto.Clone(r.GetSandbox()).(*sandboxv1.Sandbox)
	if !ok || sb.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "a sandbox needs a name")
	}
	key := place(ctx, sb.GetName())
	if s.sandboxes[key] != nil {
		return nil, status.Errorf(codes.AlreadyExists, "sandbox %s exists", sb.GetName())
	}
	s.version++
	sb.ResourceVersion = s.version
	s.sandboxes[key] = sb
	id := fmt.Sprintf("session-%d", s.version)
	return &sandboxv1.CreateSandboxResponse{
		Sandbox: sb,
		Session: &sandboxv1.Session{Id: PublicCanary(id), AccessToken: SecretCanary(id)},
	}, nil
}

// UpdateSandbox implements [sandboxv1.SandboxesServer].
func (s *Service) UpdateSandbox(ctx context.Context, r *sandboxv1.UpdateSandboxRequest) (*sandboxv1.UpdateSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := place(ctx, r.GetSandbox().GetName())
	old := s.sandboxes[key]
	if old == nil {
		return nil, status.Errorf(codes.NotFound, "no sandbox %s", r.GetSandbox().GetName())
	}
	if want := r.GetExpectedResourceVersion(); want != 0 && want != old.GetResourceVersion() {
		return nil, status.Errorf(codes.Aborted, "sandbox %s is at version %d", old.GetName(), old.GetResourceVersion())
	}
	sb, ok := proto.Clone(r.GetSandbox()).(*sandboxv1.Sandbox)
	if !ok {
		return nil, status.Error(codes.Internal, "a sandbox is no sandbox")
	}
	s.version++
	sb.ResourceVersion = s.version
	s.sandboxes[key] = sb
	return &sandboxv1.UpdateSandboxResponse{Sandbox: sb}, nil
}

// DeleteSandbox implements [sandboxv1.SandboxesServer].
func (s *Service) DeleteSandbox(ctx context.Context, r *sandboxv1.DeleteSandboxRequest) (*sandboxv1.DeleteSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := place(ctx, r.GetName())
	if s.sandboxes[key] == nil {
		return nil, status.Errorf(codes.NotFound, "no sandbox %s", r.GetName())
	}
	delete(s.sandboxes, key)
	s.version++
	return &sandboxv1.DeleteSandboxResponse{ResourceVersion: s.version}, nil
}

// GetSandbox implements [sandboxv1.SandboxesServer].
func (s *Service) GetSandbox(ctx context.Context, r *sandboxv1.GetSandboxRequest) (*sandboxv1.GetSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sb := s.sandboxes[place(ctx, r.GetName())]
	if sb == nil {
		return nil, status.Errorf(codes.NotFound, "no sandbox %s", r.GetName())
	}
	return &sandboxv1.GetSandboxResponse{Sandbox: sb}, nil
}
