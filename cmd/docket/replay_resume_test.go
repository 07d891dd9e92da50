// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/interceptor"
)

// A stopper denies every seventh box. Its first call for one of them does not
// return before the caller has gone.
type stopper struct {
	interceptor.Func
	reached chan struct{} // closed when that call has come

	mu    sync.Mutex
	calls map[int]int // by box
	at    int
}

func stopping(at int) *stopper {
	s := &stopper{reached: make(chan struct{}), calls: map[int]int{}, at: at}
	s.Func = func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if e.Phase != interceptor.Validate {
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		}
		name, _ := e.Payload.Lookup("/name")
		box, err := strconv.Atoi(strings.TrimPrefix(fmt.Sprint(name), "box-"))
		if err != nil {
			return nil, err
		}
		if s.called(box) {
			close(s.reached)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if box%7 == 0 {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "every seventh"}, nil
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}
	return s
}

// called counts a call, and says whether it is the one that stops.
func (s *stopper) called(box int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[box]++
	if box != s.at {
		return false
	}
	s.at = -1
	return true
}

// twice returns how many boxes were judged more often than once.
func (s *stopper) twice(from, to int) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for box := from; box < to; box++ {
		if s.calls[box] > 1 {
			n++
		}
	}
	return n
}

// candidateAt writes a chain file with one interceptor.
func candidateAt(t *testing.T, endpoint string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "chain.toml")
	writeFile(t, file, "[gateway]\nunmatched = \"allow\"\n[[interceptors]]\nname = \"boxes\"\ngrpc_endpoint = \""+endpoint+"\"\n")
	return file
}

// A replay that was killed, or interrupted, goes on from its last state: the report
// is that of one that was not, and who judges is not asked again for more than
// what that state does not have.
func TestReplayResumes(t *testing.T) {
	const all, at = 2600, 1500
	dir := recorded(t, all, bindingOf("boxes", "", allowing(), nil))
	// One endpoint, so that the plan is the same; the stopper behind it is another
	// for each case.
	endpoint := endpointIn(t, "boxes.sock")
	candidate := candidateAt(t, endpoint)
	stop := serveJudge(t, endpoint, stopping(-1))
	want, _, code := docketRun("replay", "--data", dir, "--chain", candidate, "-o", "json")
	if code != cli.ExitFound || !strings.Contains(want, `"flips": 372,`) {
		t.Fatalf("exit %d\n%.300s", code, want)
	}
	stop()
	for _, c := range []struct {
		name   string
		signal os.Signal
		kept   int // operations in the state
	}{
		{"killed", os.Kill, 1000},
		{"interrupted", os.Interrupt, at},
	} {
		t.Run(c.name, func(t *testing.T) {
			boxes := stopping(at)
			defer serveJudge(t, endpoint, boxes)()
			state := filepath.Join(t.TempDir(), "replay.state")
			args := []string{"replay", "--data", dir, "--chain", candidate, "-o", "json", "--resume", state}
			cmd := exec.Command("docket", args...)
			var part, said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &part, &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-boxes.reached
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("%v\n%s", err, said.String())
			}
			if c.signal == os.Interrupt {
				if exit.ExitCode() != cli.ExitPartial || !strings.Contains(part.String(), `"incomplete": true`) || !strings.Contains(said.String(), "docket: interrupted: the report is of 1,500 operations") {
					t.Errorf("interrupted: exit %d, %.300s\n%s", exit.ExitCode(), part.String(), said.String())
				}
			}
			s, err := readState(state)
			if err != nil || s == nil || s.Report.Operations() != c.kept {
				t.Fatalf("state %+v, %v", s, err)
			}
			if !underRace {
				refusals(t, state, dir, candidate)
			}
			got, stderr, code := docketRun(args...)
			if code != cli.ExitFound {
				t.Errorf("gone on with: exit %d\n%s", code, stderr)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("report (-whole +gone on with):\n%s", diff)
			}
			if n := boxes.twice(0, c.kept); n != 0 {
				t.Errorf("%d operations of the state were judged again", n)
			}
			if n := boxes.twice(c.kept, all); n == 0 || n > checkpointEvery {
				t.Errorf("%d operations were judged again", n)
			}
			if _, err := os.Stat(state); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the state is still there: %v", err)
			}
		})
	}
}

// refusals goes on with a state in ways that are refused, and leave it as it is.
func refusals(t *testing.T, state, dir, candidate string) {
	t.Helper()
	before := string(readFile(t, state))
	shorter := recorded(t, 400, bindingOf("boxes", "", allowing(), nil))
	another := recorded(t, 2600, bindingOf("boxes", "", allowing(), nil))
	writeFile(t, filepath.Join(another, "keys", "ledger.vkey"), "another store")
	other := filepath.Join(t.TempDir(), "other.toml")
	writeFile(t, other, strings.ReplaceAll(string(readFile(t, candidate)), `"allow"`, `"deny"`))
	for _, c := range []struct {
		want string
		args []string
	}{
		{`--where was "", and is "tenant == \"acme\""`, []string{"--data", dir, "--chain", candidate, "--where", `tenant == "acme"`}},
		{`--since was "", and is "30d"`, []string{"--data", dir, "--chain", candidate, "--since", "30d"}},
		{"the candidate was ", []string{"--data", dir, "--chain", other}},
		{`--sample was "0", and is "3"`, []string{"--data", dir, "--chain", candidate, "--sample", "3"}},
		{"the history is not what it was", []string{"--data", shorter, "--chain", candidate}},
		{"the history is not what it was", []string{"--data", another, "--chain", candidate}},
	} {
		_, stderr, code := docketRun(append([]string{"replay", "--resume", state}, c.args...)...)
		if code != cli.ExitFailure || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "remove the file to begin anew") {
			t.Errorf("%q: exit %d\n%s", c.args, code, stderr)
		}
	}
	if after := string(readFile(t, state)); after != before {
		t.Error("a refusal changed the state")
	}
}

func TestReplayStateIsRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state")
	if s, err := readState(name); s != nil || err != nil {
		t.Errorf("none: %v, %v", s, err)
	}
	for text, want := range map[string]string{
		"":                           "is no state of a replay",
		"{}":                         "is no state of a replay",
		`{"version":1}`:              "is no state of a replay",
		`{"version":99,"report":{}}`: "is of form 99, and this docket knows 1",
	} {
		writeFile(t, name, text)
		if _, err := readState(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	good, err := json.Marshal(&replayState{Version: stateVersion, Replayed: "zz"})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, name, strings.Replace(string(good), `"report":null`, `"report":{}`, 1))
	s, err := readState(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newKeeper(name, s, true); err == nil {
		t.Error("a mangled hash was taken")
	}
}

// A sample is of the same operations when it is gone on with, also with the seed
// that nobody gave.
func TestReplayResumesASample(t *testing.T) {
	dir := recorded(t, 300, bindingOf("boxes", "", allowing(), nil))
	endpoint := endpointIn(t, "boxes.sock")
	candidate := candidateAt(t, endpoint)
	boxes := stopping(-1)
	stop := serveJudge(t, endpoint, boxes)
	args := []string{"replay", "--data", dir, "--chain", candidate, "-o", "json", "--sample", "40"}
	want, _, code := docketRun(append(args, "--seed", "5")...)
	var report struct{ Same, Flips int }
	if err := json.Unmarshal([]byte(want), &report); err != nil || report.Same+report.Flips != 40 || code != cli.ExitFound {
		t.Fatalf("exit %d, %+v, %v", code, report, err)
	}
	state := filepath.Join(t.TempDir(), "replay.state")
	_, _, again := docketRun(append(args, "--seed", "5", "--resume", state)...)
	if again != cli.ExitFound {
		t.Errorf("with a state: exit %d", again)
	}
	stop()

	// Of the forty one is under way when it is interrupted: any of them, since every
	// one was judged twice by now.
	last := -1
	for box, n := range boxes.calls {
		if n == 2 {
			last = max(last, box)
		}
	}
	boxes = stopping(last)
	stop = serveJudge(t, endpoint, boxes)
	cmd := exec.Command("docket", append(args, "--seed", "5", "--resume", state)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-boxes.reached
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it was not interrupted")
	}
	more := recorded(t, 299, bindingOf("boxes", "", allowing(), nil))
	if _, stderr, code := docketRun("replay", "--data", more, "--chain", candidate, "--sample", "40", "--resume", state); code != cli.ExitFailure || !strings.Contains(stderr, "the history is not what it was") {
		t.Errorf("a sample of another history: exit %d\n%s", code, stderr)
	}
	got, stderr, code := docketRun(append(args, "--resume", state)...)
	if code != cli.ExitFound {
		t.Errorf("gone on with: exit %d\n%s", code, stderr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-whole +gone on with):\n%s", diff)
	}
	if boxes.twice(0, last) != 0 {
		t.Error("operations of the state were judged again")
	}
	stop()
}

// Without a file the report so far is printed, and said to be a part.
func TestReplayInterrupted(t *testing.T) {
	dir := recorded(t, 50, bindingOf("boxes", "", allowing(), nil))
	endpoint := endpointIn(t, "boxes.sock")
	boxes := stopping(30)
	serveJudge(t, endpoint, boxes)
	cmd := exec.Command("docket", "replay", "--data", dir, "--chain", candidateAt(t, endpoint))
	var part, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &part, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-boxes.reached
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != cli.ExitPartial {
		t.Errorf("ended with %v", err)
	}
	for _, want := range []string{"| same 25 | allow->deny 5 |", "\n" + incompleteNote + "\n"} {
		if !strings.Contains(part.String(), want) {
			t.Errorf("no %q in\n%s", want, part.String())
		}
	}
	if want := "docket: interrupted: the report is of 30 operations, and there are more\nhint: --resume FILE"; !strings.Contains(said.String(), want) {
		t.Errorf("no %q in\n%s", want, said.String())
	}
}
