// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/collector/verify"
)

var stormSeed = flag.Uint64("storm.seed", rand.Uint64(), "of what the tests of a redelivery storm choose")

// copies is how often each message of a storm is on the stream.
const copies = 5

// Each message is on the stream five times, in any order, while collectors come,
// are killed anywhere, and compact what they have: each event is stored once.
func TestRedeliveryStorm(t *testing.T) {
	rng := rand.New(rand.NewPCG(*stormSeed, 1))
	t.Logf("seed %d (-storm.seed)", *stormSeed)
	newStorm(t, rng, 6).run(10)
}

// A storm is what is sent, and what came of it.
type storm struct {
	*rig
	rng    *rand.Rand
	reader *metric.ManualReader
	meters *metric.MeterProvider
	ledger book

	epochs  []*storetest.Epoch
	events  []store.Entry // each once
	garbage int           // messages that are no events
	left    []func()      // what is still to be published

	published uint64 // messages, which is the last stream sequence
	killed    map[string]int
}

// newStorm makes the events of four epochs of three tenants, and shuffles them.
func newStorm(t *testing.T, rng *rand.Rand, operations int) *storm {
	s := &storm{rig: newRig(t), rng: rng, reader: metric.NewManualReader(), killed: make(map[string]int)}
	s.meters = metric.NewMeterProvider(metric.WithReader(s.reader))
	t.Cleanup(func() { _ = s.meters.Shutdown(t.Context()) })
	for i, tenant := range []string{"acme", "acme", "globex", "a/b c"} {
		e := storetest.NewEpoch(t, tenant, fmt.Sprint("gateway-", i))
		s.epochs = append(s.epochs, e)
		s.events = append(s.events, e.Start())
		for range operations {
			s.events = append(s.events, e.Operation()...)
		}
		if i%2 == 0 {
			s.events = append(s.events, e.Stop())
		}
	}
	for i := range s.events {
		for range copies {
			s.left = append(s.left, func() { s.publish(s.events[i]) })
		}
	}
	for i := range 4 {
		for range copies {
			s.left = append(s.left, s.rubbish(i))
		}
	}
	s.shuffle()
	return s
}

// rubbish returns what sends a message that is no event. Each copy of it is a
// message of its own, with its own place in quarantine.
func (s *storm) rubbish(i int) func() {
	return func() {
		s.send("docket.activity.garbage", fmt.Appendf(nil, "garbage %d", i), nil)
		s.garbage++
	}
}

func (s *storm) shuffle() {
	s.rng.Shuffle(len(s.left), func(i, j int) { s.left[i], s.left[j] = s.left[j], s.left[i] })
}

// pour publishes so many of what is left.
func (s *storm) pour(n int) {
	n = min(n, len(s.left))
	for _, send := range s.left[:n] {
		send()
		s.published++
	}
	s.left = s.left[n:]
}

// run sends all of it over so many lives of a collector, most of which are killed,
// and judges what came of it.
func (s *storm) run(lives int) {
	s.t.Helper()
	each := len(s.left)/lives + 1
	for life := range lives {
		before := s.rng.IntN(each + 1)
		s.pour(before)
		s.live(life%4 == 3, each-before)
	}
	s.settle()
	s.judge()
	s.echo()
	s.judge()
	s.verify()
	s.t.Logf("%d events, %d messages; killed at %v", len(s.events), copies*len(s.events)+s.garbage, s.killed)
}

// A death ends everything that a collector and its lake do from the n-th place on
// that they pass.
type death struct {
	mu    sync.Mutex
	left  int // places to pass; negative: it lives for ever
	place string
	dead  atomic.Bool
}

func (d *death) pass(place string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.dead.Load():
		return errKilled
	case d.left == 0:
		d.place = place
		d.dead.Store(true)
		return errKilled
	}
	d.left--
	return nil
}

// live starts a collector, sends n messages more beside it, and ends it: by a kill
// at any place, or when it has everything.
func (s *storm) live(whole bool, n int) {
	s.t.Helper()
	d := &death{left: -1}
	if !whole {
		d.left = s.rng.IntN(150)
	}
	run := s.begin(d)
	s.pour(n)
	if run == nil {
		s.killed[d.place]++
		return
	}
	s.until("everything is stored, or the collector is dead", func() bool {
		select {
		case <-run.done:
			return true
		default:
			return d.dead.Load() || run.Status().CaughtUp
		}
	})
	if err := run.stop(); err != nil && !errors.Is(err, errKilled) {
		s.t.Fatalf("killed at %q: %v", d.place, err)
	}
	if d.dead.Load() {
		s.killed[d.place]++
	}
}

// begin starts a collector, and returns nil if it died while it opened its lake,
// which ends the compaction that an earlier one was killed in.
func (s *storm) begin(d *death) *running {
	s.t.Helper()
	l, err := lake.Open(s.dir+"/lake", lake.Options{CompactBytes: 1, Fault: d.pass})
	switch {
	case errors.Is(err, errKilled):
		return nil
	case err != nil:
		s.t.Fatal(err)
	}
	return s.startOver(l, compacting, func(c *Config) {
		c.Ledger, c.MeterProvider, c.reached, c.FlushMessages = &s.ledger, s.meters, d.pass, 17
	})
}

// settle stores all that is left, and compacts it.
func (s *storm) settle() {
	s.t.Helper()
	run := s.begin(&death{left: -1})
	s.pour(len(s.left))
	s.drained(run)
	s.until("nothing is hot", func() bool { return hot(run.lake) == 0 })
	if err := run.stop(); err != nil {
		s.t.Fatal(err)
	}
}

// counted are the counters of all lives so far.
func (s *storm) counted() map[string]int64 {
	s.t.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(s.t.Context(), &all); err != nil {
		s.t.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok {
				for _, p := range sum.DataPoints {
					got[m.Name] += p.Value
				}
			}
		}
	}
	return got
}

// echo sends every event once more, and garbage that is new, to a collector that
// lives: the first are duplicates to the last, and counted as such.
func (s *storm) echo() {
	s.t.Helper()
	before := s.counted()
	reader, err := lake.OpenReader(s.dir + "/lake")
	if err != nil {
		s.t.Fatal(err)
	}
	// What came after the last commit, and was known, comes again, too.
	again := len(s.events) + int(s.published-reader.Manifest().StreamSeq)
	for i := range s.events {
		s.left = append(s.left, func() { s.publish(s.events[i]) })
	}
	s.left = append(s.left, s.rubbish(99))
	s.shuffle()
	s.settle()
	after := s.counted()
	grown := func(name string) int64 { return after["docket_collector_"+name] - before["docket_collector_"+name] }
	want := map[string]int64{"events": 0, "stored": 0, "conflicts": 0, "commits": 1, "findings": 0}
	if grown("errors") == 0 { // else a client without room dropped messages, which came once more
		want["duplicates"], want["quarantined"] = int64(again), 1
	}
	for name, want := range want {
		if got := grown(name); got != want {
			s.t.Errorf("docket_collector_%s grew by %d, not %d", name, got, want)
		}
	}
}

// judge compares what is stored with what was sent.
func (s *storm) judge() {
	s.t.Helper()
	s.wantExactly(s.events)
	s.wantLedger(&s.ledger)
	if f := s.found(); len(f) > 0 {
		s.t.Errorf("found %d things wrong, such as %s", len(f), f[0].FindingInfo.Title)
	}
	reader, err := lake.OpenReader(s.dir + "/lake")
	if err != nil {
		s.t.Fatal(err)
	}
	held := make(map[uint64]int)
	for h, err := range reader.Quarantined(s.t.Context()) {
		if err != nil {
			s.t.Fatal(err)
		}
		held[h.StreamSeq]++
	}
	if len(held) != s.garbage {
		s.t.Errorf("%d messages in quarantine, not %d", len(held), s.garbage)
	}
	for seq, n := range held {
		if n != 1 {
			s.t.Errorf("message %d is %d times in quarantine", seq, n)
		}
	}
	for i, e := range s.epochs {
		n := e.Sequence()
		state := reader.Manifest().Epochs[e.UID]
		got := Account(e.UID, &store.Epoch{Stored: state.Stored, Quarantined: state.Quarantined, Conflicts: state.Conflicts, HeadSequence: state.HeadSequence, Closed: state.Closed}, nil)
		if got.Sequenced != n || got.Stored != n || got.Missing+got.InFlight+got.Quarantined+got.Conflicts != 0 || (got.Closed != nil) != (i%2 == 0) {
			s.t.Errorf("account of %s, which has %d: %+v", e.UID, n, got)
		}
		if m := s.mark(e.UID); m != fmt.Sprint(n) {
			s.t.Errorf("watermark of %s is %s, not %d", e.UID, m, n)
		}
	}
}

// verify makes the ledger of what was committed, and lets the directory be judged.
func (s *storm) verify() {
	s.t.Helper()
	key, err := ledger.OpenKey(filepath.Join(s.dir, "keys", "ledger.key"), filepath.Join(s.dir, "keys", "ledger.vkey"))
	if err != nil {
		s.t.Fatal(err)
	}
	log, err := ledger.Open(s.t.Context(), filepath.Join(s.dir, "ledger"), key, ledger.Options{
		Statements: lake.Statements(s.dir+"/lake", 1), Kept: filepath.Join(s.dir, "keys", "ledger.checkpoint"), Adopt: true,
	})
	if err == nil {
		err = log.Close(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "FORMAT"), []byte("2\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	r, err := verify.Run(s.t.Context(), s.dir, verify.Options{Deep: true, Key: key.Verifier()})
	if err != nil {
		s.t.Fatal(err)
	}
	if r.Code() != verify.CodeFine || r.Events != int64(len(s.events)) || r.Statements != r.Ledger.Size || r.Statements != uint64(len(s.ledger.leaves)) {
		s.t.Errorf("verify: code %d, %d events, %d statements, problems %v", r.Code(), r.Events, r.Statements, r.Problems)
	}
}
