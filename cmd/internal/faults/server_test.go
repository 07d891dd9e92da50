// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
)

const evaluatePath = "/openshell.gateway_interceptor.v1.GatewayInterceptor/Evaluate"

// listen returns a listener of the network that the endpoint leads to.
func listen(t testing.TB, network string) (lis net.Listener, endpoint string) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "docket") // t.TempDir is too long a name for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		address = filepath.Join(dir, "i.sock")
	}
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if network == "unix" {
		return lis, "unix://" + address
	}
	return lis, "http://" + lis.Addr().String()
}

// described is an interceptor with one binding in one phase, whose answers come
// from evaluate.
type described struct {
	phase    interceptor.Phase
	evaluate func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error)
}

func (d described) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Name: "faulty", Bindings: []interceptor.Binding{{ID: "b", RPCs: []string{create}, Phases: []interceptor.Phase{d.phase}}}}, nil
}

func (d described) Evaluate(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	return d.evaluate(ctx, e)
}

// A world is one cell's interceptor, served until the test ends, and how the
// gateway comes to it. It is not faulty until it is broken.
type world struct {
	t        testing.TB
	endpoint string
	dial     func(ctx context.Context, endpoint string) (interceptor.Interceptor, func() error, error)
	broken   func() // called when the plan is loaded; nil if the fault is there from the start
}

// serve serves the interceptor as its author would, by package remote.
func serve(w *world, network string, i interceptor.Interceptor, opts ...remote.Option) (stop func()) {
	lis, endpoint := listen(w.t, network)
	w.endpoint = endpoint
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- remote.Serve(ctx, lis, i, opts...) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("serve: %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// serveHTTP serves Describe as package grpc does, and leaves the HTTP/2 stream
// of each evaluation to a script, with the connection below it.
func serveHTTP(w *world, network string, phase interceptor.Phase, script func(http.ResponseWriter, *http.Request, net.Conn)) {
	lis, endpoint := listen(w.t, network)
	w.endpoint = endpoint
	server := grpc.NewServer()
	wire.RegisterGatewayInterceptorServer(server, manifestOnly{phase: phase})
	type connKey struct{}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	h := &http.Server{
		Protocols:         &protocols,
		ReadHeaderTimeout: time.Minute,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == evaluatePath {
				script(rw, r, r.Context().Value(connKey{}).(net.Conn))
				return
			}
			server.ServeHTTP(rw, r)
		}),
	}
	done := make(chan error, 1)
	go func() { done <- h.Serve(lis) }()
	w.t.Cleanup(func() {
		_ = h.Close()
		server.Stop()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			w.t.Errorf("serve: %v", err)
		}
	})
}

// manifestOnly describes itself on the wire.
type manifestOnly struct {
	wire.UnimplementedGatewayInterceptorServer
	phase interceptor.Phase
}

func (m manifestOnly) Describe(context.Context, *wire.DescribeRequest) (*wire.InterceptorManifest, error) {
	return &wire.InterceptorManifest{Name: "faulty", Bindings: []*wire.InterceptorBinding{{
		Id: "b", Selector: &wire.InterceptorSelector{Rpc: create}, Phases: []wire.GatewayInterceptorPhase{wire.GatewayInterceptorPhase(m.phase)},
	}}}, nil
}

// A fault is one way to fail.
type fault struct {
	name    string
	kind    interceptor.FailureKind
	detail  string // a part of the recorded cause
	timeout string // of the binding
	serve   func(w *world, network string, phase interceptor.Phase)
}

// answering serves what always answers alike.
func answering(result *interceptor.Result, err error) func(*world, string, interceptor.Phase) {
	return func(w *world, network string, phase interceptor.Phase) {
		serve(w, network, described{phase, func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { return result, err }})
	}
}

func scripted(script func(http.ResponseWriter, *http.Request, net.Conn)) func(*world, string, interceptor.Phase) {
	return func(w *world, network string, phase interceptor.Phase) { serveHTTP(w, network, phase, script) }
}

// begin answers the headers of a gRPC response.
func begin(rw http.ResponseWriter) {
	rw.Header().Set("Content-Type", "application/grpc")
	rw.Header().Set("Trailer", "Grpc-Status")
	rw.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(rw).Flush()
}

const (
	patient   = "20s" // no fault but the one that is meant may show
	impatient = "1s"  // the fault is that nothing comes
)

func faults() []fault {
	return []fault{
		{
			name: "timeout", kind: interceptor.Timeout, detail: "no answer within 1s", timeout: impatient,
			serve: func(w *world, network string, phase interceptor.Phase) {
				serve(w, network, described{phase, func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}})
			},
		},
		{
			name: "slow loris", kind: interceptor.Timeout, detail: "no answer within 1s", timeout: impatient,
			serve: scripted(func(rw http.ResponseWriter, r *http.Request, _ net.Conn) {
				begin(rw)
				_, _ = rw.Write([]byte{0, 0, 0, 0xff, 0}) // of a long message comes a byte now and then
				for r.Context().Err() == nil {
					_, _ = rw.Write([]byte{0})
					_ = http.NewResponseController(rw).Flush()
					select {
					case <-r.Context().Done():
					case <-time.After(10 * time.Millisecond):
					}
				}
			}),
		},
		{
			name: "unavailable", kind: interceptor.Unavailable, detail: "10.0.0.7 is away", timeout: patient,
			serve: answering(nil, status.Error(codes.Unavailable, "10.0.0.7 is away")),
		},
		{
			name: "refused", kind: interceptor.Unavailable, detail: "connect", timeout: patient,
			serve: func(w *world, network string, phase interceptor.Phase) {
				w.broken = serve(w, network, described{phase, nil})
			},
		},
		{
			name: "reset: connection", kind: interceptor.Unavailable, timeout: patient,
			serve: scripted(func(_ http.ResponseWriter, _ *http.Request, conn net.Conn) {
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0) // RST in place of FIN
				}
				_ = conn.Close()
			}),
		},
		{
			name: "reset: stream", kind: interceptor.Unavailable, detail: "RST_STREAM", timeout: patient,
			serve: scripted(func(rw http.ResponseWriter, _ *http.Request, _ net.Conn) {
				begin(rw)
				panic(http.ErrAbortHandler)
			}),
		},
		{
			name: "garbage: message", kind: interceptor.InvalidResult, timeout: patient,
			serve: scripted(func(rw http.ResponseWriter, _ *http.Request, _ net.Conn) {
				begin(rw)
				_, _ = rw.Write([]byte{0, 0, 0, 0, 3, 0xff, 0xff, 0xff})
				rw.Header().Set("Grpc-Status", "0")
			}),
		},
		{
			name: "garbage: bytes", kind: interceptor.Unavailable, timeout: patient,
			serve: scripted(func(_ http.ResponseWriter, r *http.Request, conn net.Conn) {
				_, _ = conn.Write([]byte("HTTP/1.0 200 nonsense\r\n\r\nnonsense, and no frame of HTTP/2"))
				<-r.Context().Done() // the client hangs up
			}),
		},
		{
			name: "oversize", kind: interceptor.Limit, timeout: patient,
			serve: answering(&interceptor.Result{Decision: interceptor.Allow, Reason: strings.Repeat("long ", 4<<10)}, nil),
		},
		{
			name: "bad patch", kind: interceptor.InvalidResult, timeout: patient,
			serve: answering(&interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "add", Path: "/sandbox/colour", Value: []byte(`"red"`)}}}, nil),
		},
		{
			name: "panic: remote", kind: interceptor.InvalidResult, timeout: patient,
			serve: func(w *world, network string, phase interceptor.Phase) {
				serve(w, network, described{phase, func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
					panic("10.0.0.7: nil map")
				}})
			},
		},
		{
			name: "panic: in process", kind: interceptor.Panic, detail: "10.0.0.7: nil map", timeout: patient,
			serve: func(w *world, _ string, phase interceptor.Phase) {
				w.endpoint = "http://127.0.0.1:1" // nobody goes there
				w.dial = func(context.Context, string) (interceptor.Interceptor, func() error, error) {
					return described{phase, func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
						panic("10.0.0.7: nil map")
					}}, func() error { return nil }, nil
				}
			},
		},
		{name: "wrong audience", kind: interceptor.Unavailable, detail: "made out to another audience", timeout: patient, serve: wrongAudience},
		{name: "expired token", kind: interceptor.Unavailable, detail: "has expired", timeout: patient, serve: expiredToken},
	}
}

const audience = "urn:openshell:extension:interceptor:faulty"

// signed serves an interceptor that wants tokens, and returns who makes them.
func signed(w *world, network string, phase interceptor.Phase, now func() time.Time) *remote.Signer {
	w.t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	signer, err := remote.NewSigner(remote.SignerConfig{GatewayID: "g", Key: key})
	if err != nil {
		w.t.Fatal(err)
	}
	serve(w, network, described{phase, func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}}, remote.Verify(remote.VerifyConfig{Issuer: signer.Issuer(), Audience: audience, Keys: signer.JWKS(), Now: now}))
	return signer
}

// expiredToken has the interceptor's clock run ahead of the gateway's.
func expiredToken(w *world, network string, phase interceptor.Phase) {
	var ahead atomic.Int64
	signer := signed(w, network, phase, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	w.broken = func() { ahead.Store(int64(2 * remote.MaxTokenTTL)) }
	w.dial = func(ctx context.Context, endpoint string) (interceptor.Interceptor, func() error, error) {
		c, err := remote.Dial(ctx, endpoint, remote.Token(signer, audience))
		if err != nil {
			return nil, nil, err
		}
		return c, c.Close, nil
	}
}

// wrongAudience has the gateway call, once its plan is loaded, with the token
// that is made out to another interceptor.
func wrongAudience(w *world, network string, phase interceptor.Phase) {
	signer := signed(w, network, phase, nil)
	w.dial = func(ctx context.Context, endpoint string) (interceptor.Interceptor, func() error, error) {
		right, err := remote.Dial(ctx, endpoint, remote.Token(signer, audience))
		if err != nil {
			return nil, nil, err
		}
		wrong, err := remote.Dial(ctx, endpoint, remote.Token(signer, audience+"-2"))
		if err != nil {
			return nil, right.Close, err
		}
		return twoFaced{describes: right, evaluates: wrong}, func() error { return errors.Join(right.Close(), wrong.Close()) }, nil
	}
}

type twoFaced struct{ describes, evaluates interceptor.Interceptor }

func (t twoFaced) Describe(ctx context.Context) (*interceptor.Manifest, error) {
	return t.describes.Describe(ctx)
}

func (t twoFaced) Evaluate(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	return t.evaluates.Evaluate(ctx, e)
}
