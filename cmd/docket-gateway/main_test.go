// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/reflection"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

func TestMain(m *testing.M) {
	for _, kv := range os.Environ() { // nothing of the outside steers what is tested
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "DOCKET_") || strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections()
		os.Exit(code)
	}))
}

// patient bounds what a test waits for.
const patient = time.Minute

// An upstream keeps what reached it.
type upstream struct {
	sandboxv1.UnimplementedSandboxesServer

	address string
	mu      sync.Mutex
	given   []*sandboxv1.CreateSandboxRequest // guarded by mu
}

func serveUpstream(t *testing.T) *upstream {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, server := &upstream{address: "http://" + lis.Addr().String()}, grpc.NewServer()
	sandboxv1.RegisterSandboxesServer(server, u)
	reflection.Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return u
}

func (u *upstream) CreateSandbox(_ context.Context, r *sandboxv1.CreateSandboxRequest) (*sandboxv1.CreateSandboxResponse, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.given = append(u.given, r)
	return &sandboxv1.CreateSandboxResponse{Sandbox: r.GetSandbox(), Session: &sandboxv1.Session{Id: "s-1"}}, nil
}

func (u *upstream) calls() []*sandboxv1.CreateSandboxRequest {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*sandboxv1.CreateSandboxRequest(nil), u.given...)
}

// A judge declares a binding of CreateSandbox and answers by a function.
type judge struct {
	id string
	interceptor.Func
}

func (j judge) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Name: "judge", Bindings: []interceptor.Binding{{
		ID: j.id, RPCs: []string{"demo.sandbox.v1.Sandboxes/CreateSandbox"}, Phases: []interceptor.Phase{interceptor.Validate},
	}}}, nil
}

func allow(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

func deny(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Deny, Reason: "no"}, nil
}

// serve serves an interceptor until the test ends and returns its address,
// HOST:PORT, or the path of its socket.
func serve(t *testing.T, network string, i interceptor.Interceptor, opts ...remote.Option) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(shortDir(t), "i.sock")
	}
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- remote.Serve(ctx, lis, i, opts...) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return lis.Addr().String()
}

// shortDir is for sockets: the names of tests make t.TempDir too long.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "docket-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A syncBuffer is written to while others read it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A world is a docket-gateway between a caller and a service, with the broker
// that its events go to.
type world struct {
	t        *testing.T
	broker   *natstest.Server
	upstream *upstream
	file     string // the configuration
	dir      string // the data directory
	printed  *syncBuffer

	addresses map[string]string
	client    sandboxv1.SandboxesClient
	stop      func() error // once
}

// newWorld has everything but the gateway, and a directory for its file.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, broker: natstest.Run(t), upstream: serveUpstream(t), printed: &syncBuffer{}}
	if err := stream.Apply(t.Context(), w.broker.JetStream(t)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w.file, w.dir = filepath.Join(dir, "docket.toml"), filepath.Join(dir, "data")
	return w
}

// write writes the file: the tables that every gateway here has, and text.
func (w *world) write(gateway, text string) {
	w.t.Helper()
	all := fmt.Sprintf("[gateway]\nlisten = \"127.0.0.1:0\"\nupstream = %q\nunmatched = \"deny\"\n%s\n[nats]\nurl = %q\n[ops]\nlisten = \"127.0.0.1:0\"\n[emitter]\nname = \"gateway-0\"\n%s",
		w.upstream.address, gateway, w.broker.URL(), text)
	if err := os.WriteFile(w.file, []byte(all), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// start runs the command, as its users do but for the process, until the test or
// stop ends it.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := root()
	command.SetArgs([]string{"--config", w.file, "--data", w.dir})
	command.SetOut(w.printed)
	command.SetErr(w.printed)
	command.SilenceErrors, command.SilenceUsage = true, true
	done := make(chan error, 1)
	go func() { done <- command.ExecuteContext(ctx) }()
	w.stop = sync.OnceValue(func() error { cancel(); return <-done })
	w.t.Cleanup(func() {
		if err := w.stop(); err != nil {
			w.t.Errorf("docket-gateway: %v", err)
		}
		if w.t.Failed() {
			w.t.Logf("docket-gateway printed:\n%s", w.printed)
		}
	})
	var run struct {
		Addresses map[string]string `json:"addresses"`
	}
	w.eventually("run.json", func() bool {
		select {
		case err := <-done:
			done <- err
			w.t.Fatalf("docket-gateway ended: %v", err)
		default:
		}
		b, err := os.ReadFile(filepath.Join(w.dir, "run.json"))
		return err == nil && json.Unmarshal(b, &run) == nil
	})
	w.addresses = run.Addresses
	conn, err := grpc.NewClient(strings.TrimPrefix(run.Addresses["proxy"], "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	w.client = sandboxv1.NewSandboxesClient(conn)
}

// refused runs the command, which has to end by itself, and returns why it does.
func (w *world) refused() error {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patient)
	defer cancel()
	command := root()
	command.SetArgs([]string{"--config", w.file, "--data", w.dir})
	command.SetOut(w.printed)
	command.SetErr(w.printed)
	command.SilenceErrors, command.SilenceUsage = true, true
	err := command.ExecuteContext(ctx)
	if ctx.Err() != nil {
		w.t.Fatal("docket-gateway started")
	}
	return err
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patient); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("no %s", what)
		}
	}
}

// create calls the service through the gateway.
func (w *world) create(ctx context.Context, s *sandboxv1.Sandbox) error {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	_, err := w.client.CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: s})
	return err
}

// get asks the listener of those who watch.
func (w *world) get(path, accept string) (status int, body string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.addresses["ops"]+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// recorded ends the gateway and returns what it sent.
func (w *world) recorded() []string {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Fatal(err)
	}
	return w.sent()
}

// sent returns the events that are on the stream.
func (w *world) sent() []string {
	w.t.Helper()
	s, err := w.broker.JetStream(w.t).Stream(w.t.Context(), stream.Declared().Stream.Name)
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := s.Info(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var events []string
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		msg, err := s.GetMsg(w.t.Context(), seq)
		if err != nil {
			w.t.Fatal(errors.Join(err, w.t.Context().Err()))
		}
		events = append(events, string(msg.Data))
	}
	return events
}

// ofKind returns those events that are of a kind.
func ofKind(events []string, kind string) []string {
	var out []string
	for _, e := range events {
		if strings.Contains(e, `"event_code":"`+kind+`"`) {
			out = append(out, e)
		}
	}
	return out
}
