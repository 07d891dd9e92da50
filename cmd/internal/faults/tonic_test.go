// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/tonictest"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
)

const (
	// pause is between two pings of an idle client. Both our servers must bear
	// one a second; tonic is ten times as patient.
	pause = 1100 * time.Millisecond
	// pings are more than gRPC's own rule has patience for: of an idle client it
	// counts each ping but the first within two hours, and hangs up at the third
	// that it counts.
	pings = 5
)

// TestTonicOverSockets: over real connections an idle client of tonic's habits is
// hung up on neither by the proxy nor by who serves an interceptor.
func TestTonicOverSockets(t *testing.T) {
	t.Parallel()
	w := &world{t: t}
	began, slow := make(chan struct{}), make(chan error, 1)
	serve(w, "unix", described{interceptor.Validate, func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if name, _ := e.Payload.Lookup("/sandbox/name"); name == "slow" {
			close(began)
			<-ctx.Done()
			slow <- ctx.Err()
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}})
	cfg, err := load(w, file(w, &fault{timeout: patient}, interceptor.FailClosed))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cfg.Close(); err != nil {
			t.Error(err)
		}
	}()
	j := &journal{t: t, link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	chain, err := interceptor.New(cfg.Plan, activity.NewRecorder(j.emit))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := chain.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	up, upstreamAt := serveUpstream(t)
	address, stop := serveProxy(t, chain, upstreamAt, descriptors(t))
	defer stop()

	evaluation := encode(t, &wire.InterceptorEvaluation{BindingId: "b", Phase: &wire.InterceptorEvaluation_Validate{Validate: &wire.ValidateEvaluation{ProposedOperation: &structpb.Struct{}}}})
	var both sync.WaitGroup
	for _, to := range []struct {
		network, address, path string
		message                []byte
	}{
		{"tcp", address, "/" + create, encode(t, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "a"}})},
		{"unix", strings.TrimPrefix(w.endpoint, "unix://"), evaluatePath, evaluation},
	} {
		client := connect(t, to.network, to.address)
		both.Go(func() { idle(t, client, to.path, to.message) })
	}
	both.Wait()

	// A call that takes too long is dropped, which its interceptor learns.
	client := connect(t, "tcp", address)
	defer func() { _ = client.Close() }()
	stream, _ := client.Call("/"+create, encode(t, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "slow"}}))
	<-began
	client.Drop(stream)
	if err := <-slow; err == nil {
		t.Error("the interceptor's call goes on")
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	if len(up.given) != 1 {
		t.Errorf("the upstream was called %d times, want once", len(up.given))
	}
}

func connect(t testing.TB, network, address string) *tonictest.Client {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	return tonictest.New(conn)
}

// idle pings, each time after a pause since the last answer, and then calls.
func idle(t testing.TB, client *tonictest.Client, path string, message []byte) {
	defer func() { _ = client.Close() }()
	for i := range pings {
		time.Sleep(pause)
		client.Ping()
		select {
		case <-client.Acks():
		case <-client.Left():
			_, why, _ := client.GoAway()
			t.Errorf("%s: hung up on at ping %d: %s", path, i+1, why)
			return
		}
	}
	_, answer := client.Call(path, message)
	if a := <-answer; a.Status != "0" {
		t.Errorf("%s: answered %+v", path, a)
	}
	if _, why, gone := client.GoAway(); gone {
		t.Errorf("%s: the server wants no more of it: %s", path, why)
	}
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
