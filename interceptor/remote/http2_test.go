// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// pipes is a listener of connections within the process, so that a test's clock
// is that of its bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestKeepalive counts what a server sees of an idle client: a ping every 10
// seconds, and the end of the connection 20 seconds after the first one that is
// not answered (S9).
func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := newPipes()
		var deaf atomic.Bool
		var pings []time.Time // of the first connection, owned by its server until it has left
		ended := make(chan time.Time, 1)
		var servers sync.WaitGroup
		servers.Go(func() {
			for first := true; ; first = false {
				conn, err := at.Accept()
				if err != nil {
					return
				}
				count := func() {}
				if first {
					count = func() { pings = append(pings, time.Now()) }
				}
				servers.Go(func() {
					idle(conn, &deaf, count)
					if first {
						ended <- time.Now()
					}
				})
			}
		})
		client, err := remote.Dial(t.Context(), "unix:///in/this/process",
			remote.DialOptions(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return at.dial(ctx) })))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.Describe(ctx); err == nil {
			t.Error("a server that answers nothing was heard")
		}
		synctest.Wait()
		time.Sleep(time.Until(start.Add(time.Minute + time.Second)))
		deaf.Store(true)
		end := <-ended
		for i, ping := range pings {
			if got, want := ping.Sub(start).Round(time.Second), time.Duration(i+1)*10*time.Second; got < want || got > want+time.Second {
				t.Errorf("ping %d came after %s; want %s", i, got, want)
			}
		}
		// Six were answered, the seventh was not.
		if last := pings[len(pings)-1]; len(pings) != 7 || end.Sub(last) != 20*time.Second {
			t.Errorf("%d pings; the end came %s after the last", len(pings), end.Sub(last))
		}
		if err := errors.Join(client.Close(), at.Close()); err != nil {
			t.Error(err)
		}
		servers.Wait()
	})
}

// idle serves a connection on which nothing is ever answered but pings, and those
// not when it is deaf.
func idle(conn net.Conn, deaf *atomic.Bool, pinged func()) {
	defer func() { _ = conn.Close() }()
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	if framer.WriteSettings() != nil {
		return
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() && framer.WriteSettingsAck() != nil {
				return
			}
		case *http2.PingFrame:
			if frame.IsAck() {
				continue
			}
			pinged()
			if !deaf.Load() && framer.WritePing(true, frame.Data) != nil {
				return
			}
		}
	}
}

// A tonic is a client with the habits of OpenShell's: it sends te: trailers and
// no grpc-timeout, pings every 10 seconds, and resets what takes too long.
type tonic struct {
	t      *testing.T
	framer *http2.Framer // its writing half is owned by the goroutine that drains writes
	writes chan func() error
	stream uint32

	acks   atomic.Int32
	gone   atomic.Pointer[http2.GoAwayFrame]
	status chan string   // of each stream that ends
	left   chan struct{} // when there is nothing more to read
}

func newTonic(t *testing.T, conn net.Conn) *tonic {
	t.Helper()
	c := &tonic{t: t, framer: http2.NewFramer(conn, conn), writes: make(chan func() error, 64), stream: 1, status: make(chan string, 16), left: make(chan struct{})}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	go func() {
		for {
			select {
			case write := <-c.writes:
				if err := write(); err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Error(err)
				}
			case <-c.left:
				return
			}
		}
	}()
	c.write(func() error {
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			return err
		}
		return c.framer.WriteSettings()
	})
	go c.read() // not before the preface is on its way: it answers the server's settings
	return c
}

// write has something written. The reader must not wait for that: the other end
// may be writing, too.
func (c *tonic) write(f func() error) { c.writes <- f }

func (c *tonic) read() {
	defer close(c.left)
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
				c.t.Error(err)
			}
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				c.write(c.framer.WriteSettingsAck)
			}
		case *http2.PingFrame:
			if frame.IsAck() {
				c.acks.Add(1)
				continue
			}
			c.write(func() error { return c.framer.WritePing(true, frame.Data) })
		case *http2.GoAwayFrame:
			c.gone.Store(frame)
		case *http2.RSTStreamFrame:
			// Without an error it follows an answer that was faster than the end of the
			// request.
			if frame.ErrCode != http2.ErrCodeNo {
				c.status <- "reset: " + frame.ErrCode.String()
			}
		case *http2.MetaHeadersFrame:
			for _, f := range frame.Fields {
				if f.Name == "grpc-status" {
					c.status <- f.Value
				}
			}
		}
	}
}

// call begins a call and returns its stream.
func (c *tonic) call(request proto.Message) uint32 {
	c.t.Helper()
	body, err := proto.Marshal(request)
	if err != nil {
		c.t.Fatal(err)
	}
	body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", "/openshell.gateway_interceptor.v1.GatewayInterceptor/Evaluate"},
		{":authority", "[::]:50051"},
		{"te", "trailers"},
		{"content-type", "application/grpc"},
		{"user-agent", "tonic/0.14.1"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	stream := c.stream
	c.stream += 2
	c.write(func() error {
		return errors.Join(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}), c.framer.WriteData(stream, true, body))
	})
	return stream
}

// TestTonicHabits: a gateway like OpenShell's is served for an hour.
func TestTonicHabits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := newPipes()
		stop, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		hung, budgets := make(chan error, 1), make(chan time.Duration, 16)
		slow := interceptor.Func(func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
			deadline, _ := ctx.Deadline()
			budgets <- time.Until(deadline)
			if e.Binding == "slow" {
				<-ctx.Done()
				hung <- ctx.Err()
				return nil, ctx.Err()
			}
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		})
		go func() { served <- remote.Serve(stop, at, slow) }()
		conn, err := at.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		client := newTonic(t, conn)
		evaluation := func(binding string) proto.Message {
			return &wire.InterceptorEvaluation{
				BindingId: binding, Phase: &wire.InterceptorEvaluation_Validate{Validate: &wire.ValidateEvaluation{ProposedOperation: emptyObject()}},
			}
		}
		const rounds = 6 * 60
		for i := range rounds { // idle but for one call a minute
			time.Sleep(10 * time.Second)
			client.write(func() error { return client.framer.WritePing(false, [8]byte{byte(i)}) })
			if i%6 != 0 {
				continue
			}
			client.call(evaluation("b"))
			if got, budget := <-client.status, <-budgets; got != "0" || budget != remote.DefaultBudget {
				t.Fatalf("call %d: status %s, budget %s", i, got, budget)
			}
			// The next call is dropped on timeout.
			stream := client.call(evaluation("slow"))
			<-budgets
			time.Sleep(500 * time.Millisecond)
			client.write(func() error { return client.framer.WriteRSTStream(stream, http2.ErrCodeCancel) })
			if err := <-hung; !errors.Is(err, context.Canceled) {
				t.Fatalf("call %d: the interceptor's context ended with %v", i, err)
			}
		}
		// One that is not dropped ends all the same.
		client.call(evaluation("slow"))
		<-budgets
		if err := <-hung; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the interceptor's context ended with %v", err)
		}
		if got := <-client.status; got != "4" {
			t.Errorf("status %s; want DEADLINE_EXCEEDED", got)
		}
		synctest.Wait()
		if gone := client.gone.Load(); gone != nil {
			t.Errorf("the server hung up: %v", gone)
		}
		if got := client.acks.Load(); got != rounds {
			t.Errorf("%d of %d pings were answered", got, rounds)
		}
		cancel()
		<-client.left
		if err := <-served; err != nil {
			t.Error(err)
		}
		_ = conn.Close()
		if gone := client.gone.Load(); gone == nil || strings.Contains(string(gone.DebugData()), "too_many_pings") {
			t.Errorf("a server that stops says %v", gone)
		}
	})
}
