// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/interceptor"
)

// capitals puts names into capitals.
func capitals(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	v, _ := e.Payload.Lookup("/name")
	name, _ := v.(string)
	upper, err := json.Marshal(strings.ToUpper(name))
	if err != nil {
		return nil, err
	}
	return &interceptor.Result{
		Decision: interceptor.Modify, Annotations: map[string]string{"rule": "capitals"},
		Patches: []interceptor.Patch{{Op: "replace", Path: "/name", Value: upper}, {Op: "add", Path: "/list", Value: json.RawMessage(`[1]`)}},
	}, nil
}

// stepped makes a directory of operations that naming patches and names judges.
func stepped(t *testing.T) (dir, at string) {
	t.Helper()
	at = endpointIn(t, "names.sock")
	naming := bindingOf("naming", "", interceptor.Func(capitals), nil)
	naming.Phases = []interceptor.Phase{interceptor.ModifyOperation}
	watch := bindingOf("watch", "", allowing(), nil)
	watch.Phases = []interceptor.Phase{interceptor.PostCommit}
	return recordedBy(t, naming, bindingOf("names", at, refusing("BOX-3"), nil), watch), at
}

func step(t *testing.T, dir string, n int, commands ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	err := runStep(t.Context(), stepOptions{dir: dir, uid: recordedUID(n), stdin: strings.NewReader(strings.Join(commands, "\n")), stdout: &out, stderr: &errs})
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	return out.String()
}

// Bindings without an implementation are answered for from the record, those
// with one are asked, and what comes from either is escaped.
func TestStep(t *testing.T) {
	dir, at := stepped(t)
	serveJudge(t, at, refusing("BOX-3"))
	got := step(t, dir, 3, "w", "state", "metadata", "attributes", "principal", "patches", "next", "patches", "r", "n", "input", "input /name", "input /nothing", "input diff", "n", "result", "where", "n")
	wantLines(t, got,
		"then: deny by names/names in validate: BOX-3 \\x1b[2Jis \\u202etaken\n",
		"before naming/naming in modify_operation, 1 of 1\n",
		"  it has no implementation here: it is answered for from the record\n",
		"->  naming/naming  modify_operation  (before)  then modify\n",
		"    names/names    validate                    then deny\n",
		"    watch/watch    post_commit                 then not called\n",
		"it is shown no current state\n", "it is shown no metadata\n", "it is shown no attributes\n", "the record does not say who asks\n",
		"it was not called yet; `next` calls it\n",
		"after naming/naming in modify_operation: modify, 2 patches\n",
		"  answered from the record\n",
		`replace /name "BOX-3"`+"\n", "which makes of the payload:\n  + /list [1]\n  - /name \"box-3\"\n  + /name \"BOX-3\"\n",
		"        note rule: capitals\n",
		"before names/names in validate, 1 of 1\n",
		"{\n  \"list\": [\n    1\n  ],\n  \"name\": \"BOX-3\"\n}\n", "\"BOX-3\"\n", "nothing is at /nothing\n", "it is shown what it was shown then\n",
		"after names/names in validate: deny: BOX-3 \\x1b[2Jis \\u202etaken\n",
		"  re-executed by its service\n",
		"now:  deny: BOX-3 \\x1b[2Jis \\u202etaken\n        status FAILED_PRECONDITION\nthen: deny: BOX-3",
		"->  names/names    validate          deny    then deny\n",
		"end of the operation\n", "now:  deny by names/names in validate: BOX-3 \\x1b[2Jis", "operation "+recordedUID(3)+": same\n")

	// Post_commit is stopped at as well, and what it says then is told.
	got = step(t, dir, 4, "break watch:post_commit", "c", "n", "c")
	wantLines(t, got, "breakpoint 1: watch:post_commit\nbefore watch/watch in post_commit, 1 of 1\n", "after watch/watch in post_commit: allow\n", "now:  modify\n")
}

// What a binding answers now is beside what it answered then, and the difference
// is in the end.
func TestStepShowsDifferences(t *testing.T) {
	dir, at := stepped(t)
	serveJudge(t, at, refusing("BOX-4"))
	got := step(t, dir, 4, "b names", "c", "n", "r", "c")
	wantLines(t, got, "then: modify\n", "now:  deny: BOX-4", "then: allow\n", "now:  deny by names/names in validate: BOX-4", "operation "+recordedUID(4)+": modify -> deny by names/names\n", "  first other answer: names/names in validate\n")
	got = step(t, dir, 3, "c")
	wantLines(t, got, "then: deny by names/names", "now:  modify\n", "operation "+recordedUID(3)+": deny -> modify by names/names\n")
}

func TestStepBreakpoints(t *testing.T) {
	dir, at := stepped(t)
	serveJudge(t, at, refusing("BOX-3"))
	got := step(t, dir, 3, "break list", "break", "break names/names:validate", "break naming/names", "break names:post_commit", "break list", "delete 1", "delete 7", "delete x", "break list", "c", "delete all", "break list", "c")
	wantLines(t, got, "no breakpoints\nbreakpoint 1: naming/naming\nbreakpoint 2: names/names:validate\n",
		"no binding of this operation is naming/names; `where` lists them\nno binding of this operation is names:post_commit;",
		"1  naming/naming\n2  names/names:validate\nno breakpoint \"7\"; `break list` lists them\nno breakpoint \"x\"",
		"1  names/names:validate\nbefore names/names in validate, 1 of 1\nno breakpoints\nend of the operation\n")
}

// Whatever ends the commands ends the replay: quit, the end of the input, and
// ^C, while a command is waited for.
func TestStepEnds(t *testing.T) {
	dir, _ := stepped(t)
	for _, commands := range [][]string{{"q"}, {"abort", "n"}, {"quit"}, {"n", "exit"}, nil, {"n"}} {
		if got := step(t, dir, 3, commands...); !strings.HasSuffix(got, "\naborted\n") || strings.Contains(got, "end of") {
			t.Errorf("%v: %s", commands, got)
		}
	}
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() {
		done <- runStep(ctx, stepOptions{dir: dir, uid: recordedUID(3), stdin: r, stdout: &out, stderr: io.Discard})
	}()
	if _, err := io.WriteString(w, "where\n"); err != nil { // it is read when the replay has stopped
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil || !strings.HasSuffix(out.String(), "aborted\n") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// An output that is gone ends it, and is told.
func TestStepOutputGone(t *testing.T) {
	dir, _ := stepped(t)
	gone := errors.New("gone")
	err := runStep(t.Context(), stepOptions{dir: dir, uid: recordedUID(3), stdin: strings.NewReader("where\nnext\n"), stdout: broken{gone}, stderr: io.Discard})
	if !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

type broken struct{ error }

func (b broken) Write([]byte) (int, error) { return 0, b.error }

// Colours are used where they are asked for and not where NO_COLOR is.
func TestStepColours(t *testing.T) {
	dir, at := stepped(t)
	serveJudge(t, at, refusing("BOX-3"))
	t.Setenv("NO_COLOR", "")
	t.Setenv("CLICOLOR_FORCE", "1")
	if got := step(t, dir, 3, "n", "n", "n", "c"); !strings.Contains(got, "\x1b[31mafter names/names in validate: deny: BOX-3 \\x1b[2J") || !strings.Contains(got, "\x1b[33mafter naming/naming") {
		t.Errorf("%q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := step(t, dir, 3, "n", "n", "n", "c"); strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

func TestStepUsage(t *testing.T) {
	dir, _ := stepped(t)
	for _, args := range [][]string{{"--step", ""}, {"--step", recordedUID(3), "-o", "json"}, {"--step", recordedUID(3), "--filter", "true"}} {
		if _, stderr, code := docketRun(append([]string{"replay", "--data", dir}, args...)...); code != cli.ExitUsage || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%v: exit %d: %s", args, code, stderr)
		}
	}
}
