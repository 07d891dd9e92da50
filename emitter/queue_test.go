// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// spooledEvents returns the events in a directory whose emitter is closed.
func spooledEvents(t *testing.T, dir string) []profile.Header {
	t.Helper()
	_, records := readBack(t, dir)
	var list []profile.Header
	for _, r := range records {
		h, err := profile.Check(r.raw)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h)
	}
	return list
}

// declared sums up what gap findings state.
func declared(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	_, records := readBack(t, dir)
	sum := map[string]int64{}
	for _, r := range records {
		var e struct {
			Metadata struct {
				Tenant string `json:"tenant_uid"`
			} `json:"metadata"`
			Evidences []struct {
				Data struct {
					Count  int64  `json:"count"`
					Reason string `json:"reason"`
				} `json:"data"`
			} `json:"evidences"`
		}
		if err := json.Unmarshal(r.raw, &e); err != nil {
			t.Fatal(err)
		}
		for _, ev := range e.Evidences {
			sum[e.Metadata.Tenant+" "+ev.Data.Reason] += ev.Data.Count
		}
	}
	return sum
}

// Whatever is offered is sequenced or counted by a gap finding: no event
// disappears silently.
func TestConservation(t *testing.T) {
	fs := new(faultFS)
	gate := make(chan struct{})
	dir := t.TempDir()
	e, err := New(Config{Dir: dir, Name: "gateway-0", QueueBytes: 40 << 10, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	fs.set(func(op, _ string) (error, bool) {
		if op == "sync" {
			<-gate // a disk that hangs
		}
		return nil, false
	})
	const callers, each = 8, 50
	var mu sync.Mutex
	var taken, refused int64
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				r := e.Emit(t.Context(), event(fmt.Sprint("tenant-", c%2), strings.Repeat("x", i)))
				mu.Lock()
				if errors.Is(r.err, ErrBackpressure) {
					refused++
				} else {
					taken++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if taken == 0 || refused == 0 {
		t.Fatalf("%d taken, %d refused: the test wants both", taken, refused)
	}
	// Events that never can be are counted too.
	bad := event("tenant-0", "")
	bad.API.Response.Data = math.NaN()
	close(gate)
	until(t, "room", func() bool { return e.State().QueueBytes == 0 })
	if err := e.Emit(t.Context(), bad).Spooled(within(t)); !errors.Is(err, ErrUnfit) {
		t.Errorf("an event that has no JSON: %v", err)
	}
	if err := e.Emit(t.Context(), event("tenant-1", strings.Repeat("x", 2<<20))).Spooled(within(t)); err != nil {
		t.Errorf("an event larger than the queue, which is empty: %v", err)
	}
	taken++
	if err := e.Emit(t.Context(), nil).Spooled(t.Context()); !errors.Is(err, ErrUnfit) {
		t.Errorf("no event: %v", err)
	}
	if err := (Receipt{}).Spooled(t.Context()); err == nil {
		t.Error("the zero receipt says spooled")
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	s := e.State()
	if s.Offered != callers*each+3 || s.Sequenced != taken || s.Offered != s.Sequenced+s.Declared || s.Declared != s.Refused {
		t.Errorf("offered %d, sequenced %d, refused %d, declared %d", s.Offered, s.Sequenced, s.Refused, s.Declared)
	}
	if s.Spooled != s.Sequenced+s.Own {
		t.Errorf("spooled %d, sequenced %d, own %d", s.Spooled, s.Sequenced, s.Own)
	}
	var sum int64
	stated := declared(t, dir)
	for _, n := range stated {
		sum += n
	}
	if sum != refused+2 || stated["tenant-0 unfit"] != 1 {
		t.Errorf("gap findings state %v, refused were %d and 2", stated, refused)
	}
	last := map[string]int64{}
	for _, h := range spooledEvents(t, dir) {
		if h.Sequence != last[h.Epoch]+1 {
			t.Errorf("sequence %d follows %d", h.Sequence, last[h.Epoch])
		}
		last[h.Epoch] = h.Sequence
	}
}

// An outcome's operation is past refusing: it finds room where others do not, and
// no less of it where there are no others. All together keep within the limit.
func TestRoomForOutcomes(t *testing.T) {
	const limit = 200 << 10
	for _, first := range []string{profile.KindResult, ""} {
		fs := new(faultFS)
		gate := make(chan struct{})
		e, err := New(Config{Dir: t.TempDir(), Name: "gateway-0", QueueBytes: limit, FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		fs.set(func(op, _ string) (error, bool) {
			if op == "sync" {
				<-gate
			}
			return nil, false
		})
		fill := func(kind string) (n int) {
			for refused := 0; refused < 20; { // each of another principal
				ev := event("acme", "")
				ev.Metadata.EventCode, ev.Actor.User.UID = kind, fmt.Sprint("user-", n%17, refused)
				if errors.Is(e.Emit(t.Context(), ev).err, ErrBackpressure) {
					refused++
				} else {
					n++
				}
			}
			return n
		}
		results := 0
		if first != "" {
			results = fill(first)
		}
		outcomes := fill(profile.KindOutcome)
		held := e.State().QueueBytes
		each := weigh(event("acme", ""))
		if all := int64(results + outcomes); held > limit || held < limit-4*each || results > 0 && (all/4-int64(outcomes) > 1 || int64(outcomes)-all/4 > 1) {
			t.Errorf("room for %d results and then %d outcomes: %d bytes of %d", results, outcomes, held, limit)
		}
		close(gate)
		if err := e.Close(within(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEmitFillsIn(t *testing.T) {
	const myUID = "0199d0aa-2000-7000-8000-0000000000aa"
	dir := t.TempDir()
	e, err := New(Config{Dir: dir, Name: "gateway-0", Product: &ocsf.Product{Name: "docket", Version: "9"}, Version: "1.9.0"})
	if err != nil {
		t.Fatal(err)
	}
	ev := event("", "payload")
	if err := e.Emit(t.Context(), ev).Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	own := event("acme", "payload")
	own.Metadata.UID, own.Metadata.Product, own.Metadata.Version = myUID, &ocsf.Product{Name: "mine"}, "1.8.0"
	if err := e.Emit(t.Context(), own).Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	// A tenant that no event can carry is refused without a trace of an epoch.
	if err := e.Emit(t.Context(), event("\xff", "payload")).Spooled(within(t)); !errors.Is(err, ErrUnfit) {
		t.Errorf("a tenant that is no text: %v", err)
	}
	unfit := event("acme", "payload")
	unfit.Metadata.UID = "my-uid"
	if err := e.Emit(t.Context(), unfit).Spooled(within(t)); !errors.Is(err, ErrUnfit) {
		t.Errorf("a uid that is no UUID: %v", err)
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	_, records := readBack(t, dir)
	var got []string
	for _, r := range records {
		h, _ := profile.Parse(r.raw)
		d, err := ocsf.Decode(r.raw)
		if err != nil {
			t.Fatal(err)
		}
		meta := d.Common().Metadata
		got = append(got, fmt.Sprintf("%s %d %s %s %s %s", h.Tenant, h.Sequence, h.Kind, meta.Product.Name, meta.Product.Version, meta.Version))
	}
	want := []string{
		"default 1 lifecycle docket 9 1.9.0", "default 2 result docket 9 1.9.0",
		"acme 1 lifecycle docket 9 1.9.0", "acme 2 result mine  1.8.0",
		"docket 1 lifecycle docket 9 1.9.0", "docket 2 finding docket 9 1.9.0", "acme 3 finding docket 9 1.9.0",
		"acme 4 lifecycle docket 9 1.9.0", "default 3 lifecycle docket 9 1.9.0", "docket 3 lifecycle docket 9 1.9.0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// Heads are signed every so many events, every so often, and at the stop.
func TestHeads(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	e, err := New(Config{Dir: dir, Name: "gateway-0", Key: key, HeadEvery: 10, HeadInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for range 25 {
		if err := e.Emit(t.Context(), event("acme", "")).Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	own := e.State().Own
	// One more event, since a head of all so far may be stated already.
	last := e.Emit(t.Context(), event("acme", ""))
	if err := last.Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	until(t, "a head by time", func() bool { return e.State().Own > own })
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	_, records := readBack(t, dir)
	fingerprints := map[int64]string{}
	heads := 0
	for _, r := range records {
		var ev struct {
			Unmapped struct {
				Docket struct {
					Head *struct {
						Epoch       string `json:"epoch"`
						Sequence    int64  `json:"sequence"`
						Fingerprint string `json:"fingerprint"`
						Key         string `json:"key"`
						Signature   string `json:"signature"`
					} `json:"head"`
				} `json:"docket"`
			} `json:"unmapped"`
		}
		if err := json.Unmarshal(r.raw, &ev); err != nil {
			t.Fatal(err)
		}
		if h := ev.Unmapped.Docket.Head; h != nil {
			heads++
			if h.Epoch != r.epoch || h.Sequence != r.sequence-1 || h.Fingerprint != fingerprints[h.Sequence] || h.Key != KeyID(pub) {
				t.Errorf("head %+v at sequence %d", h, r.sequence)
			}
			sig, err := base64.StdEncoding.DecodeString(h.Signature)
			if err != nil || !ed25519.Verify(pub, HeadMessage(h.Epoch, h.Sequence, h.Fingerprint), sig) {
				t.Errorf("signature of head %+v does not verify: %v", h, err)
			}
		}
		fingerprints[r.sequence] = r.hexFingerprint()
	}
	if heads < 3 {
		t.Errorf("%d heads", heads)
	}
	if last := records[len(records)-1]; last.flags&flagCloses == 0 {
		t.Error("the last event does not close the epoch")
	}
}

// An idle epoch states no head: nothing is new.
func TestNoHeadsWhenIdle(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{Dir: t.TempDir(), Name: "gateway-0", Key: key, HeadInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Emit(t.Context(), event("acme", "")).Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	until(t, "the first head", func() bool { return e.State().Own == 2 }) // start, head
	time.Sleep(20 * time.Millisecond)
	if own := e.State().Own; own != 2 {
		t.Errorf("%d events of its own after one of a caller", own)
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	if err != nil {
		t.Fatal(err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter))
	defer func() { _ = provider.Shutdown(t.Context()) }()
	e, err := New(Config{Dir: t.TempDir(), Name: "gateway-0", MeterProvider: provider})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Emit(t.Context(), event("acme", "")).Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "docket_") {
			continue
		}
		if f.GetHelp() == "" || !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s is described as %q", f.GetName(), f.GetHelp())
		}
		m := f.GetMetric()[0]
		values[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	for name, want := range map[string]float64{
		"docket_emitter_offered_total": 1, "docket_emitter_sequenced_total": 1, "docket_emitter_refused_total": 0,
		"docket_emitter_declared_total": 0, "docket_emitter_own_total": 1, "docket_emitter_spooled_total": 2,
		"docket_emitter_streamed_total": 0, "docket_emitter_publish_retries_total": 0,
		"docket_emitter_queue_bytes": 0, "docket_emitter_wal_limit_bytes": 1 << 30, "docket_emitter_troubles": 0, "docket_emitter_connected": 0,
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"docket_emitter_wal_bytes", "docket_emitter_wal_behind_bytes", "docket_emitter_spooled_size_bytes_total"} {
		if values[name] <= 0 {
			t.Errorf("%s is %v", name, values[name])
		}
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

// The caller pays for a place in a queue, not for encoding.
func TestEmitAllocates(t *testing.T) {
	e, err := New(Config{Dir: t.TempDir(), Name: "gateway-0", QueueBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close(within(t)) }()
	events := make([]*ocsf.APIActivity, 2000)
	for i := range events {
		events[i] = event("acme", "")
	}
	q := newQueue(e, 1<<30) // nobody takes from it
	i := 0
	if n := testing.AllocsPerRun(len(events)-1, func() { q.offer(events[i]); i++ }); n > 1 {
		t.Errorf("%v allocations for each event", n)
	}
}
