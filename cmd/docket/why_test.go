// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay/why"
)

// The uid of the n-th operation that recordedBy makes.
func recordedUID(n int) string { return fmt.Sprintf("0199d0aa-3000-7000-8000-%012d", n) }

// refusing denies operations of a name, for a reason that would move a terminal.
func refusing(name string) interceptor.Func {
	return func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if v, _ := e.Payload.Lookup("/name"); v == name {
			return &interceptor.Result{Decision: interceptor.Deny, StatusCode: "FAILED_PRECONDITION", Reason: name + " \x1b[2Jis \u202etaken"}, nil
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}
}

func wantLines(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains("\n"+got, "\n"+line) {
			t.Errorf("no line that begins %q in\n%s", line, got)
		}
	}
	if i := strings.IndexAny(got, "\x1b\u202e"); i >= 0 {
		t.Errorf("unescaped at %d: %q", i, got)
	}
}

// An operation is explained by the interceptor that the recorded plan names, for
// as long as that answers, and then by the record alone.
func TestWhyAsksTheRecordedEndpoints(t *testing.T) {
	at := endpointIn(t, "names.sock")
	dir := recordedBy(t, bindingOf("names", at, refusing("box-3"), nil))
	stop := serveJudge(t, at, refusing("box-3"))
	stdout, stderr, code := docketRun("why", "--data", dir, recordedUID(3))
	if code != cli.ExitOK || !strings.Contains(stderr, "docket: dialled: names at "+at) {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	wantLines(t, stdout,
		"operation "+recordedUID(3)+": boxes.v1.Boxes/CreateBox of acme\n",
		"denied by names/names in validate, with FAILED_PRECONDITION (plan sha256:",
		`because: box-3 \x1b[2Jis \u202etaken`+"\n",
		`decisive fields: /name "box-3"`+"\n",
		`smallest change that would have been allowed: replace /name "box-0"   (seen in 1 allowed operation)`+"\n",
		"searched: ")

	stdout, _, code = docketRun("why", "--data", dir, "-o", "json", recordedUID(3))
	var a why.Answer
	if err := json.Unmarshal([]byte(stdout), &a); err != nil || code != cli.ExitOK {
		t.Fatalf("exit %d, %v: %s", code, err, stdout)
	}
	if a.Change == nil || len(a.Change.Patches) != 1 || string(a.Change.Patches[0].Value) != `"box-0"` || a.Search.Allowed != operations-1 || a.Now.How != why.ReExecuted {
		t.Errorf("%s", stdout)
	}

	stop()
	stdout, stderr, code = docketRun("why", "--data", dir, recordedUID(3))
	if code != cli.ExitOK || !strings.Contains(stderr, "does not answer") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	wantLines(t, stdout, "denied by names/names in validate", "because: box-3")
	if !strings.Contains(stdout, "answered from the record: it has no implementation here") || strings.Contains(stdout, "change") {
		t.Errorf("%s", stdout)
	}
}

// An operation is found by the uid of any of its events, and of its evaluation.
func TestOperationsAreFoundByEvents(t *testing.T) {
	dir := recordedBy(t, bindingOf("names", "", refusing("box-3"), nil))
	client, err := reading.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	uids := map[string]bool{}
	for raw, err := range client.Tail(t.Context(), -1, false, `operation_uid == "`+recordedUID(3)+`"`) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := activity.Read(raw)
		if err != nil {
			t.Fatal(err)
		}
		uids[r.Header.MetadataUID] = true
		if r.Header.EvaluationUID != "" {
			uids[r.Header.EvaluationUID] = true
		}
	}
	client.Close()
	if len(uids) != 4 { // evaluation, result and outcome, and the evaluation itself
		t.Fatalf("%d uids: %v", len(uids), uids)
	}
	for uid := range uids {
		stdout, stderr, code := docketRun("why", "--data", dir, uid)
		if code != cli.ExitOK || !strings.HasPrefix(stdout, "operation "+recordedUID(3)+":") {
			t.Errorf("%s: exit %d\n%s%s", uid, code, stdout, stderr)
		}
	}
	if _, stderr, code := docketRun("why", "--data", dir, ""); code != cli.ExitUsage || !strings.Contains(stderr, "hint: ") {
		t.Errorf("no uid: exit %d: %s", code, stderr)
	}
	for _, uid := range []string{"\x1b[2J", `"`, "0199d0aa-3000-7000-8000-00000000ffff"} {
		if stdout, stderr, code := docketRun("why", "--data", dir, uid); code != cli.ExitFailure || stdout != "" || strings.Contains(stderr, "\x1b") || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%q: exit %d\n%s%s", uid, code, stdout, stderr)
		}
	}
}
