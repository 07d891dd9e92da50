// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/judge"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// story makes an epoch in which some operations are whole and some are not, and
// returns it with the uids of the findings that are due at its end.
func story(t *testing.T, r *rapid.T) (events []store.Entry, due []string) {
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	events = append(events, e.Start())
	for range rapid.IntRange(1, 3).Draw(r, "operations") {
		operation, evaluation := storetest.NewUID(), storetest.NewUID()
		events = append(events, e.API(profile.KindEvaluation, operation, evaluation))
		result, outcome := rapid.Bool().Draw(r, "result"), rapid.Bool().Draw(r, "outcome")
		if result {
			events = append(events, e.API(profile.KindResult, operation, evaluation))
		}
		if outcome {
			events = append(events, e.API(profile.KindOutcome, operation, ""))
		}
		if !result || !outcome {
			due = append(due, "dangling:"+operation)
		}
	}
	events = append(events, e.Stop())
	slices.Sort(due)
	return events, due
}

// However the events of an epoch are cut into commits, and wherever the
// collector starts again, with its last snapshot, an older one or none, it tells
// what is due, all of it and nothing else.
func TestSnapshots(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "snapshots")
		if err != nil {
			r.Fatalf("make a directory: %v", err)
		}
		l, err := lake.Open(dir+"/lake", lake.Options{})
		if err != nil {
			r.Fatalf("open lake: %v", err)
		}
		defer func() { _ = l.Close() }()
		events, due := story(t, r)
		told := make(map[string]int)
		own := storetest.NewEpoch(t, "acme", "collector-0")
		var findings []store.Entry // on their way
		start := func() *Collector {
			c := &Collector{judge: judge.New(profile.Prefix, l)}
			c.cfg = Config{Store: l, DataDir: dir, Emitter: own.Emitter, Findings: func(_ context.Context, event ocsf.Event) {
				told[event.(*ocsf.DetectionFinding).FindingInfo.UID]++
				findings = append(findings, own.Seal(event))
			}}.withDefaults()
			c.log, c.status.caughtUp = c.cfg.Logger, true
			if c.metrics, err = newMetrics(c.cfg.MeterProvider); err != nil {
				r.Fatalf("make metrics: %v", err)
			}
			c.epochs, c.holes = newFollowers(c), newHoles(c)
			if err := c.epochs.restore(t.Context()); err != nil {
				r.Fatalf("restore: %v", err)
			}
			return c
		}
		c := start()
		commit := func(entries []store.Entry, cutOff bool) {
			done, err := l.Commit(t.Context(), store.Batch{Entries: entries})
			if err != nil {
				r.Fatalf("commit: %v", err)
			}
			if cutOff {
				c.epochs.doubt(epochsOf(&store.Batch{Entries: entries}))
				c.epochs.refresh()
				done = store.Committed{}
			}
			if err := c.follow(t.Context(), done, nil); err != nil {
				r.Fatalf("follow: %v", err)
			}
		}
		for len(events) > 0 {
			n := min(len(events), rapid.IntRange(1, 6).Draw(r, "commit"))
			batch := slices.Clone(events[:n])
			events = events[n:]
			if len(events) > 0 && rapid.Bool().Draw(r, "a hole") {
				batch, events[0] = append(batch, events[0]), batch[len(batch)-1]
				batch = slices.Delete(batch, len(batch)-2, len(batch)-1)
			}
			commit(batch, rapid.Bool().Draw(r, "cut off"))
			switch rapid.SampledFrom([]string{"go on", "go on", "stop", "kill", "lose"}).Draw(r, "then") {
			case "stop":
				c.epochs.save()
				c = start()
			case "kill":
				c = start()
			case "lose":
				_ = os.Remove(filepath.Join(dir, snapshotName))
				c = start()
			}
			if err := c.follow(t.Context(), store.Committed{}, nil); err != nil {
				r.Fatalf("follow: %v", err)
			}
		}
		for len(findings) > 0 {
			batch := slices.Clone(findings)
			findings = nil
			commit(batch, false)
		}
		if d := cmp.Diff(due, slices.Sorted(maps.Keys(told)), cmpopts.EquateEmpty()); d != "" {
			r.Fatalf("told (-due +told):\n%s", d)
		}
	})
}
