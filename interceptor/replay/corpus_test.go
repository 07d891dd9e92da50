// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
)

// TestCorpus replays each cassette of the corpus through the plan that it was
// recorded under and through a changed one, and compares the reports with those of
// the first day, byte by byte. What somebody recorded once is read for ever, and
// comes out as it did.
//
// So nothing here updates a file that is there. Who has a new kind of operation
// adds a screenplay (screenplay_test.go) under a new name and runs this test: it
// writes what is missing, and fails so that somebody looks at it. A new format of
// cassettes gets a directory of its own, beside the others.
func TestCorpus(t *testing.T) {
	newest := filepath.Join("testdata", "corpus", fmt.Sprintf("v%d", replay.CassetteFormat))
	plays := screenplays(t)
	for name, play := range plays {
		makeMissing(t, filepath.Join(newest, name+".ndjson"), func() []byte {
			var b bytes.Buffer
			play.cassette(t, &b)
			return b.Bytes()
		})
	}
	cassettes, err := filepath.Glob(filepath.Join("testdata", "corpus", "v*", "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	if len(cassettes) < len(plays) {
		t.Errorf("%d cassettes of %d failureKinds of operations", len(cassettes), len(plays))
	}
	for _, path := range cassettes {
		name := strings.TrimSuffix(filepath.Base(path), ".ndjson")
		t.Run(name, func(t *testing.T) {
			play, ok := plays[name]
			if !ok {
				t.Fatalf("%s has no screenplay, and so no plan", path)
			}
			got := reports(t, play, replay.File(path))
			makeMissing(t, strings.TrimSuffix(path, ".ndjson")+".report.json", func() []byte { return got })
			want, err := os.ReadFile(strings.TrimSuffix(path, ".ndjson") + ".report.json")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, got) {
				t.Errorf("the reports are not those of the first day (-then +now):\n%s", cmp.Diff(string(want), string(got)))
			}
			// What is recorded today of the same comes out the same.
			var again bytes.Buffer
			play.cassette(t, &again)
			if now := reports(t, play, lines(again.Bytes())); !bytes.Equal(got, now) {
				t.Errorf("recorded anew it comes out otherwise (-corpus +anew):\n%s", cmp.Diff(string(got), string(now)))
			}
		})
	}
	left, err := filepath.Glob(filepath.Join("testdata", "corpus", "v*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, report := range left {
		if !slices.Contains(cassettes, strings.TrimSuffix(report, ".report.json")+".ndjson") {
			t.Errorf("%s is of no cassette", report)
		}
	}
}

// makeMissing writes a file if it is not there, which fails the test: it is to be looked
// at, and kept.
func makeMissing(t *testing.T, path string, content func() []byte) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Errorf("%s was not there and is made: look at it and commit it", path)
}

// reports are the reports on a screenplay's two plans, as the corpus has them.
func reports(t *testing.T, play *screenplay, source replay.Source) []byte {
	t.Helper()
	var r struct {
		Unchanged *replay.Report `json:"unchanged"`
		Changed   *replay.Report `json:"changed"`
	}
	for plan, to := range map[*interceptor.Plan]**replay.Report{play.plan(): &r.Unchanged, play.changed(): &r.Changed} {
		report, err := replay.Run(t.Context(), source, plan)
		if err != nil {
			t.Fatal(err)
		}
		*to = report
	}
	if r.Unchanged.Differs() {
		t.Errorf("the plan that was recorded differs from itself: %s", r.Unchanged)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(&r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCorpusCovers: the corpus has what it is said to have.
func TestCorpusCovers(t *testing.T) {
	found := map[string]bool{}
	for name := range screenplays(t) {
		source := replay.File(filepath.Join("testdata", "corpus", "v1", name+".ndjson"))
		for op, err := range activity.Operations(source.Events(t.Context(), "")) {
			if err != nil {
				t.Fatal(err)
			}
			note := func(what string, is bool) { found[what] = found[what] || is }
			note("cut off", op.Outcome == nil)
			note("patches truncated", op.Truncated)
			for i := range op.Evaluations {
				e := &op.Evaluations[i]
				if e.Failure != nil {
					note(fmt.Sprintf("%s %s", e.Failure.Kind, e.Failure.Policy), true)
				}
				if e.Result != nil {
					note(e.Result.Decision.String(), true)
					note("several patches", len(e.Result.Patches) > 1)
					note("sets metadata", len(e.Result.Metadata) > 0)
					note("violation", e.Result.Violation != "")
				}
				note("shadow", e.Shadow)
				note("post_commit", e.Phase == interceptor.PostCommit)
				note("current state", e.State != nil)
				note("metadata", len(e.Metadata) > 0)
				note("attributes", len(e.Attributes) > 0)
				note("redacted", e.Redacted)
				note("result truncated", e.Truncated)
				note("input missing", e.Missing != "")
			}
			if op.Outcome == nil {
				continue
			}
			for _, p := range op.Outcome.Parts {
				note("principal does not select", p.Skipped == "selector: principal")
				note("label does not select", p.Skipped == "selector: label env")
			}
		}
	}
	want := []string{
		"allow", "deny", "modify", "several patches", "sets metadata", "violation", "shadow", "post_commit", "current state", "metadata", "attributes",
		"redacted", "result truncated", "patches truncated", "input missing", "cut off", "principal does not select", "label does not select",
		"cancelled fail_open", "unavailable fail_open", "timeout ignore",
	}
	for _, k := range failureKinds {
		want = append(want, string(k)+" fail_open", string(k)+" fail_closed")
	}
	for _, what := range want {
		if !found[what] {
			t.Errorf("no operation of the corpus has: %s", what)
		}
	}
}
