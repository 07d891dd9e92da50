// SPDX-License-Identifier: Apache-2.0

// Package examples_test runs what lies in this directory.
package examples_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/remote"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// judge is an interceptor that declares bindings and answers by a function.
type judge struct {
	bindings []interceptor.Binding
	interceptor.Func
}

func (j judge) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Bindings: j.bindings}, nil
}

func allow(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

func unanswered(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return nil, &interceptor.Failure{Kind: interceptor.Unavailable, Detail: "down"}
}

const sandboxes = "demo.sandbox.v1.Sandboxes/"

func binding(id string, phase interceptor.Phase, methods ...string) interceptor.Binding {
	return interceptor.Binding{ID: id, Phases: []interceptor.Phase{phase}, RPCs: methods}
}

// images denies what does not begin with an entry of its settings.
func images(settings map[string]any) (interceptor.Interceptor, error) {
	list, ok := settings["allow"].([]any)
	if !ok {
		return nil, errors.New("no list of images to allow")
	}
	return judge{
		[]interceptor.Binding{binding("images", interceptor.Validate, sandboxes+"CreateSandbox", sandboxes+"UpdateSandbox")},
		func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
			image, _ := e.Payload.Lookup("/sandbox/spec/image")
			for _, prefix := range list {
				if strings.HasPrefix(image.(string), prefix.(string)) {
					return allow(ctx, e)
				}
			}
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "image not allowed"}, nil
		},
	}, nil
}

// linked are the interceptors of chain.toml, with a quota that is down.
func linked() []chainfile.Option {
	return []chainfile.Option{
		chainfile.Local("naming", judge{[]interceptor.Binding{binding("names", interceptor.ModifyOperation, sandboxes+"CreateSandbox")}, allow}),
		chainfile.Make("images", images),
		chainfile.Local("quota", judge{[]interceptor.Binding{
			binding("update", interceptor.Validate, sandboxes+"UpdateSandbox"),
			binding("usage", interceptor.PostCommit, sandboxes+"CreateSandbox"),
		}, unanswered}),
	}
}

// run takes an operation of nobody through a plan.
func run(t *testing.T, plan *interceptor.Plan, method string, request proto.Message) *interceptor.Outcome {
	t.Helper()
	return runAs(t, plan, nil, method, request)
}

func runAs(t *testing.T, plan *interceptor.Plan, principal map[string]string, method string, request proto.Message) *interceptor.Outcome {
	t.Helper()
	chain, err := interceptor.New(plan, interceptor.Discard)
	if err != nil {
		t.Fatal(err)
	}
	op := &interceptor.Operation{Service: strings.TrimSuffix(sandboxes, "/"), Method: method, Principal: principal, Request: request}
	outcome := chain.Run(t.Context(), op, func(_ context.Context, request proto.Message) (proto.Message, error) { return request, nil })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := chain.Close(ctx); err != nil {
		t.Error(err)
	}
	return outcome
}

func sandbox(image string) *sandboxv1.Sandbox {
	return &sandboxv1.Sandbox{Name: "n", Spec: &sandboxv1.SandboxSpec{Image: image}}
}

func TestChains(t *testing.T) {
	create := func(image string) proto.Message { return &sandboxv1.CreateSandboxRequest{Sandbox: sandbox(image)} }
	update := func(image string) proto.Message { return &sandboxv1.UpdateSandboxRequest{Sandbox: sandbox(image)} }
	for _, c := range []struct {
		file, method string
		request      proto.Message
		want         interceptor.Decision
	}{
		{"chain.toml", "CreateSandbox", create("registry.example/base/x"), interceptor.Allow},
		{"chain.toml", "CreateSandbox", create("registry.example/team/x"), interceptor.Allow},
		{"chain.toml", "CreateSandbox", create("docker.io/x"), interceptor.Deny},
		{"chain.toml", "UpdateSandbox", update("registry.example/base/x"), interceptor.Allow},
		{"chain.toml", "GetSandbox", &sandboxv1.GetSandboxRequest{}, interceptor.Allow},

		{"stricter.toml", "CreateSandbox", create("registry.example/base/x"), interceptor.Allow},
		{"stricter.toml", "CreateSandbox", create("registry.example/team/x"), interceptor.Deny},
		{"stricter.toml", "UpdateSandbox", update("registry.example/base/x"), interceptor.Deny},
		{"stricter.toml", "GetSandbox", &sandboxv1.GetSandboxRequest{}, interceptor.Deny},
	} {
		outcome := run(t, chainfile.ForTest(t, c.file, linked()...), c.method, c.request)
		if outcome.Decision != c.want || outcome.Ran != (c.want != interceptor.Deny) {
			t.Errorf("%s: %s(%v) was decided as %s (%s), want %s", c.file, c.method, c.request, outcome.Decision, outcome.Reason, c.want)
		}
	}
}

// Each file can be checked where nothing of it runs.
func TestExplained(t *testing.T) {
	files, err := filepath.Glob("*.toml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		e, err := chainfile.Explain(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if len(e.Unread) == 0 || len(e.Steps) == 0 {
			t.Errorf("%s: %+v", file, e)
		}
	}
}

// socket is a place to serve at.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "docket") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestOpenShellGateway(t *testing.T) {
	const rpc = "openshell.v1.OpenShell/"
	served := map[string]string{}
	for name, i := range map[string]interceptor.Interceptor{
		"provider-governance": judge{[]interceptor.Binding{
			{ID: "govern-create-sandbox", RPCs: []string{rpc + "CreateSandbox"}, Phases: []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate}},
			binding("govern-update-config", interceptor.Validate, rpc+"UpdateConfig"),
			binding("govern-create-provider", interceptor.Validate, rpc+"CreateProvider"),
		}, allow},
		"observer": judge{[]interceptor.Binding{binding("observe", interceptor.PostCommit, rpc+"CreateSandbox")}, allow},
	} {
		path := socket(t)
		lis, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- remote.Serve(ctx, lis, i) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		served[name] = "unix://" + path
	}
	f, err := chainfile.Load(t.Context(), "openshell-gateway.toml", chainfile.Dialer(func(ctx context.Context, e chainfile.Endpoint) (chainfile.Client, error) {
		return remote.Dial(ctx, served[e.Interceptor])
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []string
	for _, b := range f.Plan.Bindings {
		got = append(got, b.Interceptor+"/"+b.ID)
	}
	want := "provider-governance/govern-create-sandbox provider-governance/govern-update-config observer/observe"
	if strings.Join(got, " ") != want || f.Plan.Unmatched != interceptor.UnmatchedAllow {
		t.Errorf("in force: %v, unmatched %s", got, f.Plan.Unmatched)
	}
	if said := strings.Join(f.Warnings, "\n"); !strings.Contains(said, "govern-create-provider") || !strings.Contains(said, "pass ungoverned") {
		t.Errorf("warnings: %s", said)
	}
}

// The interceptor runs as its own process, as an operator would run it.
func TestInterceptor(t *testing.T) {
	program := filepath.Join(t.TempDir(), "interceptor")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./interceptor").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var exit *exec.ExitError
	if out, err := exec.CommandContext(t.Context(), program).CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "usage: ") {
		t.Errorf("without an endpoint: %v\n%s", err, out)
	}
	endpoint := "unix://" + socket(t)
	process := exec.CommandContext(t.Context(), program, endpoint)
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	text := "[gateway]\nunmatched = \"deny\"\n" + strings.ReplaceAll(table(t), "unix:///tmp/digests.sock", endpoint) + "timeout = \"10s\"\n"
	f := load(t, []byte(text))
	if len(f.Warnings) > 0 {
		t.Errorf("the table in its comment gives warnings: %v", f.Warnings)
	}
	for image, want := range map[string]codes.Code{"x@sha256:abc": codes.OK, "x:latest": codes.PermissionDenied} {
		outcome := run(t, f.Plan, "CreateSandbox", &sandboxv1.CreateSandboxRequest{Sandbox: sandbox(image)})
		if got := outcome.Status.Code(); got != want {
			t.Errorf("%s: %v (%s), want %v", image, got, outcome.Reason, want)
		}
	}
	if err := errors.Join(f.Close(), process.Process.Signal(os.Interrupt), process.Wait()); err != nil {
		t.Errorf("it did not end well: %v", err)
	}
}

// table returns the one in the program's comment.
func table(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("interceptor/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "//\t[[interceptors]]\n")
	text, _, ended := strings.Cut(rest, "package main")
	if !found || !ended {
		t.Fatal("interceptor/main.go has no table in its comment")
	}
	return "[[interceptors]]\n" + strings.ReplaceAll(text, "//\t", "")
}

// load waits for the process to serve, which it says by answering.
func load(t *testing.T, text []byte) *chainfile.File {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		f, err := chainfile.Parse(t.Context(), "digests.toml", text)
		if err == nil {
			return f
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
