// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/checker"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// places are where children kill themselves, in the order in which a start, an
// event and a file pass them. "mid-write", and those of renaming and removing,
// are in the file system beneath the code.
var places = []string{
	"before-recovery", "after-recovery", "before-rotate", "before-rename", "after-rename", "after-rotate",
	"before-leftovers", "after-leftovers", "before-reserve", "after-reserve",
	"before-append", "mid-write", "before-sync", "after-sync",
	"before-publish", "after-publish", "before-ack", "after-ack",
	"before-resend", "after-resend",
	"before-trim", "after-remove", "after-trim",
}

// first says whether every start passes the place, before it takes events.
func first(place string) bool {
	for _, p := range places {
		if p == place {
			return true
		}
		if p == "after-reserve" {
			return false
		}
	}
	return false
}

var seed = flag.Uint64("seed", rand.Uint64(), "of every random choice of the tests that have any")

// dice are the choices of one test.
func dice(t *testing.T, stream uint64) *rand.Rand {
	t.Helper()
	t.Logf("-seed %d, %d", *seed, stream)
	return rand.New(rand.NewPCG(*seed, stream))
}

// TestCrashes kills at each place, and some lives at random moments, with three
// seeds.
func TestCrashes(t *testing.T) {
	for n := range uint64(3) {
		t.Run(fmt.Sprint("seed-", n+1), func(t *testing.T) {
			t.Parallel()
			c := newCampaign(t, dice(t, n))
			for i, place := range c.rng.Perm(len(places)) {
				c.kill(places[place])
				if i%6 == 0 {
					c.random()
				}
			}
			c.judge()
		})
	}
}

// A campaign is many lives on one directory, one after the other, each of which
// ends badly, and what a store says of it meanwhile.
type campaign struct {
	t      *testing.T
	rng    *rand.Rand
	server *natstest.Server
	dir    string
	stop   func() // of the store
	lives  int
	killed int
	at     map[string]int // how often a life ended at a place
}

func newCampaign(t *testing.T, rng *rand.Rand) *campaign {
	t.Helper()
	c := &campaign{t: t, rng: rng, server: natstest.Run(t), dir: t.TempDir(), at: map[string]int{}}
	if err := stream.Apply(t.Context(), c.server.JetStream(t)); err != nil {
		t.Fatal(err)
	}
	c.stop = storeOf(t, c.server)
	return c
}

// kill is a life that ends at place, unless something is wrong.
func (c *campaign) kill(place string) {
	c.t.Helper()
	nth := int64(1)
	if !first(place) && !strings.HasSuffix(place, "-resend") {
		nth += c.rng.Int64N(6)
	}
	l := c.life(place, nth)
	back := func() {}
	if !strings.HasSuffix(place, "-trim") && !strings.HasSuffix(place, "-resend") && place != "after-remove" { // which wait for the store, too
		back = c.outage()
	}
	// What starts with its server away, or loses it, goes on when it is back.
	select {
	case err := <-l.exited:
		l.err = err
	case <-time.After(time.Duration(c.rng.IntN(100)) * time.Millisecond):
	}
	back()
	if l.err == nil {
		select {
		case l.err = <-l.exited:
		case <-time.After(time.Minute):
			l.end(c.t)
			c.t.Fatalf("life %d never got to %s for the %dth time", c.lives, place, nth)
		}
	}
	c.died(l, true)
}

// random is a life that is killed from outside, or stops, at any moment.
func (c *campaign) random() {
	c.t.Helper()
	clean := c.rng.IntN(4) == 0
	l := c.life("", 0)
	back := func() {}
	if !clean {
		back = c.outage()
	}
	lifetime := time.Duration(c.rng.IntN(300)) * time.Millisecond
	time.Sleep(lifetime / 2)
	back()
	time.Sleep(lifetime / 2)
	if clean {
		l.end(c.t)
	} else {
		_ = l.cmd.Process.Kill()
		l.err = <-l.exited
	}
	c.died(l, !clean)
}

// outage sometimes stops the server, and returns what starts it again, sometimes
// with other limits of its batches, so that what is sent again is cut otherwise.
func (c *campaign) outage() (back func()) {
	if c.rng.IntN(4) > 0 {
		return func() {}
	}
	c.server.Stop()
	batch := []int{17, 100, 1000}[c.rng.IntN(3)]
	return func() {
		c.server.Change(func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = batch })
		c.server.Start()
	}
}

// A running life.
type running struct {
	cmd    *exec.Cmd
	stdin  interface{ Close() error }
	exited chan error
	err    error
	place  string
}

func (c *campaign) life(place string, nth int64) *running {
	c.t.Helper()
	c.lives++
	told, err := json.Marshal(life{
		Dir: filepath.Join(c.dir, "wal"), URL: c.server.URL(), Journal: filepath.Join(c.dir, fmt.Sprintf("journal-%d", c.lives)),
		Places: filepath.Join(c.dir, "places"), Number: c.lives, Place: place, Nth: nth, Seed: c.rng.Uint64(),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return startChild(c.t, told, place)
}

func startChild(t *testing.T, told []byte, place string) *running {
	t.Helper()
	l := &running{cmd: exec.Command(os.Args[0]), exited: make(chan error, 1), place: place} //nolint:noctx // it is killed, whatever happens
	l.cmd.Env = append(os.Environ(), childEnv+"="+string(told))
	l.cmd.Stderr = os.Stderr
	stdin, err := l.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.stdin = stdin
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { l.exited <- l.cmd.Wait() }()
	return l
}

// end asks for a clean stop, and insists.
func (l *running) end(t *testing.T) {
	t.Helper()
	_ = l.stdin.Close()
	select {
	case l.err = <-l.exited:
	case <-time.After(2 * time.Minute):
		_ = l.cmd.Process.Kill()
		<-l.exited
		t.Fatal("a child does not stop")
	}
}

func (c *campaign) died(l *running, killed bool) {
	c.t.Helper()
	var exit *exec.ExitError
	byKill := false
	if errors.As(l.err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		byKill = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if byKill != killed || !killed && l.err != nil {
		c.t.Fatalf("life %d at %q ended with %v", c.lives, l.place, l.err)
	}
	if killed {
		c.killed++
		c.at[l.place]++
	}
}

// judge lets a last start send what is left, and looks at the stream.
func (c *campaign) judge() {
	c.t.Helper()
	e := start(c.t, filepath.Join(c.dir, "wal"), c.server.Conn(c.t))
	e.close()
	c.stop()
	said, err := os.ReadFile(filepath.Join(c.dir, "places"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range places {
		if n := strings.Count(string(said), p+"\n"); n == 0 || n != c.at[p] {
			c.t.Errorf("%s was reached %d times; %d lives ended there", p, n, c.at[p])
		}
	}
	journals, err := filepath.Glob(filepath.Join(c.dir, "journal-*"))
	if err != nil {
		c.t.Fatal(err)
	}
	lines, err := checker.ReadJournal(journals...)
	if err != nil {
		c.t.Fatal(err)
	}
	h := checker.Read(messagesOf(onStream(c.t, c.server.JetStream(c.t))))
	stopped, crashed := h.Ended()
	lost := h.Lost(lines)
	c.t.Logf("%d lives, %d killed, at %d places and at random; %d events spooled, %d lost; %d messages, %d epochs stopped, %d crashed",
		c.lives, c.killed, len(places), len(lines), len(lost), h.Messages, stopped, crashed)
	if len(h.Faults) > 0 || len(lost) > 0 {
		c.t.Errorf("faults:\n%s\nlost:\n%s", checker.First(h.Faults), checker.First(lost))
	}
	if len(lines) == 0 || crashed == 0 || h.Lifecycles()["recovery"] > 0 {
		c.t.Errorf("%d lines in the journal, %d crashed epochs, %v", len(lines), crashed, h.Lifecycles())
	}
}

func messagesOf(all []stored) []checker.Message {
	list := make([]checker.Message, len(all))
	for i, m := range all {
		list[i] = checker.Message{Subject: m.subject, Header: m.header, Raw: m.raw}
	}
	return list
}

// storeOf is a store that keeps nothing: it follows the stream and publishes
// watermarks, so that WAL files are trimmed while emitters die.
func storeOf(t *testing.T, s *natstest.Server) (stop func()) {
	t.Helper()
	js := s.JetStream(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	f := &follower{next: 1, marks: map[string]int64{}, grown: map[string]bool{}}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = f.follow(ctx, js) // the server may be away: again
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

// A follower knows what it has read.
type follower struct {
	next  uint64 // sequence of the stream
	marks map[string]int64
	grown map[string]bool // and were not published yet
}

// ask says that the last events of one epoch are not there, which is not true: a
// store may lose what it read.
func (f *follower) ask(nc *nats.Conn) {
	for epoch := range f.grown {
		q := stream.Question{Ranges: []stream.Range{{Epoch: epoch, First: max(1, f.marks[epoch]-5), Last: f.marks[epoch]}}}
		if b, err := q.Encode(); err == nil {
			_ = nc.PublishRequest(stream.HolesSubject("gateway-0"), nc.NewInbox(), b) // the answer is not waited for
		}
		return
	}
}

func (f *follower) follow(ctx context.Context, js jetstream.JetStream) error {
	// A server that is not quite there forgets what it is asked.
	opening, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	kv, err := stream.Bucket(opening, js)
	if err != nil {
		return err
	}
	c, err := js.OrderedConsumer(opening, "DOCKET", jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.next})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		msgs, err := c.Fetch(200, jetstream.FetchMaxWait(100*time.Millisecond))
		if err != nil {
			return err
		}
		for m := range msgs.Messages() {
			h, err := profile.Parse(m.Data())
			if err != nil {
				return err
			}
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if f.next = meta.Sequence.Stream + 1; h.Sequence == f.marks[h.Epoch]+1 {
				f.marks[h.Epoch]++
				f.grown[h.Epoch] = true
			}
		}
		if err := msgs.Error(); err != nil {
			return err
		}
		f.ask(js.Conn())
		for epoch := range f.grown {
			if err := stream.PutWatermark(ctx, kv, stream.Watermark{Store: "lake", Epoch: epoch, Sequence: f.marks[epoch]}); err != nil {
				return err
			}
			delete(f.grown, epoch)
		}
	}
	return ctx.Err()
}
