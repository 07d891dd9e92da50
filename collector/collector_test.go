// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

func TestMain(m *testing.M) {
	if os.Getenv(pausedNATS) != "" {
		if err := pausedHolder(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// A rig is a NATS server with the stream, a directory, and what to do with them.
type rig struct {
	t    *testing.T
	nats *natstest.Server
	js   jetstream.JetStream
	dir  string

	lakeOptions lake.Options

	mu       sync.Mutex
	findings []*ocsf.DetectionFinding
	changes  []string // of the stream, as they were told
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s := natstest.Run(t)
	r := &rig{t: t, nats: s, js: s.JetStream(t), dir: t.TempDir()}
	if err := stream.Apply(t.Context(), r.js); err != nil {
		t.Fatal(err)
	}
	return r
}

// publish sends events as an emitter does, but one by one.
func (r *rig) publish(entries ...store.Entry) {
	r.t.Helper()
	for i := range entries {
		h := &entries[i].Header
		r.send(profile.Subject(profile.Prefix, *h), entries[i].Raw, map[string]string{
			profile.HeaderEventUID: h.MetadataUID, profile.HeaderEpoch: h.Epoch,
			profile.HeaderSequence: strconv.FormatInt(h.Sequence, 10),
		})
	}
}

func (r *rig) send(subject string, data []byte, headers map[string]string) {
	r.t.Helper()
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	for k, v := range headers {
		msg.Header.Set(k, v)
	}
	// A collector that is being stopped may still tell something: what it tells
	// then need not arrive.
	if _, err := r.js.PublishMsg(r.t.Context(), msg); err != nil && r.t.Context().Err() == nil {
		r.t.Fatal(err)
	}
}

// A running collector with its lake.
type running struct {
	*Collector
	lake *lake.Lake
	done chan struct{} // closed when Run returned err
	err  error
	stop func() error // waits; returns what Run returned
}

// start runs a collector. change may alter its configuration.
func (r *rig) start(change ...func(*Config)) *running {
	r.t.Helper()
	l, err := lake.Open(r.dir+"/lake", r.lakeOptions)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.startOver(l, change...)
}

// startOver starts a collector over a lake, which is closed with it.
func (r *rig) startOver(l *lake.Lake, change ...func(*Config)) *running {
	r.t.Helper()
	cfg := Config{
		JetStream: r.js, Store: l, DataDir: r.dir, FlushEvery: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(r.t.Output(), nil)),
		Emitter: "collector-0", Findings: func(_ context.Context, e ocsf.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if f, ok := e.(*ocsf.DetectionFinding); ok {
				r.findings = append(r.findings, f)
				return
			}
			said := e.Common().Unmapped[profile.Unmapped].(map[string]any)
			r.changes = append(r.changes, fmt.Sprint(said["change"], " ", said["first"], "-", said["last"]))
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{Collector: c, lake: l, done: make(chan struct{})}
	go func() {
		defer close(run.done)
		run.err = c.Run(ctx)
	}()
	run.stop = sync.OnceValue(func() error {
		cancel()
		<-run.done
		return errors.Join(run.err, l.Close())
	})
	r.t.Cleanup(func() { _ = run.stop() })
	return run
}

// drained waits until everything published is stored.
func (r *rig) drained(run *running) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := run.Drain(ctx); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) found() []*ocsf.DetectionFinding {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.findings
}

// stored returns what the lake holds, opened anew.
func (r *rig) stored() []store.Entry {
	r.t.Helper()
	reader, err := lake.OpenReader(r.dir + "/lake")
	if err != nil {
		r.t.Fatal(err)
	}
	var out []store.Entry
	for e, err := range reader.Scan(r.t.Context(), store.Query{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// wantExactly checks that the lake holds these events, each once.
func (r *rig) wantExactly(want []store.Entry) {
	r.t.Helper()
	got := make(map[string]int)
	for _, e := range r.stored() {
		got[string(e.Raw)]++
	}
	for i := range want {
		if n := got[string(want[i].Raw)]; n != 1 {
			r.t.Errorf("event %d of epoch %s is stored %d times", want[i].Header.Sequence, want[i].Header.Epoch, n)
		}
		delete(got, string(want[i].Raw))
	}
	if len(got) > 0 {
		r.t.Errorf("%d events are stored that were never sent", len(got))
	}
}

func (r *rig) mark(epoch string) string {
	r.t.Helper()
	kv, err := stream.Bucket(r.t.Context(), r.js)
	if err != nil {
		r.t.Fatal(err)
	}
	e, err := kv.Get(r.t.Context(), "lake."+epoch)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return ""
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return string(e.Value())
}

func TestStreamToLake(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := []store.Entry{e.Start()}
	for range 10 {
		sent = append(sent, e.Operation()...)
	}
	r.publish(sent...)
	run := r.start()
	r.drained(run)
	more := append(e.Operation(), e.Stop())
	r.publish(more...)
	r.drained(run)
	if s := run.Status(); len(s.Epochs) != 1 || s.Epochs[0].Stored != 35 || s.Epochs[0].Missing != 0 || s.Epochs[0].Closed == nil {
		t.Errorf("status is %+v", s)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(append(sent, more...))
	if m := r.mark(e.UID); m != "35" {
		t.Errorf("watermark is %q", m)
	}
	if f := r.found(); len(f) != 0 {
		t.Errorf("found %d things wrong", len(f))
	}
}
