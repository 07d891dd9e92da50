// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// heard is the trace context that somebody was called with, as "who: span".
type heard struct {
	mu  sync.Mutex
	got map[string]string // traceparent by who; guarded by mu
}

func (h *heard) from(who, traceparent string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got[who] = traceparent
}

// tracedService creates what it is asked to, and breaks when it is to delete.
type tracedService struct {
	sandboxv1.UnimplementedSandboxesServer
	heard *heard
}

func (s tracedService) hear(ctx context.Context, who string) {
	s.heard.from(who, strings.Join(metadata.ValueFromIncomingContext(ctx, "traceparent"), ","))
}

func (s tracedService) CreateSandbox(ctx context.Context, r *sandboxv1.CreateSandboxRequest) (*sandboxv1.CreateSandboxResponse, error) {
	s.hear(ctx, "CreateSandbox")
	return &sandboxv1.CreateSandboxResponse{Sandbox: r.GetSandbox()}, nil
}

func (s tracedService) DeleteSandbox(ctx context.Context, _ *sandboxv1.DeleteSandboxRequest) (*sandboxv1.DeleteSandboxResponse, error) {
	s.hear(ctx, "DeleteSandbox")
	return nil, status.Error(codes.Internal, "out of order")
}

func (s tracedService) GetSandbox(ctx context.Context, _ *sandboxv1.GetSandboxRequest) (*sandboxv1.GetSandboxResponse, error) {
	s.hear(ctx, "GetSandbox")
	return &sandboxv1.GetSandboxResponse{}, nil
}

// tracedJudge has a binding that allows, in each phase, and one that fails open.
// GetSandbox is not governed.
type tracedJudge struct{ heard *heard }

const (
	createRPC = "demo.sandbox.v1.Sandboxes/CreateSandbox"
	deleteRPC = "demo.sandbox.v1.Sandboxes/DeleteSandbox"
)

func (tracedJudge) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Name: "p", Bindings: []interceptor.Binding{
		{ID: "allows", RPCs: []string{createRPC, deleteRPC}, Phases: []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate, interceptor.PostCommit}},
		{ID: "fails", RPCs: []string{createRPC, deleteRPC}, Phases: []interceptor.Phase{interceptor.Validate}},
	}}, nil
}

func (j tracedJudge) Evaluate(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	tp := ""
	if e.Trace.IsValid() {
		tp = "00-" + e.Trace.TraceID().String() + "-" + e.Trace.SpanID().String() + "-" + e.Trace.TraceFlags().String()
	}
	j.heard.from(fmt.Sprint(e.Operation, e.Binding, e.Phase), tp)
	if e.Binding == "fails" {
		return nil, errors.New("broken")
	}
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

// serveTraced serves a service and an interceptor until the test ends, and
// returns the text of a file with both.
func serveTraced(t *testing.T, h *heard) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.WaitForHandlers(true))
	sandboxv1.RegisterSandboxesServer(srv, tracedService{heard: h})
	reflection.Register(srv)
	socket := filepath.Join(t.TempDir(), "i.sock")
	at, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(lis) })
	serving.Go(func() { _ = remote.Serve(ctx, at, tracedJudge{heard: h}) })
	t.Cleanup(func() { cancel(); srv.Stop(); serving.Wait() })
	return "[gateway]\nupstream = \"http://" + lis.Addr().String() + "\"\nunmatched = \"allow\"\n" +
		"[[interceptors]]\nname = \"p\"\nbinding_policy = \"dynamic\"\ngrpc_endpoint = \"unix://" + socket + "\"\nfailure_policy = \"fail_open\"\ntimeout = \"20s\"\n"
}

// runTraced calls a gateway over that file and returns when it has stopped: what
// it was asked to make is made, and every span has ended.
func runTraced(t *testing.T, j *journal, text string, meter metric.MeterProvider, traces trace.TracerProvider, calls func(*Path, sandboxv1.SandboxesClient)) {
	t.Helper()
	dir, err := datadir.Own(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	file := filepath.Join(t.TempDir(), "docket.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil, []string{"gateway.listen=127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(t.Context(), cfg, dir, nil, slog.New(slog.DiscardHandler), meter, traces)
	if err != nil {
		t.Fatal(err)
	}
	p.emit = j.emit
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := p.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient(strings.TrimPrefix(p.URL(), "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	calls(p, sandboxv1.NewSandboxesClient(conn))
	_ = conn.Close()
	cancel()
	serving.Wait()
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
