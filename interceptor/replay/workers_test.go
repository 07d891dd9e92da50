// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
)

// longer is a history of n times the requests.
func longer(t testing.TB, n int) *history {
	t.Helper()
	h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	h.run(t, oldPlan(), func(chain *interceptor.Chain) {
		for i := range n * len(requests) {
			r := requests[i%len(requests)]
			chain.Run(context.Background(), operation(t, i+1, r.name, r.image), handler)
		}
	})
	return h
}

func tightPlan() *interceptor.Plan {
	return planOf(naming(), images("base:1", "evil:1"), quota(), watch())
}

func reportOf(t testing.TB, h replay.Source, opts ...replay.Option) string {
	t.Helper()
	r, err := replay.Run(context.Background(), h, tightPlan(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDeterministic wants the same bytes from any number of workers on any number
// of processors, a hundred times.
func TestDeterministic(t *testing.T) {
	h := longer(t, 4)
	want := reportOf(t, h)
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for run := range 100 / slower {
		runtime.GOMAXPROCS(1 + run%4)
		if got := reportOf(t, h, replay.Workers(1+run%8)); got != want {
			t.Fatalf("run %d with %d workers (-first +this):\n%s", run, 1+run%8, cmp.Diff(want, got))
		}
	}
}

// TestEach is told of operations in the order of the record.
func TestEach(t *testing.T) {
	h := longer(t, 4)
	var want, got []string
	for op, err := range activity.Operations(h.Events(context.Background(), "")) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, string(op.UID))
	}
	reportOf(t, h, replay.Workers(4), replay.Each(func(d replay.Diff) { got = append(got, d.Operation) }))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A failing is a source that fails after so many events.
type failing struct {
	*history
	after int
	err   error
}

func (f failing) Events(ctx context.Context, where string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		n := 0
		for raw, err := range f.history.Events(ctx, where) {
			if n++; n > f.after {
				yield(nil, f.err)
				return
			}
			if !yield(raw, err) {
				return
			}
		}
	}
}

// TestBrokenOff fails, and leaves nobody behind, whatever fails.
func TestBrokenOff(t *testing.T) {
	h := longer(t, 20)
	fire := errors.New("on fire")
	for _, workers := range []int{1, 3} {
		if _, err := replay.Run(context.Background(), failing{h, 200, fire}, oldPlan(), replay.Workers(workers)); !errors.Is(err, fire) {
			t.Errorf("the source fails: %v", err)
		}
		if _, err := replay.Run(context.Background(), h, oldPlan(), replay.Workers(workers), replay.Checkpoint(3, func(*replay.Report) error { return fire })); !errors.Is(err, fire) {
			t.Errorf("saving fails: %v", err)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		n := 0
		_, err := replay.Run(ctx, h, oldPlan(), replay.Workers(workers), replay.Each(func(replay.Diff) {
			if n++; n == 10 {
				cancel(fire)
			}
		}))
		if !errors.Is(err, fire) {
			t.Errorf("cancelled: %v", err)
		}
		_, err = replay.Run(context.Background(), h, nil, replay.Workers(workers), replay.Recorded(func(string) (*interceptor.Plan, error) { return nil, fire }))
		if !errors.Is(err, fire) {
			t.Errorf("no plan: %v", err)
		}
	}
	stop := errors.New("that will do")
	seen := 0
	_, err := replay.Run(context.Background(), h, oldPlan(), replay.Workers(4), replay.Observe(func(_ context.Context, m *replay.Moment) error {
		if seen++; seen == 5 {
			return stop
		}
		return nil
	}))
	if !errors.Is(err, stop) || seen != 5 {
		t.Errorf("observed %d moments: %v", seen, err)
	}
}

// TestEachEndsItsGoroutine: what was taken until then does not pass for the whole,
// and nobody waits for the rest.
func TestEachEndsItsGoroutine(t *testing.T) {
	for _, times := range []int{1, 30} {
		r, err := replay.Run(t.Context(), longer(t, times), oldPlan(), replay.Workers(2), replay.Each(func(replay.Diff) { runtime.Goexit() }))
		if err == nil || r != nil {
			t.Errorf("%v, %v", r, err)
		}
	}
}

// TestResume goes on from each checkpoint, and comes to the same.
func TestResume(t *testing.T) {
	h := longer(t, 3)
	calls := func(opts ...replay.Option) (string, int64) {
		n, i, q, w := naming(), images("base:1"), quota(), watch()
		r, err := replay.Run(context.Background(), h, planOf(n, i, q, w), opts...)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(b), n.calls.Load() + i.calls.Load() + q.calls.Load() + w.calls.Load()
	}
	want, all := calls()
	rapid.Check(t, func(t *rapid.T) {
		every := rapid.IntRange(1, 3*len(requests)).Draw(t, "every")
		var saved []byte
		var before int64
		calls(replay.Checkpoint(every, func(r *replay.Report) error {
			if saved == nil {
				saved, _ = json.Marshal(r)
				before = int64(r.Reexecuted)
			}
			return nil
		}))
		var report replay.Report
		if err := json.Unmarshal(saved, &report); err != nil {
			t.Fatal(err)
		}
		got, rest := calls(replay.Resume(&report), replay.Workers(rapid.IntRange(1, 3).Draw(t, "workers")))
		if got != want || before+rest != all {
			t.Fatalf("%d calls before, %d after, want %d (-whole +resumed):\n%s", before, rest, all, cmp.Diff(want, got))
		}
	})
}

// TestResumeOfWhatDoesNotAddUp: a report that was changed is not gone on with.
func TestResumeOfWhatDoesNotAddUp(t *testing.T) {
	whole := reportOf(t, record(t, oldPlan()))
	for name, change := range map[string]func(*replay.Report){
		"less than none":          func(r *replay.Report) { r.Same = -r.Same },
		"evaluations":             func(r *replay.Report) { r.Linked++ },
		"more same":               func(r *replay.Report) { r.Same++ },
		"flips without groups":    func(r *replay.Report) { r.Groups = nil },
		"groups without flips":    func(r *replay.Report) { r.Same, r.Flips = r.Same+r.Flips, 0 },
		"a group twice":           func(r *replay.Report) { r.Groups = append(r.Groups, r.Groups[0]) },
		"a group of nothing":      func(r *replay.Report) { r.Groups[0].Count = 0 },
		"no known difference":     func(r *replay.Report) { r.Groups[0].Comparison = "none" },
		"a stratum twice":         func(r *replay.Report) { r.Strata = append(r.Strata, r.Strata[0]) },
		"no strata":               func(r *replay.Report) { r.Strata = nil },
		"a stratum with too many": func(r *replay.Report) { r.Strata[0].Operations++ },
	} {
		var r replay.Report
		if err := json.Unmarshal([]byte(whole), &r); err != nil {
			t.Fatal(err)
		}
		change(&r)
		if _, err := replay.Run(t.Context(), record(t, oldPlan()), tightPlan(), replay.Resume(&r)); !errors.Is(err, replay.ErrUnsound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
