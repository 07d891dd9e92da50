// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// A storeServer lets collectors of other processes write to one lake, as a
// database would: here no lock of a file keeps two writers apart, only the fence
// does.
type storeServer struct {
	lake *lake.Lake

	mu     sync.Mutex
	fenced []uint64 // fences of the batches that were refused for them; guarded by mu
}

// What calls carry; net/rpc wants them exported.
type (
	EpochReply struct{ Epoch *store.Epoch }
	Nothing    struct{}
)

// Commit is called by net/rpc, as are the others.
func (s *storeServer) Commit(b store.Batch, out *store.Committed) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*out, err = s.lake.Commit(context.Background(), b)
	if errors.Is(err, store.ErrFenced) {
		s.fenced = append(s.fenced, b.Fence)
	}
	return err
}

func (s *storeServer) Epoch(uid string, out *EpochReply) error {
	out.Epoch = s.lake.Epoch(uid)
	return nil
}

func (s *storeServer) Epochs(_ Nothing, out *[]string) error {
	*out = s.lake.Epochs()
	return nil
}

func (s *storeServer) Statements(number uint64, out *[][]byte) error {
	for b, err := range s.lake.Statements(number) {
		if err != nil {
			return err
		}
		*out = append(*out, b)
	}
	return nil
}

func (s *storeServer) StreamSeq(_ Nothing, out *uint64) error {
	*out = s.lake.StreamSeq()
	return nil
}

func (s *storeServer) LastFence(_ Nothing, out *uint64) error {
	*out = s.lake.LastFence()
	return nil
}

func (s *storeServer) Scan(q store.Query, out *[]store.Entry) error {
	for e, err := range s.lake.Scan(context.Background(), q) {
		if err != nil {
			return err
		}
		*out = append(*out, e)
	}
	return nil
}

// refused returns the fences that were refused.
func (s *storeServer) refused() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fenced
}

// locked is the lake for a collector of the server's own process, which takes
// turns with those that are served.
type locked struct{ *storeServer }

func (l locked) Commit(_ context.Context, b store.Batch) (out store.Committed, err error) {
	return out, l.storeServer.Commit(b, &out)
}
func (l locked) Epoch(uid string) *store.Epoch                     { return l.lake.Epoch(uid) }
func (l locked) Epochs() []string                                  { return l.lake.Epochs() }
func (l locked) Sequences() map[string]store.Intervals             { return l.lake.Sequences() }
func (l locked) Statements(number uint64) iter.Seq2[[]byte, error] { return l.lake.Statements(number) }
func (l locked) StreamSeq() uint64                                 { return l.lake.StreamSeq() }
func (l locked) LastFence() uint64                                 { return l.lake.LastFence() }
func (l locked) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return l.lake.Scan(ctx, q)
}

// A remoteStore is the other end.
type remoteStore struct {
	client *rpc.Client
	pause  int // the process stops itself in the commit with this number; 0: in none
	count  int
}

func (s *remoteStore) call(method string, in, out any) {
	if err := s.client.Call("Store."+method, in, out); err != nil {
		panic(err) // the test's process is gone
	}
}

func (s *remoteStore) Commit(_ context.Context, b store.Batch) (out store.Committed, err error) {
	if s.count++; s.count == s.pause {
		// Behind every look at the clock and before the write: there is no worse
		// moment to be stopped in.
		awake := make(chan os.Signal, 1)
		signal.Notify(awake, syscall.SIGCONT)
		if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
			return out, err
		}
		<-awake // this thread may run on for a moment before all of the process stands
	}
	err = s.client.Call("Store.Commit", b, &out)
	if err != nil && strings.Contains(err.Error(), store.ErrFenced.Error()) {
		err = fmt.Errorf("%w: %w", store.ErrFenced, err)
	}
	return out, err
}

func (s *remoteStore) Epoch(uid string) *store.Epoch {
	var out EpochReply
	s.call("Epoch", uid, &out)
	return out.Epoch
}

func (s *remoteStore) Epochs() (out []string) {
	s.call("Epochs", Nothing{}, &out)
	return out
}

func (s *remoteStore) Sequences() map[string]store.Intervals {
	all := map[string]store.Intervals{}
	for _, uid := range s.Epochs() {
		all[uid] = s.Epoch(uid).Accounted()
	}
	return all
}

func (s *remoteStore) Statements(number uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var out [][]byte
		s.call("Statements", number, &out)
		for _, b := range out {
			if !yield(b, nil) {
				return
			}
		}
	}
}

func (s *remoteStore) StreamSeq() (out uint64) {
	s.call("StreamSeq", Nothing{}, &out)
	return out
}

func (s *remoteStore) LastFence() (out uint64) {
	s.call("LastFence", Nothing{}, &out)
	return out
}

func (s *remoteStore) Scan(_ context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		var out []store.Entry
		s.call("Scan", q, &out)
		for _, e := range out {
			if !yield(e, nil) {
				return
			}
		}
	}
}

const (
	pausedNATS  = "DOCKET_TEST_PAUSED_NATS"
	pausedStore = "DOCKET_TEST_PAUSED_STORE"
)

// pausedTTL is longer than any test: by its own clock the holder never loses its
// lease.
const pausedTTL = time.Hour

// pausedHolder is the child process: a collector that stops itself in its second
// commit. It says on standard output how its lease stands, and ends with standard
// input.
func pausedHolder() error {
	conn, err := nats.Connect(os.Getenv(pausedNATS))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	client, err := rpc.Dial("unix", os.Getenv(pausedStore))
	if err != nil {
		return err
	}
	lease, err := NewLease(LeaseConfig{JetStream: js, Holder: "paused", TTL: pausedTTL, poll: 5 * time.Millisecond})
	if err != nil {
		return err
	}
	c, err := New(Config{
		JetStream: js, Store: &remoteStore{client: client, pause: 2}, Lease: lease, FlushEvery: 5 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	go func() {
		for said := ""; ctx.Err() == nil; time.Sleep(time.Millisecond) {
			s := lease.Status()
			if now := fmt.Sprint(s.State, " ", s.Holder, " ", s.Fence); now != said {
				said = now
				fmt.Println(now)
			}
		}
	}()
	return c.Run(ctx)
}

// A holder that is stopped between its last look at the clock and its commit, and
// wakes after another has taken over, commits nothing: its fence is too low. It
// stands by, and takes over again when it may.
func TestPausedHolder(t *testing.T) {
	r := newRig(t)
	l, err := lake.Open(r.dir+"/lake", lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := &storeServer{lake: l}
	socket := filepath.Join(t.TempDir(), "s")
	serve(t, server, socket)

	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), pausedNATS+"="+r.nats.URL(), pausedStore+"="+socket)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	lines := bufio.NewScanner(stdout)
	says := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("the child never says %q: %v", want, lines.Err())
	}
	says("active paused 1")

	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := []store.Entry{e.Start()}
	r.publish(sent...)
	eventually(t, "the first commit", func() bool { return l.Manifest().Number == 1 })
	more := e.Operation()
	r.publish(more...)
	sent = append(sent, more...)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the child has not stopped: %v, %v", status, err)
	}

	// Another takes over, whose clock says that the time is over.
	clock := newClock()
	lease := newLease(t, r.js, "other", clock)
	run := r.onStore(locked{server}, lease)
	stands(t, lease, "paused")
	clock.move(pausedTTL)
	eventually(t, "the takeover", func() bool { return l.Manifest().Rows() == int64(len(sent)) })
	if f := l.Manifest().Fence; f != 2 {
		t.Errorf("the new holder commits with fence %d", f)
	}
	// The old one wakes in the midst of its commit.
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old holder being refused", func() bool {
		f := server.refused()
		return len(f) == 1 && f[0] == 1
	})
	says("standby other 2")
	more = e.Operation()
	r.publish(more...)
	sent = append(sent, more...)
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	// It may again, and what it lacked is not missing.
	says("active paused 3")
	last := e.Stop()
	r.publish(last)
	sent = append(sent, last)
	eventually(t, "the last event", func() bool { return l.Manifest().Epochs[e.UID].Closed != nil })
	if f := server.refused(); l.Manifest().Fence != 3 || len(f) != 1 {
		t.Errorf("fence %d, refused %v", l.Manifest().Fence, f)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // to its end
	}
	ended = true
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(sent)
}

// serve answers on a socket until the test ends.
func serve(t *testing.T, s *storeServer, socket string) {
	t.Helper()
	answers := rpc.NewServer()
	if err := answers.RegisterName("Store", s); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { answers.ServeConn(conn) }) // until the child is gone
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
}

// onStore starts a collector over a store that is open.
func (r *rig) onStore(s Store, lease *Lease) *running {
	r.t.Helper()
	c, err := New(Config{JetStream: r.js, Store: s, Lease: lease, FlushEvery: 5 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(r.t.Output(), nil))})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{Collector: c, done: make(chan struct{})}
	go func() {
		defer close(run.done)
		run.err = c.Run(ctx)
	}()
	run.stop = sync.OnceValue(func() error {
		cancel()
		<-run.done
		return run.err
	})
	r.t.Cleanup(func() { _ = run.stop() })
	return run
}
