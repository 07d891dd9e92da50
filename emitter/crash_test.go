// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// The crash tests kill real processes. The test binary starts itself again with
// childEnv set; that child emits events and writes into a journal which of them
// its receipts called spooled, until it is killed: at a named place of the code,
// or at a random moment. After many such lives on one directory, the stream must
// hold every event of the journal, and every epoch whole.

const childEnv = "DOCKET_EMITTER_CHILD"

// A life is what a child is told.
type life struct {
	Dir     string
	URL     string
	Journal string
	Number  int
	Place   string // where it kills itself, "" for nowhere
	Nth     int64  // the how manieth time it gets there
}

var places = []string{"before-append", "mid-write", "after-sync", "after-rotate", "before-publish", "after-publish", "after-ack", "before-trim"}

// child lives until it is killed or its standard input ends.
func child() {
	var l life
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &l); err != nil {
		panic(err)
	}
	if err := l.live(); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

func (l *life) live() error {
	journal, err := os.OpenFile(l.Journal, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(l.URL, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		return err
	}
	var passed atomic.Int64
	reached := func(place string) {
		if place == l.Place && passed.Add(1) == l.Nth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way
		}
	}
	e, err := New(Config{
		Dir: l.Dir, Name: "gateway-0", Conn: nc, WALFileBytes: 32 << 10,
		FS: tornFS{reached: reached}, reached: reached,
	})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		close(ended)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = e.Run(ctx) }()
	var callers sync.WaitGroup
	for c := range 4 {
		callers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-ended:
					return
				default:
				}
				payload := fmt.Sprintf("life-%d-%d-%d", l.Number, c, i)
				if e.Emit(ctx, event(fmt.Sprint("tenant-", i%3), payload)).Spooled(ctx) == nil {
					// One write, so that a line is whole however the process ends.
					_, _ = journal.WriteString(payload + "\n")
				}
			}
		})
	}
	callers.Wait()
	closing, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	return e.Close(closing)
}

// tornFS dies in the middle of a write.
type tornFS struct {
	osFS
	reached func(string)
}

type tornFile struct {
	File
	fs tornFS
}

func (f tornFS) Create(path string) (File, error) {
	file, err := f.osFS.Create(path)
	if err != nil {
		return nil, err
	}
	return tornFile{file, f}, nil
}

func (f tornFile) Write(b []byte) (int, error) {
	half := rand.IntN(len(b) + 1)
	n, err := f.File.Write(b[:half])
	if err != nil {
		return n, err
	}
	f.fs.reached("mid-write")
	m, err := f.File.Write(b[half:])
	return n + m, err
}

func TestCrashes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	torture(t, rand.New(rand.NewPCG(seed, 0)), func(lives int) bool { return lives < 2*len(places) })
}

// torture lets one life after the other end badly, and then looks at the stream.
func torture(t *testing.T, rng *rand.Rand, more func(lives int) bool) {
	s := natstest.Run(t)
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	stop := storeOf(t, s)
	dir := t.TempDir()
	l := life{Dir: filepath.Join(dir, "wal"), URL: s.URL(), Journal: filepath.Join(dir, "journal")}
	killed := 0
	for ; more(l.Number); l.Number++ {
		l.Place = places[l.Number%len(places)]
		l.Nth = 1 + rng.Int64N(12)
		if rng.IntN(3) == 0 {
			l.Place = "" // killed from outside
		}
		outage := rng.IntN(4) == 0
		if outage {
			s.Stop()
		}
		if l.run(t, rng, func() {
			if outage {
				s.Start()
			}
		}) {
			killed++
		}
	}
	t.Logf("%d lives, %d of them killed", l.Number, killed)
	if killed == 0 {
		t.Error("nothing was killed")
	}
	e := start(t, l.Dir, s.Conn(t))
	e.close()
	stop()
	checkLives(t, js, l.Journal)
}

// run is one life. It reports whether it was killed.
func (l *life) run(t *testing.T, rng *rand.Rand, halfway func()) bool {
	t.Helper()
	told, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0]) //nolint:noctx // it is killed, whatever happens
	cmd.Env = append(os.Environ(), childEnv+"="+string(told))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	lifetime := time.Duration(100+rng.IntN(400)) * time.Millisecond
	select {
	case err = <-exited:
		halfway()
	case <-time.After(lifetime / 2):
		halfway()
		select {
		case err = <-exited:
		case <-time.After(lifetime / 2):
			if l.Place == "" && rng.IntN(4) > 0 {
				_ = cmd.Process.Kill()
			} else {
				_ = stdin.Close() // a clean stop, for a change
			}
			err = <-exited
		}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	if err != nil {
		t.Fatalf("life %d at %q: %v", l.Number, l.Place, err)
	}
	return false
}

// storeOf is a store that keeps nothing: it follows the stream and publishes
// watermarks, so that WAL files are trimmed while emitters die.
func storeOf(t *testing.T, s *natstest.Server) (stop func()) {
	t.Helper()
	js := s.JetStream(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = follow(ctx, js) // the server may be away: again
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func follow(ctx context.Context, js jetstream.JetStream) error {
	kv, err := stream.Bucket(ctx, js)
	if err != nil {
		return err
	}
	c, err := js.OrderedConsumer(ctx, "DOCKET", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	marks := map[string]int64{}
	for ctx.Err() == nil {
		msgs, err := c.Fetch(200, jetstream.FetchMaxWait(100*time.Millisecond))
		if err != nil {
			return err
		}
		grown := map[string]bool{}
		for m := range msgs.Messages() {
			h, err := profile.Parse(m.Data())
			if err != nil {
				return err
			}
			if h.Sequence == marks[h.Epoch]+1 {
				marks[h.Epoch]++
				grown[h.Epoch] = true
			}
		}
		if err := msgs.Error(); err != nil {
			return err
		}
		for epoch := range grown {
			if err := stream.PutWatermark(ctx, kv, stream.Watermark{Store: "lake", Epoch: epoch, Sequence: marks[epoch]}); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// checkLives judges the stream by the journal and by itself.
func checkLives(t *testing.T, js jetstream.JetStream, journal string) {
	t.Helper()
	all := onStream(t, js)
	epochs := audit(t, all)
	have := payloads(all)
	f, err := os.Open(journal)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	spooled, lost := 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		spooled++
		if have[lines.Text()] == 0 {
			if lost++; lost < 10 {
				t.Errorf("spooled and not on the stream: %s", lines.Text())
			}
		}
	}
	t.Logf("%d events spooled, %d lost; %d messages, %d epochs", spooled, lost, len(all), len(epochs))
	if spooled == 0 {
		t.Error("the journal is empty")
	}
	// Every epoch ends with its stop event, or a later start of its tenant says
	// where it ended, and that is where it does.
	closed := map[string]closes{}
	for _, e := range epochs {
		for _, c := range closesIn(t, e[0].raw) {
			closed[c.Epoch] = c
		}
	}
	for id, e := range epochs {
		last := e[len(e)-1]
		if last.Kind == profile.KindLifecycle && last.ActivityID == int32(ocsf.ApplicationLifecycleStop) {
			continue
		}
		if c := closed[id]; c.LastSequence != last.Sequence || c.Fingerprint != last.Fingerprint {
			t.Errorf("epoch %s ends at %d without a stop, and a later start says %+v", id, last.Sequence, c)
		}
	}
}

func closesIn(t *testing.T, raw []byte) []closes {
	t.Helper()
	var e struct {
		Unmapped struct {
			Docket struct {
				Closes []closes `json:"closes"`
			} `json:"docket"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	return e.Unmapped.Docket.Closes
}
