// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/tonictest"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// tonicAt connects a client with tonic's habits to a proxy of CreateSandbox,
// whose binding waits for the end of calls for the sandbox "slow" and says what
// ended them.
func tonicAt(t *testing.T, rec interceptor.Recorder, opts ...grpc.ServerOption) (u *upstream, client *tonictest.Client, hung <-chan error) {
	t.Helper()
	u = newUpstream(t, "", nil)
	for _, method := range []string{create, get} {
		u.script(method, answering(func([]byte) ([]byte, error) { return nil, nil }))
	}
	ends := make(chan error, 1)
	b := bind(create, func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if name, _ := e.Payload.Lookup("/sandbox/name"); name == "slow" {
			<-ctx.Done()
			ends <- ctx.Err()
			return nil, ctx.Err()
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	_, lis := listenProxy(t, u, Config{Chain: newChain(t, rec, nil, b), Descriptors: descriptorSet(t), ServerOptions: opts})
	conn, err := lis.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client = tonictest.New(conn)
	t.Cleanup(func() { _ = client.Close() })
	return u, client, ends
}

// TestTonicHabits: a gateway like OpenShell's is served for an hour. It pings an
// idle connection every 10 seconds, names no deadline, and drops what takes long.
func TestTonicHabits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, client, hung := tonicAt(t, nil)
		named := func(name string) []byte {
			return encode(t, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: name}})
		}
		const rounds = 6 * 60
		for i := range rounds {
			time.Sleep(10 * time.Second)
			client.Ping()
			select {
			case <-client.Acks():
			case <-client.Left():
				_, why, _ := client.GoAway()
				t.Fatalf("the proxy hung up at ping %d: %s", i, why)
			}
			if i%6 != 0 {
				continue
			}
			_, answer := client.Call(create, named("quick"))
			if a := <-answer; a.Status != "0" || len(a.Trailer["docket-operation-uid"]) != 1 {
				t.Fatalf("governed call %d: %+v", i, a)
			}
			_, answer = client.Call(get, nil)
			if a := <-answer; a.Status != "0" {
				t.Fatalf("ungoverned call %d: %+v", i, a)
			}
			stream, _ := client.Call(create, named("slow"))
			time.Sleep(500 * time.Millisecond)
			client.Drop(stream)
			if err := <-hung; !errors.Is(err, context.Canceled) {
				t.Fatalf("dropped call %d ended with %v", i, err)
			}
		}
		synctest.Wait()
		if code, why, ok := client.GoAway(); ok {
			t.Errorf("the proxy hung up: %v %q", code, why)
		}
		if n := u.called(create); n != rounds/6 || u.called(get) != n {
			t.Errorf("%d and %d calls arrived of %d each", n, u.called(get), rounds/6)
		}
	})
}

// By gRPC's own rule the same client is hung up on at its fourth ping, which is
// how one knows that the hour above says something.
func TestTonicHabitsAreTooMuchByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, _ := tonicAt(t, nil, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{}))
		for range 4 {
			time.Sleep(10 * time.Second)
			client.Ping()
		}
		<-client.Left()
		if code, why, ok := client.GoAway(); !ok || code != http2.ErrCodeEnhanceYourCalm || why != "too_many_pings" {
			t.Errorf("the server said %v %q, %v", code, why, ok)
		}
	})
}
