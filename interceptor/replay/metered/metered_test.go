// SPDX-License-Identifier: Apache-2.0

package metered

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

// sums is a meter provider that keeps the sum of each instrument by name and
// attributes. The SDK would do it too, and be in the go.sum of every user.
type sums struct {
	noop.MeterProvider

	of map[string]float64
}

func (s *sums) Meter(string, ...metric.MeterOption) metric.Meter { return meter{s: s} }

type meter struct {
	noop.Meter
	s *sums
}

func (s *sums) add(name string, set attribute.Set, n float64) {
	var parts []string
	for _, kv := range set.ToSlice() {
		parts = append(parts, string(kv.Key)+"="+kv.Value.String())
	}
	s.of[strings.TrimPrefix(name, "docket_replay_")+" "+strings.Join(parts, ",")] += n
}

func (m meter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return counter{name: name, s: m.s}, nil
}

func (m meter) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return histogram{name: name, s: m.s}, nil
}

type counter struct {
	embedded.Int64Counter
	name string
	s    *sums
}

func (k counter) Add(_ context.Context, n int64, o ...metric.AddOption) {
	k.s.add(k.name, metric.NewAddConfig(o).Attributes(), float64(n))
}
func (counter) Enabled(context.Context) bool { return true }

type histogram struct {
	embedded.Float64Histogram
	name string
	s    *sums
}

func (h histogram) Record(_ context.Context, v float64, o ...metric.RecordOption) {
	h.s.add(h.name, metric.NewRecordConfig(o).Attributes(), v)
}
func (histogram) Enabled(context.Context) bool { return true }

func TestReplaysAreCounted(t *testing.T) {
	s := &sums{of: map[string]float64{}}
	m, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"started ": 0, "ended result=done": 0, "ended result=failed": 0, "ended result=cancelled": 0}, s.of); diff != "" {
		t.Errorf("before anything was replayed (-want +got):\n%s", diff)
	}
	clock := time.Unix(1000, 0)
	m.now = func() time.Time { return clock }
	first, second, third := m.Begin(), m.Begin(), m.Begin()
	for _, d := range []replay.Diff{
		{Comparison: replay.Same, From: "allow", To: "allow"},
		{Comparison: replay.Flipped, From: "deny", To: "allow"},
		{Comparison: replay.Flipped, From: "allow", To: "deny"},
		{Comparison: replay.Flipped, From: "deny", To: "allow"},
		{Comparison: replay.Unreplayable},
	} {
		first.Compared(d)
	}
	clock = clock.Add(2 * time.Second)
	first.End(nil)
	clock = clock.Add(time.Second)
	second.End(errors.New("no history"))
	clock = clock.Add(time.Second)
	third.End(fmt.Errorf("replay: %w", context.Canceled))
	m.Begin().End(context.DeadlineExceeded)
	want := map[string]float64{
		"started ": 4, "ended result=done": 1, "ended result=failed": 1, "ended result=cancelled": 2,
		"operations comparison=same": 1, "operations comparison=flip": 3, "operations comparison=unreplayable": 1,
		"flips from=deny,to=allow": 2, "flips from=allow,to=deny": 1,
		"duration result=done": 2, "duration result=failed": 3, "duration result=cancelled": 4,
	}
	if diff := cmp.Diff(want, s.of); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if m, err = New(nil); err != nil {
		t.Fatal(err)
	}
	m.Begin().End(nil) // counts nothing, and does not fail
}

// What a replay is given as Each counts what the replay reports.
func TestCountsWhatIsReported(t *testing.T) {
	s := &sums{of: map[string]float64{}}
	m, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	run := m.Begin()
	report, err := replay.Run(t.Context(), replay.File("../testdata/march.ndjson.gz"), &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow}, replay.Each(run.Compared))
	run.End(err)
	if err != nil {
		t.Fatal(err)
	}
	counted := 0.0
	for name, n := range s.of {
		if strings.HasPrefix(name, "operations ") {
			counted += n
		}
	}
	if report.Operations() == 0 || counted != float64(report.Operations()) {
		t.Errorf("counted are %v, the report is of %d operations", s.of, report.Operations())
	}
}
