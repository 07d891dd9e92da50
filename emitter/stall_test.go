// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// stallRSS is how much memory a process may take whose emitter has a queue of 64
// MiB and a broker that never answers, whatever it is offered: the collector of
// garbage lets what waits double, and more while it does not keep up with a flood;
// the rest is the process's own.
const stallRSS = 320 << 20

// A stalled is what a child tells that was stalled.
type stalled struct {
	State    State         `json:"state"`
	RSS      int64         `json:"rss"`      // the most, in bytes
	Promised int           `json:"promised"` // to who waits
	Denied   int           `json:"denied"`
	Slowest  time.Duration `json:"slowest"` // of those
	Emit     time.Duration `json:"emit"`    // of all calls of Emit together
}

// stall offers events to an emitter whose broker stops answering, whose WAL is
// full soon, and whose memory is what the queue may take.
func (l *life) stall() error {
	nc, err := nats.Connect(l.URL, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	e, err := New(Config{Dir: l.Dir, Name: "gateway-0", Conn: nc, WALFull: WALFullDeny, WALMaxBytes: 16 << 20, WALFileBytes: 2 << 20, QueueBytes: 64 << 20})
	if err != nil {
		return err
	}
	ctx := context.Background()
	go func() { _ = e.Run(ctx) }()
	if err := e.Emit(ctx, stallEvent(0)).Streamed(ctx); err != nil {
		return err
	}
	var told stalled
	for i := range l.Number {
		ev := stallEvent(i)
		begun := time.Now()
		r := e.Emit(ctx, ev)
		took := time.Since(begun)
		told.Emit += took
		if i%(l.Number/50) != 0 {
			continue
		}
		waiting, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		err := r.Spooled(waiting)
		cancel()
		told.Slowest = max(told.Slowest, time.Since(begun))
		switch {
		case err == nil:
			told.Promised++
		case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrBackpressure):
			told.Denied++
		default:
			return err
		}
	}
	told.State = e.State()
	if told.RSS, err = mostRSS(); err != nil {
		return err
	}
	b, err := json.Marshal(told)
	if err != nil {
		return err
	}
	return os.WriteFile(l.Journal, b, 0o600) // and the process ends: nothing would be published any more
}

// stallEvent is an event of some 1.6 KB; every tenth is an outcome.
func stallEvent(i int) *ocsf.APIActivity {
	e := event("acme", fmt.Sprint("payload-", i))
	e.API.Response.Data = map[string]any{"payload": fmt.Sprint(i), "padding": strings.Repeat("x", 400)}
	e.Actor.User.UID = fmt.Sprint("user-", i%100)
	if i%10 == 0 {
		e.Metadata.EventCode = profile.KindOutcome
	}
	return e
}

// mostRSS reads how much memory this process ever had.
func mostRSS() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	n, err := strconv.ParseInt(kib, 10, 64)
	return n << 10, err
}

// A broker that accepts and never answers: memory stays within a bound, whoever
// does not wait goes on and is told of in gap findings later, and who waits is
// denied.
func TestStalledBroker(t *testing.T) { stalledBroker(t, 80_000) }

func stalledBroker(t *testing.T, events int) {
	s := natstest.Run(t)
	if err := stream.Apply(t.Context(), s.JetStream(t)); err != nil {
		t.Fatal(err)
	}
	p := newSlowProxy(t, s.URL())
	p.takes.Store(256 << 10)
	dir := t.TempDir()
	told, err := json.Marshal(life{Dir: filepath.Join(dir, "wal"), URL: p.url(), Journal: filepath.Join(dir, "told"), Number: events, Stalls: true})
	if err != nil {
		t.Fatal(err)
	}
	l := startChild(t, told, "")
	if err := <-l.exited; err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "told"))
	if err != nil {
		t.Fatal(err)
	}
	var got stalled
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	st := got.State
	t.Logf("%d events: %d MiB at most; Emit takes %v on average; %d promised to who waits, %d denied, the slowest within %v; %d refused, %d in the queue, WAL of %d bytes",
		events, got.RSS>>20, got.Emit/time.Duration(events), got.Promised, got.Denied, got.Slowest, st.Refused, st.QueueBytes, st.WALBytes)
	if !raceEnabled && got.RSS > stallRSS {
		t.Errorf("%d MiB, and the bound is %d", got.RSS>>20, stallRSS>>20)
	}
	if st.Offered != int64(events)+1 || st.Refused == 0 || got.Denied == 0 || got.Promised == 0 || st.QueueBytes > 64<<20 || st.WALBytes > 24<<20 {
		t.Errorf("%+v", got)
	}
}
