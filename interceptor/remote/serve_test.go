// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
)

func insecureCredentials() grpc.DialOption {
	return grpc.WithTransportCredentials(insecure.NewCredentials())
}

// emptyObject is the payload of a message with nothing in it.
func emptyObject() *structpb.Struct { return &structpb.Struct{} }

// badValue is a google.protobuf.Value that JSON cannot hold.
func badValue() *structpb.Value { return &structpb.Value{} }

var allow = interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
})

func TestManifestsTravel(t *testing.T) {
	const modify, validate, post = interceptor.ModifyOperation, interceptor.Validate, interceptor.PostCommit
	want := &interceptor.Manifest{
		Name: "n", FailurePolicy: interceptor.FailOpen, Audience: "urn:x",
		Bindings: []interceptor.Binding{
			{ID: "a", RPCs: []string{"s/A", "s/B"}, Phases: []interceptor.Phase{modify, validate, post}, FailurePolicy: interceptor.FailClosed},
			{ID: "b", Phases: []interceptor.Phase{validate}},
			{ID: "c", RPCs: []string{"s/A"}, Phases: []interceptor.Phase{post}, PostCommitPolicy: interceptor.FailOpen},
			{
				ID: "d", RPCs: []string{"s/A", "s/B"}, Phases: []interceptor.Phase{modify}, BindingOrder: -7,
				Principals: []string{"user/*", "sandbox"}, Labels: map[string]string{"env": "prod", "team": "*"},
				Attributes: []string{"source.address", "request.*"}, Reads: []string{"example.a"}, Writes: []string{"example.b"},
			},
			// All the same but for one thing each: none is the method that came before
			// once more.
			{ID: "d", RPCs: []string{"s/B"}, Phases: []interceptor.Phase{modify}},
			{ID: "d", RPCs: []string{"s/B"}, Phases: []interceptor.Phase{modify}},
			{ID: "d", RPCs: []string{"s/C"}, Phases: []interceptor.Phase{modify}, BindingOrder: 1},
			{ID: "d", RPCs: []string{"s/D"}, Phases: []interceptor.Phase{modify}, Principals: []string{"user"}},
			{ID: "d", RPCs: []string{"s/E"}, Phases: []interceptor.Phase{modify}, Labels: map[string]string{"env": "*"}},
			{ID: "d", RPCs: []string{"s/F"}, Phases: []interceptor.Phase{modify}, Attributes: []string{"user_agent"}},
			{ID: "d", RPCs: []string{"s/G"}, Phases: []interceptor.Phase{modify}, Reads: []string{"example.a"}},
			{ID: "d", RPCs: []string{"s/H"}, Phases: []interceptor.Phase{modify}, Writes: []string{"example.a"}},
		},
	}
	got, err := dial(t, serveInterceptor(t, "unix", fake{allow, want})).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestManifestsAreReadAsTheyAre: what makes no sense is there for a plan to
// refuse, if it is asked for.
func TestManifestsAreReadAsTheyAre(t *testing.T) {
	const none = interceptor.FailurePolicy(255)
	manifest := func(change func(*wire.InterceptorBinding)) *wire.InterceptorManifest {
		b := &wire.InterceptorBinding{Id: " b ", Selector: &wire.InterceptorSelector{Service: "s", Method: "M"}, Phases: []wire.GatewayInterceptorPhase{3, 2, 3}}
		change(b)
		return &wire.InterceptorManifest{FailurePolicy: "fail_closed", Bindings: []*wire.InterceptorBinding{b}}
	}
	binding := func(change func(*interceptor.Binding)) interceptor.Binding {
		b := interceptor.Binding{ID: "b", RPCs: []string{"s/M"}, Phases: []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate}}
		change(&b)
		return b
	}
	rpc := func(rpc string) func(*interceptor.Binding) {
		return func(b *interceptor.Binding) { b.RPCs = []string{rpc} }
	}
	phases := func(all ...interceptor.Phase) func(*interceptor.Binding) {
		return func(b *interceptor.Binding) { b.Phases = all }
	}
	for name, tc := range map[string]struct {
		sent   func(*wire.InterceptorBinding)
		differ func(*interceptor.Binding)
	}{
		"service and method": {func(*wire.InterceptorBinding) {}, func(*interceptor.Binding) {}},
		"rpc goes first":     {func(b *wire.InterceptorBinding) { b.Selector.Rpc = " t / N " }, rpc("t/N")},
		"no selector":        {func(b *wire.InterceptorBinding) { b.Selector = nil }, func(b *interceptor.Binding) { b.RPCs = nil }},
		"blank selector":     {func(b *wire.InterceptorBinding) { b.Selector = &wire.InterceptorSelector{Rpc: " "} }, func(b *interceptor.Binding) { b.RPCs = nil }},
		"service only":       {func(b *wire.InterceptorBinding) { b.Selector.Method = " " }, rpc("s/")},
		"method only":        {func(b *wire.InterceptorBinding) { b.Selector.Service = "" }, rpc("/M")},
		"two slashes":        {func(b *wire.InterceptorBinding) { b.Selector.Rpc = "a/b/c" }, rpc("a/b/c")},
		"no slash":           {func(b *wire.InterceptorBinding) { b.Selector.Rpc = " a " }, rpc("a")},
		"no id":              {func(b *wire.InterceptorBinding) { b.Id = " " }, func(b *interceptor.Binding) { b.ID = "" }},
		"no phases":          {func(b *wire.InterceptorBinding) { b.Phases = nil }, func(b *interceptor.Binding) { b.Phases = nil }},
		"phase 0":            {func(b *wire.InterceptorBinding) { b.Phases = append(b.Phases, 0) }, phases(0, interceptor.ModifyOperation, interceptor.Validate)},
		"phase 1":            {func(b *wire.InterceptorBinding) { b.Phases = append(b.Phases, 1) }, phases(1, interceptor.ModifyOperation, interceptor.Validate)},
		"phase 258":          {func(b *wire.InterceptorBinding) { b.Phases = append(b.Phases, 258) }, phases(interceptor.ModifyOperation, interceptor.Validate, 255)},
		"policy":             {func(b *wire.InterceptorBinding) { b.FailurePolicy = "open" }, func(b *interceptor.Binding) { b.FailurePolicy = none }},
		"ignore":             {func(b *wire.InterceptorBinding) { b.FailurePolicy = "ignore" }, func(b *interceptor.Binding) { b.FailurePolicy = none }},
		"ignore in post_commit": {
			func(b *wire.InterceptorBinding) {
				b.FailurePolicy, b.Phases = "ignore", []wire.GatewayInterceptorPhase{4}
			},
			func(b *interceptor.Binding) {
				b.PostCommitPolicy, b.Phases = none, []interceptor.Phase{interceptor.PostCommit}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := dial(t, serveWire(t, &rude{manifest: manifest(tc.sent)})).Describe(t.Context())
			want := &interceptor.Manifest{FailurePolicy: interceptor.FailClosed, Bindings: []interceptor.Binding{binding(tc.differ)}}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Error(diff, err)
			}
		})
	}
	got, err := dial(t, serveWire(t, &rude{manifest: &wire.InterceptorManifest{FailurePolicy: "ignore"}})).Describe(t.Context())
	if err != nil || got.FailurePolicy != none {
		t.Errorf("manifest %+v, %v", got, err)
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"unix:///run/x.sock": true, "http://127.0.0.1:1": true, "http://[::1]:1/": true, "https://host": true,
		"unix://run/x.sock": false, "unix:x.sock": false, "unix:/run/x.sock": false, "UNIX:///run/x.sock": false, "host:1": false, "ftp://host": false, "http://": false, "http://h/path": false, "http://u@h": false, "": false, "http://h:99999999999:1": false,
	} {
		client, err := remote.Dial(t.Context(), endpoint)
		if err == nil {
			_ = client.Close()
		}
		var bad *remote.EndpointError
		if (err == nil) != ok || !ok && (!errors.As(err, &bad) || bad.Hint() == "") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestASocketLeftBehindIsTakenOver(t *testing.T) {
	dir, err := os.MkdirTemp("", "docket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "i.sock")
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.ListenAndServe(t.Context(), "unix://"+path, allow); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a socket in use: %v", err)
	}
	lis.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- remote.ListenAndServe(ctx, "unix://"+path, allow) }()
	client := dial(t, "unix://"+path)
	for { // until it listens
		if _, err := client.Describe(t.Context()); err == nil {
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := remote.ListenAndServe(t.Context(), "unix://"+path, allow); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: %v", err)
	}
}

// A server that stops does not wait for gateways that never finish connecting.
func TestStopsBesideHalfConnections(t *testing.T) {
	var half net.Conn
	t.Cleanup(func() { _ = half.Close() }) // after the server has stopped
	endpoint := serveInterceptor(t, "unix", allow)
	var err error
	if half, err = net.Dial("unix", strings.TrimPrefix(endpoint, "unix://")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(half, http2.ClientPreface+"\x00\x00"); err != nil {
		t.Fatal(err)
	}
	whole, err := net.Dial("unix", strings.TrimPrefix(endpoint, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = whole.Close() }()
	if _, err := whole.Read(make([]byte, 1)); err != nil { // settings: the one before was accepted
		t.Fatal(err)
	}
}

// TestPingsAreWelcome pings an idle connection more often than any gateway
// does. A Go server as it comes would have hung up after the third.
func TestPingsAreWelcome(t *testing.T) {
	endpoint := serveInterceptor(t, "unix", allow)
	conn, err := net.Dial("unix", strings.TrimPrefix(endpoint, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	const pings = 5
	sent, acked := 0, 0
	for acked < pings {
		if sent == acked && sent < pings {
			if sent > 0 {
				time.Sleep(1100 * time.Millisecond) // a little over what the server asks for
			}
			sent++
			if err := framer.WritePing(false, [8]byte{byte(sent)}); err != nil {
				t.Fatal(err)
			}
		}
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("after %d pings: %v", acked, err)
		}
		switch frame := frame.(type) {
		case *http2.PingFrame:
			if frame.IsAck() {
				acked++
			} else if err := framer.WritePing(true, frame.Data); err != nil {
				t.Fatal(err)
			}
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				if err := framer.WriteSettingsAck(); err != nil {
					t.Fatal(err)
				}
			}
		case *http2.GoAwayFrame:
			t.Fatalf("the server hung up after %d pings: %s %s", acked, frame.ErrCode, frame.DebugData())
		}
	}
}
