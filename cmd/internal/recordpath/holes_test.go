// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/verify"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a server with a stream and what runs on it.
type world struct {
	t    *testing.T
	nats *natstest.Server
	js   jetstream.JetStream
	ctx  context.Context
}

// emitter starts an emitter and returns it with what stops it.
func (w *world) emitter(cfg emitter.Config) (em *emitter.Emitter, stop func()) {
	w.t.Helper()
	cfg.Conn = w.nats.Conn(w.t)
	em, err := emitter.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- em.Run(w.ctx) }()
	return em, func() {
		w.t.Helper()
		if err := em.Close(w.ctx); err != nil {
			w.t.Error(err)
		}
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

// fill emits events and waits until the stream has them.
func (w *world) fill(em *emitter.Emitter, n int) {
	w.t.Helper()
	var last emitter.Receipt
	for i := range n {
		last = em.Emit(w.ctx, &ocsf.APIActivity{
			ActivityID: ocsf.APIActivityCreate, StatusID: ocsf.StatusSuccess,
			Base: ocsf.Base{
				Time: time.Now().UnixMilli(), SeverityID: ocsf.SeverityInformational,
				Metadata: ocsf.Metadata{EventCode: profile.KindResult, TenantUID: "acme"},
				Actor:    &ocsf.Actor{User: &ocsf.User{UID: "alice"}},
				API: &ocsf.API{
					Operation: "Create", Service: &ocsf.Service{Name: "demo"},
					Response: &ocsf.Response{Data: map[string]any{"payload": strings.Repeat("x", 200), "n": fmt.Sprint(i)}},
				},
			},
			SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.1"},
		})
		if err := last.Spooled(w.ctx); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := last.Streamed(w.ctx); err != nil {
		w.t.Fatal(err)
	}
}

// remove takes all copies of some sequences of an epoch off the stream, as an
// administrator may.
func (w *world) remove(epoch string, sequences ...int64) {
	w.t.Helper()
	s, err := w.js.Stream(w.ctx, stream.Declared().Stream.Name)
	if err != nil {
		w.t.Fatal(err)
	}
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(w.ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // removed before
		}
		if err != nil {
			w.t.Fatal(err)
		}
		n, err := strconv.ParseInt(m.Header.Get(profile.HeaderSequence), 10, 64)
		if err != nil {
			w.t.Fatal(err)
		}
		if m.Header.Get(profile.HeaderEpoch) == epoch && slices.Contains(sequences, n) {
			if err := s.DeleteMsg(w.ctx, seq); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) until(what string, met func() bool) {
	w.t.Helper()
	for ; !met(); time.Sleep(10 * time.Millisecond) {
		if w.ctx.Err() != nil {
			w.t.Fatalf("never happened: %s", what)
		}
	}
}

// epochOf returns the epoch of a tenant in this start of an emitter that has
// events of no other, and its last sequence.
func epochOf(t *testing.T, em *emitter.Emitter) (epoch string, last int64) {
	t.Helper()
	for epoch, last = range em.State().Epochs {
		return epoch, last
	}
	t.Fatal("no epoch")
	return "", 0
}

// Two emitters, each with events that were deleted from the stream before a
// store had them. One started again meanwhile and has them in its WAL; the other
// trims by the stream. What there is comes again; what is gone is a finding, in
// the account, and in what verify says.
func TestDeletedFromTheStream(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := &world{t: t, nats: natstest.Run(t), ctx: ctx}
	w.js = w.nats.JetStream(t)
	if err := stream.Apply(ctx, w.js); err != nil {
		t.Fatal(err)
	}
	walDir := t.TempDir()
	first, stop := w.emitter(emitter.Config{Dir: walDir, Name: "gateway-0"})
	w.fill(first, 40)
	epoch, last := epochOf(t, first)
	last++ // its stop event
	stop()
	first, stopFirst := w.emitter(emitter.Config{Dir: walDir, Name: "gateway-0"})
	w.fill(first, 1)
	w.remove(epoch, 2, 3, 4, 20, last-1)

	second, stopSecond := w.emitter(emitter.Config{Dir: t.TempDir(), Name: "gateway-1", WALFileBytes: 4 << 10, TrimBy: emitter.TrimByStream})
	w.fill(second, 40)
	trimmed, _ := epochOf(t, second)
	w.until("trimming", func() bool { return second.State().WALFiles <= 2 })
	w.remove(trimmed, 5, 6)

	dir, err := datadir.Own(t.TempDir() + "/data")
	if err != nil {
		t.Fatal(err)
	}
	own, stopOwn := w.emitter(emitter.Config{Dir: dir.Join("wal"), Name: "collector"})
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	cfg := &config.Config{}
	cfg.Collector.Flush = config.Duration(50 * time.Millisecond)
	p, err := Open(ctx, cfg, dir, w.nats.Conn(t), Allowed{}, own, log, noop.NewMeterProvider())
	if err != nil {
		t.Fatal(err)
	}
	running, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(running) }()

	account := func(epoch string) collector.EpochStatus {
		for _, e := range p.Collector.Status().Epochs {
			if e.Epoch == epoch {
				return e
			}
		}
		return collector.EpochStatus{}
	}
	w.until("what is in the WAL to be stored", func() bool { return account(epoch).Stored == last })
	w.until("what is gone to be found", func() bool { return account(trimmed).Missing == 2 })
	w.until("the finding to be stored", func() bool { return len(findings(t, ctx, p.Lake)) > 0 })
	if e := account(trimmed); e.Sequenced != e.Stored+e.Quarantined+e.Missing+e.InFlight || e.InFlight != 0 {
		t.Errorf("account %+v", e)
	}
	stopFirst()
	stopSecond()
	stopOwn()
	if err := p.Collector.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	all := findings(t, ctx, p.Lake)
	if len(all) != 1 || !strings.Contains(all[0], `"answer":"gone"`) || !strings.Contains(all[0], `"ranges":[{"first":5,"last":6}]`) || !strings.Contains(all[0], trimmed) {
		t.Errorf("findings %q", all)
	}
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	report, err := verify.Run(ctx, dir.Path, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) != 1 || report.Code() != verify.CodeFound || report.Problems[0].Kind != verify.Missing || report.Problems[0].Where.Epoch != trimmed {
		t.Errorf("code %d, problems %v", report.Code(), report.Problems)
	}
	if err := dir.Close(); err != nil {
		t.Error(err)
	}
}

func findings(t *testing.T, ctx context.Context, from store.Reader) (all []string) {
	t.Helper()
	for e, err := range from.Scan(ctx, store.Query{Kinds: []string{profile.KindFinding}}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(e.Raw))
	}
	return all
}
