// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func withDetails(t *testing.T, code codes.Code, msg string) error {
	t.Helper()
	s, err := status.New(code, msg).WithDetails(durationpb.New(time.Second), wrapperspb.String("ü"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

// drain reads to the half-close.
func drain(ss grpc.ServerStream) (messages [][]byte, err error) {
	for {
		var f frame
		if err := ss.RecvMsg(&f); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return messages, err
		}
		messages = append(messages, f.payload)
	}
}

func send(ss grpc.ServerStream, messages ...[]byte) error {
	for _, m := range messages {
		if err := ss.SendMsg(&frame{payload: m}); err != nil {
			return err
		}
	}
	return nil
}

var (
	headers = metadata.Pairs("h", "1", "h", "2", "h-bin", "\x00\xff")
	tails   = metadata.Pairs("t", "1", "t-bin", "\x01", "docket-operation-uid", "the upstream's own")
)

// What is not governed is the same through the proxy as directly: for the
// caller, and for the upstream.
func TestTransparent(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 512<<10) // 8 MiB
	for _, c := range []struct {
		name     string
		script   func(grpc.ServerStream) error
		send     [][]byte
		pingpong bool
		md       metadata.MD
		opts     []grpc.CallOption
	}{
		{
			name: "unary", send: [][]byte{{8, 1}}, md: metadata.Pairs("authorization", "Bearer x", "k", "1", "k", "2", "k-bin", "\x00\x80", "traceparent", "00-x"),
			script: func(ss grpc.ServerStream) error {
				if err := ss.SetHeader(headers); err != nil {
					return err
				}
				ss.SetTrailer(tails)
				return answering(func(b []byte) ([]byte, error) { return append(b, 16, 2), nil })(ss)
			},
		},
		{
			name: "error with details", send: [][]byte{{8, 1}},
			script: func(ss grpc.ServerStream) error {
				ss.SetTrailer(tails)
				return withDetails(t, codes.Aborted, "50% of \"it\"\nü")
			},
		},
		{
			name: "error after header", send: [][]byte{{8, 1}},
			script: func(ss grpc.ServerStream) error {
				if err := ss.SendHeader(headers); err != nil {
					return err
				}
				return status.Error(codes.Unavailable, "not now, says the service")
			},
		},
		{
			name: "server stream", send: [][]byte{{1}},
			script: func(ss grpc.ServerStream) error {
				in, err := drain(ss)
				if err != nil {
					return err
				}
				ss.SetTrailer(tails)
				return send(ss, in[0], nil, []byte{2}, big)
			},
		},
		{
			name: "client stream", send: [][]byte{{1}, nil, {2, 3}, big, {4}},
			script: func(ss grpc.ServerStream) error {
				in, err := drain(ss)
				if err != nil {
					return err
				}
				return send(ss, bytes.Join(in, []byte{9}))
			},
		},
		{
			name: "bidi", send: [][]byte{{1}, {2}, {3}}, pingpong: true,
			script: func(ss grpc.ServerStream) error {
				if err := ss.SendHeader(headers); err != nil {
					return err
				}
				for {
					var f frame
					if err := ss.RecvMsg(&f); err != nil {
						ss.SetTrailer(tails)
						if errors.Is(err, io.EOF) {
							return withDetails(t, codes.OutOfRange, "done")
						}
						return err
					}
					if err := send(ss, append(f.payload, 7)); err != nil {
						return err
					}
				}
			},
		},
		{
			name: "upstream ends first", send: [][]byte{{1}, {2}}, pingpong: true,
			script: func(ss grpc.ServerStream) error {
				if err := ss.RecvMsg(&frame{}); err != nil {
					return err
				}
				if err := send(ss, []byte{5}); err != nil {
					return err
				}
				return status.Error(codes.ResourceExhausted, "enough")
			},
		},
		{name: "no messages", script: func(ss grpc.ServerStream) error { _, err := drain(ss); return err }},
		{name: "unimplemented", send: [][]byte{{1}}},
		{
			name: "8 MiB both ways", send: [][]byte{big},
			script: answering(func(b []byte) ([]byte, error) { return append(b, 1), nil }),
		},
		{
			name: "content subtype", send: [][]byte{[]byte(`{"a":1}`)}, opts: []grpc.CallOption{grpc.CallContentSubtype("json")},
			script: answering(func(b []byte) ([]byte, error) { return b, nil }),
		},
		{
			name: "compressed", send: [][]byte{bytes.Repeat([]byte{8, 1}, 5000)}, opts: []grpc.CallOption{grpc.UseCompressor("gzip")},
			script: answering(func(b []byte) ([]byte, error) { return b, nil }),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUpstream(t, "", nil)
			method := "/raw.Service/" + strings.ReplaceAll(c.name, " ", "")
			if c.script != nil {
				u.script(method, c.script)
			}
			p, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil)})
			ctx := metadata.NewOutgoingContext(t.Context(), c.md)
			want := converse(ctx, dial(t, u.lis), method, c.pingpong, c.send, c.opts...)
			wantSeen := u.saw(method)
			got := converse(ctx, conn, method, c.pingpong, c.send, c.opts...)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("the caller learns another thing: %s", d)
			}
			gotSeen := u.saw(method)
			for _, md := range []metadata.MD{gotSeen, wantSeen} {
				delete(md, "user-agent") // it is of the hop
			}
			if d := cmp.Diff(wantSeen, gotSeen); d != "" {
				t.Errorf("the upstream learns another thing: %s", d)
			}
			if n := p.Ungoverned(); n[method[1:]] != 1 || len(n) != 1 {
				t.Errorf("counted %v", n)
			}
		})
	}
}

// The details of a status stay the very bytes that they were.
func TestStatusDetailsUntouched(t *testing.T) {
	u := newUpstream(t, "", nil)
	// Fields out of order and an unknown one: an encoder would tidy up.
	odd := "\x1a\x04\x0a\x00\x12\x00\x08\x0a\x12\x01m\x78\x01"
	u.script("/s/m", func(ss grpc.ServerStream) error {
		ss.SetTrailer(metadata.Pairs("grpc-status-details-bin", odd))
		return status.Error(codes.Aborted, "m")
	})
	_, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil)})
	tr := converse(t.Context(), conn, "/s/m", false, nil)
	if got := tr.Trailer.Get("grpc-status-details-bin"); len(got) != 1 || got[0] != odd {
		t.Errorf("got %q, want %q (%+v)", got, odd, tr)
	}
}

// Nobody but Docket says docket-*.
func TestOwnMetadataIsTaken(t *testing.T) {
	u := newUpstream(t, "", nil)
	u.script("/s/m", answering(func(b []byte) ([]byte, error) { return b, nil }))
	_, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil)})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "docket-operation-uid", "forged", "Docket-Else", "x", "other", "y")
	if _, _, _, err := unary(ctx, conn, "/s/m", nil); err != nil {
		t.Fatal(err)
	}
	md := u.saw("/s/m")
	if len(md.Get("docket-operation-uid"))+len(md.Get("docket-else")) > 0 || len(md.Get("other")) != 1 {
		t.Errorf("the upstream saw %v", md)
	}
}

// ended waits for a context and answers what ended it.
func ended(t *testing.T, ctx context.Context) error {
	t.Helper()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Second):
		t.Error("the call goes on")
		return nil
	}
}

func TestCallerCancels(t *testing.T) {
	u := newUpstream(t, "", nil)
	began, over := make(chan struct{}), make(chan error, 1)
	u.script("/s/m", func(ss grpc.ServerStream) error {
		close(began)
		over <- ended(t, ss.Context())
		return nil
	})
	_, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil)})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if tr := converse(ctx, conn, "/s/m", true, [][]byte{{1}}); tr.Code != codes.Canceled {
		t.Errorf("got %+v", tr)
	}
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("the upstream saw %v", err)
	}
}

func TestDeadline(t *testing.T) {
	u := newUpstream(t, "", nil)
	over, deadline := make(chan error, 9), make(chan time.Time, 9)
	u.script("/s/m", func(ss grpc.ServerStream) error {
		d, _ := ss.Context().Deadline()
		deadline <- d
		err := ended(t, ss.Context())
		over <- err
		// An upstream whose time is up a moment before the caller's would answer
		// OK with nil, and that answer is the caller's.
		return status.FromContextError(err).Err()
	})
	_, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil)})
	// Only a call that reached the upstream says something. On a slow machine
	// one may not in time; the next has longer.
	for limit := 200 * time.Millisecond; ; limit *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		tr := converse(ctx, conn, "/s/m", true, [][]byte{{1}})
		cancel()
		if tr.Code != codes.DeadlineExceeded {
			t.Fatalf("got %+v", tr)
		}
		if u.called("/s/m") > 0 {
			break
		}
	}
	if d := <-deadline; d.IsZero() {
		t.Error("the upstream was told no deadline")
	}
	if err := <-over; err == nil {
		t.Error("the upstream went on")
	}
}

// A caller is not told where the upstream is.
func TestUpstreamGone(t *testing.T) {
	conn, err := Dial("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	u := newUpstream(t, "", nil)
	p, through := serveProxy(t, u, Config{Chain: newChain(t, nil, nil, bind(create, allowing)), Descriptors: descriptorSet(t)})
	p.cfg.Upstream = conn
	for _, method := range []string{"/s/m", create} {
		_, _, _, err = unary(t.Context(), through, method, nil)
		if s := status.Convert(err); s.Code() != codes.Unavailable || s.Message() != "upstream unavailable" {
			t.Errorf("%s: got %v", method, err)
		}
	}
}

// Serve waits for calls under way, and then no longer.
func TestServeEnds(t *testing.T) {
	for _, grace := range []time.Duration{time.Millisecond, time.Minute} {
		u := newUpstream(t, "", nil)
		began, finish := make(chan struct{}), make(chan struct{})
		u.script("/s/m", func(ss grpc.ServerStream) error {
			close(began)
			select {
			case <-finish:
				return send(ss, []byte{1})
			case <-ss.Context().Done():
				return ss.Context().Err()
			}
		})
		p, err := New(Config{Chain: newChain(t, nil, nil), Upstream: dial(t, u.lis), Grace: grace})
		if err != nil {
			t.Fatal(err)
		}
		lis := bufconn.Listen(1 << 20)
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- p.Serve(ctx, lis) }()
		answer := make(chan error, 1)
		conn := dial(t, lis)
		go func() {
			_, _, _, err := unary(context.Background(), conn, "/s/m", nil)
			answer <- err
		}()
		<-began
		cancel()
		if grace > time.Second {
			close(finish)
		}
		if err := <-answer; (err == nil) != (grace > time.Second) {
			t.Errorf("with a grace of %v the call was answered %v", grace, err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// Nor does it wait for callers that never finish connecting.
func TestServeEndsBesideHalfConnections(t *testing.T) {
	u := newUpstream(t, "", nil)
	u.script("/s/m", func(ss grpc.ServerStream) error { return send(ss, []byte{1}) })
	p, err := New(Config{Chain: newChain(t, nil, nil), Upstream: dial(t, u.lis), Grace: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	lis := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, lis) }()
	for _, said := range []string{"", http2.ClientPreface[:10], http2.ClientPreface + "\x00\x00"} {
		half, err := lis.DialContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer half.Close()
		if _, err := half.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, err := unary(t.Context(), dial(t, lis), "/s/m", nil); err != nil { // those before were accepted
		t.Fatal(err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestUngovernedNamesAreBounded(t *testing.T) {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxMethods + 500 {
		m.ungoverned("s/" + strings.Repeat("x", i))
	}
	if n := m.ungovernedCalls(); len(n) != maxMethods+1 || n[other] != 500 {
		t.Errorf("%d names, %d others", len(n), n[other])
	}
}

func TestDialRefuses(t *testing.T) {
	for _, bad := range []string{"", "http://", "ftp://x:1", "unix:///"} {
		if conn, err := Dial(bad); err == nil {
			_ = conn.Close()
			t.Errorf("accepted %q", bad)
		}
	}
	for _, good := range []string{"localhost:1", "http://localhost:1", "http://localhost:1/", "https://localhost:1", "unix:///tmp/x.sock"} {
		conn, err := Dial(good)
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		_ = conn.Close()
	}
}
