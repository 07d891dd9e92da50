// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/internal/natstest"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// docket-gateway serves on while its NATS is gone for ten seconds: nothing that
// a caller was answered is missing, nothing is there twice, and every sequence
// is there.
func TestGatewayOutlivesItsBroker(t *testing.T) {
	t.Parallel()
	broker := natstest.Run(t)
	mine, stored := t.TempDir(), t.TempDir()
	upstream := serveSandboxes(t)
	conf := filepath.Join(t.TempDir(), "docket.toml")
	write(t, conf, fmt.Sprintf(`
[gateway]
listen = "127.0.0.1:0"
upstream = "http://%s"
unmatched = "deny"
[audit]
mode = "durable"
[nats]
url = "%s"
`, upstream.addr, broker.URL()))

	collecting := start(t, docketBin, "up", "--config", collectorConfig(t, broker.URL()), "--data", stored)
	collecting.addresses(stored)
	gateway := start(t, gatewayBin, "--config", withInterceptor(t, conf), "--data", mine)
	proxy := gateway.addresses(mine)["proxy"]

	caller := newCaller(t, proxy)
	stop := caller.run()
	time.Sleep(2 * time.Second)
	broker.Stop()
	time.Sleep(10 * time.Second)
	broker.Start()
	time.Sleep(2 * time.Second)
	stop()
	if code := gateway.stop(); code != 0 {
		t.Errorf("docket-gateway: exit %d", code)
	}
	collecting.eventually("the last outcome", seconds(60), func() bool {
		return len(query[outcome](t, stored, `SELECT operation_uid FROM events WHERE kind = 'outcome'`)) >= len(caller.answers)
	})
	if code := collecting.stop(); code != 0 {
		t.Errorf("docket up: exit %d", code)
	}

	if len(caller.answers) < 50 {
		t.Errorf("only %d calls were answered; the outage was not outlived", len(caller.answers))
	}
	outcomes := map[string]outcome{}
	for _, o := range query[outcome](t, stored, `SELECT operation_uid, status_code, ran FROM events WHERE kind = 'outcome'`) {
		if _, twice := outcomes[o.OperationUID]; twice {
			t.Errorf("operation %s has two outcomes", o.OperationUID)
		}
		outcomes[o.OperationUID] = o
	}
	ran := 0
	for uid, code := range caller.answers {
		o, ok := outcomes[uid]
		if !ok || o.StatusCode != code {
			t.Errorf("answered %s for %s, stored %+v", code, uid, o)
		}
		if o.Ran {
			ran++
		}
	}
	if served := upstream.served(); served != ran {
		t.Errorf("the service served %d, the outcomes say %d", served, ran)
	}
	type epoch struct {
		Epoch       string `json:"epoch"`
		N, Min, Max int64
		Distinct    int64 `json:"d"`
	}
	for _, e := range query[epoch](t, stored, `SELECT epoch, count(*) AS n, min(sequence) AS min, max(sequence) AS max, count(DISTINCT sequence) AS d FROM events GROUP BY epoch`) {
		if e.Min != 1 || e.Max != e.N || e.Distinct != e.N {
			t.Errorf("epoch %s: %d events, %d sequences from %d to %d", e.Epoch, e.N, e.Distinct, e.Min, e.Max)
		}
	}
	checkVerify(t, stored)
}

// collectorConfig configures a docket that collects from url and governs nothing.
func collectorConfig(t *testing.T, url string) string {
	conf := filepath.Join(t.TempDir(), "collector.toml")
	write(t, conf, fmt.Sprintf("[nats]\nurl = %q\n[api]\nlisten = \"127.0.0.1:0\"\n[flight]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n", url))
	return conf
}

// withInterceptor adds an interceptor, served by this test, that denies sandboxes
// named "no".
func withInterceptor(t *testing.T, conf string) string {
	endpoint := serve(t, noNo{})
	b, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	write(t, conf, string(b)+fmt.Sprintf("[ops]\nlisten = \"127.0.0.1:0\"\n[[interceptors]]\nname = \"names\"\ngrpc_endpoint = %q\n", endpoint))
	return conf
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sandboxes is a service that counts what reaches it.
type sandboxes struct {
	sandboxv1.UnimplementedSandboxesServer

	addr string
	mu   sync.Mutex
	n    int
}

func serveSandboxes(t *testing.T) *sandboxes {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sandboxes{addr: lis.Addr().String()}
	srv := grpc.NewServer()
	sandboxv1.RegisterSandboxesServer(srv, s)
	reflection.Register(srv)
	go srv.Serve(lis)
	t.Cleanup(srv.Stop)
	return s
}

func (s *sandboxes) CreateSandbox(_ context.Context, r *sandboxv1.CreateSandboxRequest) (*sandboxv1.CreateSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return &sandboxv1.CreateSandboxResponse{Sandbox: r.GetSandbox()}, nil
}

func (s *sandboxes) served() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// A caller creates sandboxes without pause and writes down what it was answered.
type caller struct {
	t       *testing.T
	client  sandboxv1.SandboxesClient
	answers map[string]string // status by operation uid; of run until its stop
}

func newCaller(t *testing.T, proxy string) *caller {
	t.Helper()
	conn, err := grpc.NewClient(hostPort(proxy), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &caller{t: t, client: sandboxv1.NewSandboxesClient(conn), answers: map[string]string{}}
}

// run calls until the function that it returns is called.
func (c *caller) run() (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			name := fmt.Sprintf("web-%d", i)
			if i%7 == 0 {
				name = "no"
			}
			c.call(name)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return func() { cancel(); <-done }
}

func (c *caller) call(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), seconds(20))
	defer cancel()
	var trailer metadata.MD
	_, err := c.client.CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: name}}, grpc.Trailer(&trailer))
	if uid := trailer.Get("docket-operation-uid"); len(uid) == 1 {
		c.answers[uid[0]] = codeName(status.Code(err))
	} else {
		c.t.Errorf("call %q was answered %v without docket-operation-uid", name, err)
	}
}
