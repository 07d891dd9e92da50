// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	optionsv1 "github.com/docket-audit/docket/schemas/proto/openshell/options/v1"
)

// proxyProcess is the argument that makes the test's own program a proxy, whose
// memory is nobody else's.
const proxyProcess = "proxy-process"

// runProxyProcess serves a proxy of CreateSandbox until its input ends. For each
// line of that it says how many bytes its heap had at most since the last one.
func runProxyProcess(listen, upstream string) {
	debug.SetGCPercent(10) // next to nothing but what is in use
	var peak atomic.Uint64
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	chain, err := interceptor.New(&interceptor.Plan{Bindings: []interceptor.Binding{bind(create, allowing)}, Unmatched: interceptor.UnmatchedAllow}, interceptor.Discard)
	fail(err)
	up, err := Dial("unix://" + upstream)
	fail(err)
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(sandboxv1.File_demo_sandbox_v1_sandbox_proto),
		protodesc.ToFileDescriptorProto(optionsv1.File_openshell_options_v1_options_proto),
	}})
	fail(err)
	p, err := New(Config{Chain: chain, Upstream: up, Descriptors: set})
	fail(err)
	lis, err := net.Listen("unix", listen)
	fail(err)
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { fail(p.Serve(ctx, lis)) })
	served.Go(func() {
		sample := []runtimemetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for ctx.Err() == nil {
			runtimemetrics.Read(sample)
			if n := sample[0].Value.Uint64(); n > peak.Load() {
				peak.Store(n)
			}
			time.Sleep(time.Millisecond)
		}
	})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		n := peak.Load()
		runtime.GC() // of a pool's buffers only the second one is rid
		runtime.GC()
		peak.Store(0)
		fmt.Println(n)
	}
	cancel()
	served.Wait()
}

// startProxyProcess starts one in front of an upstream of its own, and returns a
// connection through it and how to ask for the peak of its heap.
func startProxyProcess(t *testing.T) (u *upstream, conn *grpc.ClientConn, peak func() int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "docket") // t.TempDir is too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	u = newUpstream(t, "", nil)
	upstreamAt, proxyAt := filepath.Join(dir, "u.sock"), filepath.Join(dir, "p.sock")
	lis, err := net.Listen("unix", upstreamAt)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(u.handle), grpc.MaxRecvMsgSize(huge), grpc.WaitForHandlers(true))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], proxyProcess, proxyAt, upstreamAt)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	conn, err = grpc.NewClient("unix://"+proxyAt, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(huge), grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	answers := bufio.NewReader(out)
	return u, conn, func() (n int) {
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fscanln(answers, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// What passes ungoverned is held once, whatever its size; streams a message at a
// time. What is governed and too long is not held at all.
func TestMemoryIsBounded(t *testing.T) {
	u, conn, peak := startProxyProcess(t)
	const unary, stream = "/raw.Service/Unary", "/raw.Service/Stream"
	u.script(unary, answering(func(b []byte) ([]byte, error) { return b, nil }))
	u.script(stream, func(ss grpc.ServerStream) error {
		for n := 0; ; n++ {
			switch err := ss.RecvMsg(&frame{limit: 1}); {
			case errors.Is(err, io.EOF):
				return send(ss, fmt.Append(nil, n))
			case err != nil:
				return err
			}
		}
	})
	if tr := converse(t.Context(), conn, stream, false, nil); tr.Code != codes.OK { // the proxy is there
		t.Fatalf("got %+v", tr)
	}
	if n := peak(); n == 0 || n > 32<<20 {
		t.Fatalf("idle, its heap had %d bytes", n)
	}
	bounded := func(what string, limit int) {
		t.Helper()
		if n := peak(); n > limit {
			t.Errorf("%s: the heap had %d MiB, more than %d", what, n>>20, limit>>20)
		} else {
			t.Logf("%s: the heap had %d MiB", what, n>>20)
		}
	}
	payload := make([]byte, huge)

	tr := converse(t.Context(), conn, unary, false, [][]byte{payload})
	if tr.Code != codes.OK || len(tr.Messages) != 1 || tr.Messages[0] != brief(payload) {
		t.Errorf("ungoverned: got %+v", tr)
	}
	bounded("ungoverned, there and back", huge+huge/2)

	messages := make([][]byte, 1000)
	for i := range messages {
		messages[i] = payload[:256<<10]
	}
	tr = converse(t.Context(), conn, stream, false, messages)
	if tr.Code != codes.OK || len(tr.Messages) != 1 || tr.Messages[0] != brief([]byte("1000")) {
		t.Errorf("stream: got %+v", tr)
	}
	bounded("1000 messages of a stream", 32<<20)

	var calls sync.WaitGroup
	for i := range 8 {
		calls.Go(func() {
			var opts []grpc.CallOption
			if i == 0 {
				opts = append(opts, grpc.UseCompressor("gzip"))
			}
			tr := converse(t.Context(), conn, create, false, [][]byte{payload}, opts...)
			if tr.Code != codes.ResourceExhausted || !strings.Contains(tr.Message, "bytes") || len(tr.Trailer.Get("docket-operation-uid")) != 1 {
				t.Errorf("governed: got %+v", tr)
			}
		})
	}
	calls.Wait()
	bounded("8 governed calls", 32<<20)
	if n := u.called(create); n != 0 {
		t.Errorf("%d governed calls arrived", n)
	}
}
