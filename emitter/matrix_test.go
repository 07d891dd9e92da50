// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/checker"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// The fault matrix: what becomes of callers who wait for their events to be
// durable, and of callers who do not, before, during and after each fault.
// Whatever it is, what was promised is on the stream in the end, what was refused
// is stated, and the numbers balance at every look.

// A fault is a row of the matrix.
type fault struct {
	name   string
	change func(*Config)
	begin  func(*bench)
	end    func(*bench)

	trouble    string // what State tells about while it lasts, "" for nothing
	denies     bool   // who waits for durable events is not served while it lasts
	reason     string // why events of who does not wait are refused, "" for not at all
	lifecycle  string // that the emitter tells of it
	flows      bool   // what is emitted while it lasts comes to the stream while it lasts
	interrupts bool   // it begins with all on the stream, and takes the stream away
	mortal     bool   // NATS is a process of its own, and dies by SIGKILL
}

// A bench is an emitter, what it works with, and who calls it.
type bench struct {
	t       *testing.T
	server  broker
	js      jetstream.JetStream
	disk    *faultFS
	skew    atomic.Int64 // of the clock, in ns
	proxy   *slowProxy
	emitter *fixture

	mode     string
	patience time.Duration // of who waits: short where nothing comes of it, long elsewhere

	n     int            // events offered
	lines []checker.Line // what was promised
	kept  []stored       // what was on a stream that was deleted
	most  Receipt        // the last one that was taken
}

// down is how long NATS stays away; `make torture` waits for a minute. pace is how
// long a slow one takes for each piece.
var down = 300 * time.Millisecond

const pace = 200 * time.Millisecond

var matrix = []fault{
	{name: "disk full", begin: fails("write", syscall.ENOSPC), end: heals, trouble: troubleReserve, denies: true, reason: reasonDiskFull},
	{name: "EIO on write", begin: fails("write", syscall.EIO), end: heals, trouble: troubleWAL, denies: true, reason: reasonWALError},
	{name: "EIO on fsync", begin: fails("sync", syscall.EIO), end: heals, trouble: troubleWAL, denies: true, reason: reasonWALError},
	{name: "remounted read-only", begin: fails("", syscall.EROFS), end: heals, trouble: troubleWAL, denies: true, reason: reasonWALError},
	{name: "clock an hour ahead", begin: skew(time.Hour), end: skew(0)},
	{name: "clock an hour behind", begin: skew(-time.Hour), end: skew(0)},
	{name: "NATS down", begin: func(b *bench) { b.server.Stop(); time.Sleep(down) }, end: func(b *bench) { b.server.Start() }, trouble: troublePublish},
	{name: "NATS killed 20 times", begin: killed, end: func(*bench) {}, mortal: true},
	{name: "stream deleted and made again", begin: deleted, end: applied, trouble: troubleStream, interrupts: true},
	{name: "stream full", begin: full(1), end: applied, trouble: troublePublish},
	{name: "slow NATS", begin: func(b *bench) { b.slow(pace) }, end: func(b *bench) { b.slow(0) }, flows: true},
	{
		name: "collector absent, custody", change: smallWAL(WALFullCustody),
		begin: func(*bench) {}, end: func(*bench) {}, lifecycle: "custody",
	},
	{
		name: "collector absent, wal_full = deny", change: smallWAL(WALFullDeny),
		begin: func(*bench) {}, end: stores, trouble: troubleFull, denies: true, reason: reasonWALFull,
	},
}

func fails(op string, err error) func(*bench) {
	return func(b *bench) {
		b.disk.set(func(o, _ string) (error, bool) {
			if op == "" || o == op || op == "write" && o == "create" {
				return err, o == "create" || op == ""
			}
			return nil, false
		})
	}
}

func heals(b *bench) { b.disk.set(nil) }

func (b *bench) slow(by time.Duration) { b.proxy.delay.Store(int64(by)) }

func skew(by time.Duration) func(*bench) { return func(b *bench) { b.skew.Store(int64(by)) } }

// killed dies in the midst of what is published, and before.
func killed(b *bench) {
	for i := range 20 {
		b.emit(1 + i%7)
		if i%3 == 0 {
			_ = b.most.Streamed(within(b.t))
		}
		b.server.Stop()
		b.emit(1)
		b.server.Start()
	}
}

func deleted(b *bench) {
	b.kept = onStream(b.t, b.js)
	if err := b.js.DeleteStream(b.t.Context(), "DOCKET"); err != nil {
		b.t.Fatal(err)
	}
}

func applied(b *bench) {
	if err := stream.Apply(b.t.Context(), b.js); err != nil {
		b.t.Fatal(err)
	}
}

// full leaves the stream no room.
func full(bytes int64) func(*bench) {
	return func(b *bench) {
		c := stream.Declared().Stream
		s, err := b.js.Stream(b.t.Context(), c.Name)
		if err != nil {
			b.t.Fatal(err)
		}
		info, err := s.Info(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		c.MaxBytes = max(bytes, int64(info.State.Bytes)) //nolint:gosec // a test's stream
		if _, err := b.js.UpdateStream(b.t.Context(), c); err != nil {
			b.t.Fatal(err)
		}
	}
}

func smallWAL(full WALFull) func(*Config) {
	return func(c *Config) {
		c.WALMaxBytes, c.WALFull = 60<<10, full
	}
}

// stores is a store that comes back, and has everything.
func stores(b *bench) {
	kv, err := stream.Bucket(b.t.Context(), b.js)
	if err != nil {
		b.t.Fatal(err)
	}
	until(b.t, "everything on the stream", func() bool { return b.emitter.State().Behind == 0 })
	for epoch, n := range b.emitter.State().Epochs {
		if err := stream.PutWatermark(b.t.Context(), kv, stream.Watermark{Store: "lake", Epoch: epoch, Sequence: n}); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestFaultMatrix(t *testing.T) {
	for _, f := range matrix {
		for _, mode := range []string{"durable", "best_effort"} {
			t.Run(f.name+"/"+mode, func(t *testing.T) {
				t.Parallel() // most of them wait
				f.run(t, mode)
			})
		}
	}
}

func (f *fault) run(t *testing.T, mode string) {
	b := &bench{t: t, disk: new(faultFS), mode: mode, patience: time.Minute}
	if f.mortal {
		b.server = newMortal(t)
	} else {
		b.server = natstest.Run(t)
	}
	b.js = b.server.JetStream(t)
	applied(b)
	b.proxy = newSlowProxy(t, b.server.URL())
	nc, err := nats.Connect(b.proxy.url(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.Timeout(time.Minute), quietly)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	b.emitter = start(t, t.TempDir(), nc, func(c *Config) {
		c.FS, c.WALFileBytes, c.ReserveBytes = b.disk, 8<<10, 32<<10
		if f.reason != "" {
			c.QueueBytes = 60 << 10 // full soon
		}
		c.Now = func() time.Time { return time.Now().Add(time.Duration(b.skew.Load())) }
		if f.change != nil {
			f.change(c)
		}
	})
	for range 10 {
		until(t, "service before the fault", func() bool { return b.emit(1) == 1 })
	}
	if f.interrupts {
		until(t, "everything on the stream", func() bool { return b.emitter.State().Behind == 0 })
	}
	if f.denies {
		b.patience = 50 * time.Millisecond
	}
	f.begin(b)
	f.during(b)
	f.end(b)
	b.patience = time.Minute
	until(t, "the end of the trouble", func() bool {
		b.balance()
		return len(b.emitter.State().Troubles) == 0
	})
	until(t, "service", func() bool { return b.emit(1) == 1 })
	if err := b.most.Spooled(within(t)); err != nil {
		t.Error(err)
	}
	b.emitter.close()
	f.judge(b)
}

// during is what callers see while the fault lasts.
func (f *fault) during(b *bench) {
	b.t.Helper()
	denied := false
	until(b.t, "what the fault does", func() bool {
		served := b.emit(5)
		denied = denied || served < 5 && b.mode == "durable"
		s := b.emitter.State()
		switch {
		case f.trouble != "" && s.Troubles[f.trouble] == "":
			return false
		case f.denies && b.mode == "durable":
			return denied
		case f.reason != "" && b.mode == "best_effort":
			return b.refused(f.reason)
		case f.lifecycle != "":
			return s.Own > 1
		}
		return b.n > 100
	})
	if f.flows {
		if err := b.most.Streamed(within(b.t)); err != nil {
			b.t.Error(err)
		}
	}
	if !f.denies && denied {
		b.t.Error("who waits was not served")
	}
	if n := b.emitter.State().Refused; f.reason == "" && n > 0 {
		b.t.Errorf("%d events were refused", n)
	}
}

// refused says whether events were refused for reason that are not stated yet: the
// fault keeps the emitter from that. On a slow machine others may be refused for
// other reasons before.
func (b *bench) refused(reason string) bool {
	q := b.emitter.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.gaps[gapKey{"acme", reason}] != nil
}

// emit offers n events as the mode's callers do, and returns how many were served:
// of those who wait, those whose event was durable in time.
func (b *bench) emit(n int) (served int) {
	b.t.Helper()
	for range n {
		b.n++
		payload := fmt.Sprint("payload-", b.n)
		r := b.emitter.Emit(b.t.Context(), event("acme", payload))
		patience := b.patience
		if b.mode == "best_effort" {
			patience = time.Duration(1-min(1, b.n%5)) * 20 * time.Millisecond // most of them not at all
		}
		ctx, cancel := context.WithTimeout(b.t.Context(), patience)
		err := r.Spooled(ctx)
		cancel()
		switch {
		case err == nil:
			served++
			at := r.group.places[r.index]
			b.lines = append(b.lines, checker.Line{Payload: payload, Epoch: at.epoch, Sequence: at.sequence})
			b.most = r
		case errors.Is(err, context.DeadlineExceeded):
			b.most = r
			if b.mode == "best_effort" {
				served++ // who does not wait is served when the event is taken
			}
		case !errors.Is(err, ErrBackpressure):
			b.t.Fatalf("%s: %v", payload, err)
		}
		b.balance()
	}
	return served
}

// balance checks the conservation law as it holds at any moment: what was offered
// is sequenced, refused, or waits; nothing is durable that was not sequenced.
func (b *bench) balance() {
	b.t.Helper()
	s := b.emitter.State()
	if waiting := s.Offered - s.Sequenced - s.Refused; waiting < 0 || s.Offered != int64(b.n) || s.Declared > s.Refused {
		b.t.Errorf("of %d offered, the emitter knows %d: %d sequenced, %d refused, %d of them stated", b.n, s.Offered, s.Sequenced, s.Refused, s.Declared)
	}
}

// judge is the conservation law at the end, and what the stream has.
func (f *fault) judge(b *bench) {
	b.t.Helper()
	s := b.emitter.State()
	if s.Offered != s.Sequenced+s.Declared || s.Declared != s.Refused || s.Spooled != s.Sequenced+s.Own {
		b.t.Errorf("the numbers do not balance: %+v", s)
	}
	h := checker.Read(messagesOf(append(b.kept, onStream(b.t, b.js)...)))
	h.Ended()
	events, own := int64(0), int64(0)
	h.All(func(e checker.Event) {
		if e.Payload != "" {
			events++
		} else {
			own++
		}
	})
	if events != s.Sequenced || own != s.Own {
		b.t.Errorf("the stream has %d events and %d of the emitter's, which sequenced %d and %d", events, own, s.Sequenced, s.Own)
	}
	for i, l := range b.lines {
		if have := h.Events(l.Epoch); int64(len(have)) >= l.Sequence {
			b.lines[i].SHA256 = hexSum(have[l.Sequence-1].Raw) // it was promised the event: which bytes, the crash tests ask
		}
	}
	if lost := h.Lost(b.lines); len(lost) > 0 || len(h.Faults) > 0 {
		b.t.Errorf("lost:\n%s\nfaults:\n%s", checker.First(lost), checker.First(h.Faults))
	}
	stated := int64(0)
	for reason, n := range h.Gaps() {
		stated += n
		if f.reason == "" {
			b.t.Errorf("%d events are stated as refused: %s", n, reason)
		}
	}
	if stated != s.Declared {
		b.t.Errorf("gap findings state %d, the emitter says %d", stated, s.Declared)
	}
	if f.reason != "" && b.mode == "best_effort" && h.Gaps()[f.reason] == 0 {
		b.t.Errorf("nothing was refused with %q: %v", f.reason, h.Gaps())
	}
	if told := h.Lifecycles(); told["custody"] > 0 != (f.lifecycle == "custody") || told["recovery"] > 0 {
		b.t.Errorf("the emitter tells %v", told)
	}
	b.t.Logf("%d offered, %d promised, %d refused %v; %d retries", s.Offered, len(b.lines), s.Refused, strings.Trim(fmt.Sprint(h.Gaps()), "map"), s.Retries)
}
