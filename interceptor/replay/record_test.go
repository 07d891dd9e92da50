// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
)

// A stageHand is a test under test.
type stageHand struct {
	testing.TB
	mu       sync.Mutex
	cleanups []func()
	errors   []string
	logs     []string
	failed   bool
	skipped  bool
}

func (s *stageHand) Helper()          {}
func (s *stageHand) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }
func (s *stageHand) Skipped() bool    { return s.skipped }
func (s *stageHand) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *stageHand) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = true
	s.errors = append(s.errors, fmt.Sprintf(format, args...))
}

func (s *stageHand) Logf(format string, args ...any) {
	s.logs = append(s.logs, fmt.Sprintf(format, args...))
}

func (s *stageHand) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	panic(s)
}

// end ends the test.
func (s *stageHand) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

func TestRecordOfFailedTests(t *testing.T) {
	for name, c := range map[string]struct {
		test  func(s *stageHand, path string)
		want  string // what the test fails with, if it does
		wrote bool
	}{
		"passes": {func(s *stageHand, path string) { (&screenplay{plan: oldPlan}).perform(t, replay.Record(s, path)) }, "", true},
		"fails": {func(s *stageHand, path string) {
			(&screenplay{plan: oldPlan}).perform(t, replay.Record(s, path))
			s.failed = true
		}, "", false},
		"fails, but is asked": {func(s *stageHand, path string) {
			(&screenplay{plan: oldPlan}).perform(t, replay.Record(s, path, replay.EvenIfFailed()))
			s.failed = true
		}, "", true},
		"is skipped": {func(s *stageHand, path string) {
			replay.Record(s, path)
			s.skipped = true
		}, "", false},
		"records nothing": {func(s *stageHand, path string) { replay.Record(s, path) }, "no operations", false},
		"is not over": {func(s *stageHand, path string) {
			rec := replay.Record(s, path)
			op := operation(t, 1, "web", "base:1")
			rec.Record(interceptor.Fact{Operation: op, Evaluation: &interceptor.Evaluation{UID: "e", Operation: op.UID, Phase: interceptor.Validate, Count: 1}})
		}, "under way", false},
		"events that cannot be": {func(s *stageHand, path string) {
			chain, err := interceptor.New(oldPlan(), replay.Record(s, path, replay.Events(activity.WithSchema("0.9.9"))))
			if err != nil {
				t.Fatal(err)
			}
			if out := chain.Run(t.Context(), operation(t, 1, "web", "base:1"), handler); out.Status.Code() != codes.Unavailable {
				t.Errorf("recorded in no version: %s", out.Status)
			}
			if err := chain.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}, "0.9.9", false},
		"cannot write": {func(s *stageHand, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			(&screenplay{plan: oldPlan}).perform(t, replay.Record(s, path))
		}, "x.ndjson", false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.ndjson")
			s := &stageHand{}
			c.test(s, path)
			s.end()
			if all := strings.Join(s.errors, "\n"); (c.want == "") != (all == "") || !strings.Contains(all, c.want) {
				t.Errorf("it says %q, want %q", all, c.want)
			}
			if info, err := os.Stat(path); (err == nil && info.Mode().IsRegular()) != c.wrote {
				t.Errorf("wrote: %v, %v", info, err)
			}
			if left, _ := filepath.Glob(path + ".tmp*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
