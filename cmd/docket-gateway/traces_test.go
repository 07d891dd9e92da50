// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"

	"github.com/docket-audit/docket/cmd/internal/otlptest"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

type anyService struct {
	sandboxv1.UnimplementedSandboxesServer
}

func (anyService) CreateSandbox(context.Context, *sandboxv1.CreateSandboxRequest) (*sandboxv1.CreateSandboxResponse, error) {
	return &sandboxv1.CreateSandboxResponse{}, nil
}

type anyJudge struct{}

func (anyJudge) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Name: "p", Bindings: []interceptor.Binding{
		{ID: "b", RPCs: []string{"demo.sandbox.v1.Sandboxes/CreateSandbox"}, Phases: []interceptor.Phase{interceptor.Validate}},
	}}, nil
}

func (anyJudge) Evaluate(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

// configured serves a service and an interceptor until the test ends, and writes
// the file of a gateway in front of them, whose NATS is away.
func configured(t *testing.T) (file string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.WaitForHandlers(true))
	sandboxv1.RegisterSandboxesServer(srv, anyService{})
	reflection.Register(srv)
	dir := t.TempDir()
	socket := filepath.Join(dir, "i.sock")
	at, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(lis) })
	serving.Go(func() { _ = remote.Serve(ctx, at, anyJudge{}) })
	t.Cleanup(func() { cancel(); srv.Stop(); serving.Wait() })
	file = filepath.Join(dir, "docket.toml")
	text := "[gateway]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://" + lis.Addr().String() + "\"\nunmatched = \"deny\"\n" +
		"[ops]\nlisten = \"127.0.0.1:0\"\n[nats]\nurl = \"nats://127.0.0.1:1\"\n" +
		"[[interceptors]]\nname = \"p\"\nbinding_policy = \"dynamic\"\ngrpc_endpoint = \"unix://" + socket + "\"\nfailure_policy = \"fail_closed\"\ntimeout = \"20s\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// governOne runs docket-gateway as its command does, has it govern one call of a
// caller's trace, stops it, and returns what it wrote to its log.
func governOne(t *testing.T, traceparent string) string {
	t.Helper()
	o := options{config: configured(t), data: filepath.Join(t.TempDir(), "data"), stdout: io.Discard, stderr: io.Discard}
	var said bytes.Buffer // read when the gateway has ended
	o.log = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o) }()
	defer cancel()
	conn, err := grpc.NewClient(proxyOf(t, o.data, ended), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = sandboxv1.NewSandboxesClient(conn).CreateSandbox(metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceparent), &sandboxv1.CreateSandboxRequest{})
	if err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return said.String()
}

// proxyOf waits until the gateway has announced where it is.
func proxyOf(t *testing.T, data string, ended <-chan error) string {
	t.Helper()
	for {
		select {
		case err := <-ended:
			t.Fatalf("the gateway ended: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
		raw, err := os.ReadFile(filepath.Join(data, "run.json"))
		if err != nil {
			continue // not yet
		}
		var there struct {
			Addresses map[string]string `json:"addresses"`
		}
		if err := json.Unmarshal(raw, &there); err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(there.Addresses["proxy"], "http://")
	}
}

// The spans of a governed call are with the collector when the gateway has
// stopped: the operation's and its evaluation's, and those of the calls that came
// in and went out.
func TestSpansArriveAtStop(t *testing.T) {
	const callerTrace, callerSpan = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	c := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000") // before the stop nothing is sent
	said := governOne(t, "00-"+callerTrace+"-"+callerSpan+"-01")
	if strings.Contains(said, "component=telemetry") {
		t.Errorf("the log says %s", said)
	}
	spans := map[string]otlptest.Span{}
	for _, s := range c.Spans() {
		if s.Trace != callerTrace || s.Resource["service.name"] != "docket-gateway" || s.Failed {
			t.Errorf("span %+v", s)
		}
		name := s.Name
		if strings.HasSuffix(s.Scope, "/otelgrpc") {
			name = strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_") + " " + name
		}
		spans[name] = s
	}
	within := map[string]string{ // each span and its parent
		"SERVER demo.sandbox.v1.Sandboxes/CreateSandbox": "",
		"demo.sandbox.v1.Sandboxes/CreateSandbox":        "SERVER demo.sandbox.v1.Sandboxes/CreateSandbox",
		"p/b": "demo.sandbox.v1.Sandboxes/CreateSandbox",
		"CLIENT openshell.gateway_interceptor.v1.GatewayInterceptor/Evaluate": "p/b",
		"CLIENT demo.sandbox.v1.Sandboxes/CreateSandbox":                      "demo.sandbox.v1.Sandboxes/CreateSandbox",
	}
	for name, parent := range within {
		want := callerSpan
		if parent != "" {
			want = spans[parent].ID
		}
		if s := spans[name]; s.ID == "" || s.Parent != want {
			t.Errorf("span %q is %+v, want one within %q, %s", name, s, parent, want)
		}
	}
	if len(c.Spans()) != len(within) {
		t.Errorf("%d spans arrived, want %d: %+v", len(c.Spans()), len(within), c.Spans())
	}
}

// A collector that refuses, or takes connections and says nothing, holds up
// neither start nor call nor stop. Its exporter would try for an hour.
func TestCollectorIsAway(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = refusing.Close()
	for name, address := range map[string]string{"silent": silent.Addr().String(), "refusing": refusing.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+address)
			t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
			t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "3600000")
			said := governOne(t, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			if n := strings.Count(said, "spans cannot be sent"); n != 1 {
				t.Errorf("it is said %d times: %s", n, said)
			}
		})
	}
}
