// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/interceptor"
)

// everyThird denies.
func everyThird() *judge {
	j := &judge{}
	j.Func = func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		j.calls.Add(1)
		name, _ := e.Payload.Lookup("/name")
		var box int
		if _, err := fmt.Sscanf(fmt.Sprint(name), "box-%d", &box); err != nil {
			return nil, err
		}
		if box%3 == 0 {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "every third"}, nil
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}
	return j
}

// What is selected is operations, whole, also when the condition is about one of
// their events only.
func TestReplayWhere(t *testing.T) {
	const all = 210
	dir := recorded(t, all, bindingOf("boxes", "", everyThird(), nil))
	endpoint := endpointIn(t, "boxes.sock")
	serveJudge(t, endpoint, everyThird())
	candidate := candidateAt(t, endpoint)
	for _, c := range []struct {
		where string
		more  []string
		want  int
	}{
		{"", nil, all},
		{`tenant == "acme"`, nil, all},
		{`tenant == "globex"`, nil, 0},
		{`decision == "deny"`, nil, 70},
		{`kind == "outcome" && decision == "deny" && tenant == "acme"`, nil, 70},
		{`kind == "result" && decision == "allow"`, nil, 140},
		{`kind == "outcome" && !ran`, nil, 70},
		{`operation_uid == "0199d0aa-3000-7000-8000-000000000006"`, nil, 1},
		{`operation_uid.endsWith("6") && decision == "deny"`, nil, 7},
		{`decision == "nothing"`, nil, 0},
		// Operations begin a millisecond apart.
		{"", []string{"--since", "2026-10-28T15:20:00Z"}, all},
		{"", []string{"--since", "2026-10-28T19:20:00.1Z"}, 0},
		{`decision == "deny"`, []string{"--since", spanAt(100), "--until", spanAt(200)}, 33},
		{`method == "CreateBox"`, []string{"--since", spanAt(100), "--until", spanAt(200)}, 100},
	} {
		stdout, stderr, _ := docketRun(append([]string{"replay", "--data", dir, "--chain", candidate, "-o", "json", "--where", c.where}, c.more...)...)
		var got struct{ Same, Unreplayable, Flips int }
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		if got.Same != c.want || got.Unreplayable != 0 || got.Flips != 0 {
			t.Errorf("%s %q: %+v, want %d\n%s", c.where, c.more, got, c.want, stderr)
		}
		if !strings.Contains(c.where, "ran") {
			continue
		}
		alias, _, _ := docketRun(append([]string{"replay", "--data", dir, "--chain", candidate, "-o", "json", "--filter", c.where}, c.more...)...)
		if alias != stdout {
			t.Errorf("%s: --filter answers otherwise", c.where)
		}
	}
}

func spanAt(ms int) string { return fmt.Sprintf("2026-10-28T19:16:40.%03dZ", ms) }

// What is about columns that all events share is asked of the store, the rest is
// looked for first, in a list that is bounded.
func TestChoose(t *testing.T) {
	dir := recorded(t, 1000, bindingOf("boxes", "", everyThird(), nil))
	client, err := reading.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	h := &history{client: client}
	for where, narrow := range map[string]string{
		"":                                      "",
		`!(tenant != "a" && method == service)`: `!(tenant != "a" && method == service)`,
		`decision == "deny"`:                    "",
		`decision == "deny" && tenant in ["acme", "b"] && method == "CreateBox"`: `(method in ["CreateBox"]) && (tenant in ["acme", "b"])`,
		`decision == "modify"`: "false",
		`sequence == 1`:        `operation_uid in ["0199d0aa-3000-7000-8000-000000000000"]`,
	} {
		c, err := choose(t.Context(), h, where, 400)
		if err != nil {
			t.Fatal(err)
		}
		if c.narrow != narrow {
			t.Errorf("%s: the store is asked for %q, want %q", where, c.narrow, narrow)
		}
	}
	if _, err := choose(t.Context(), h, `decision == "deny"`, 333); err == nil || !strings.Contains(err.Error(), "more than 333 operations") {
		t.Errorf("334 operations in a list of 333: %v", err)
	}
	var exit *cli.Exit
	if _, err := choose(t.Context(), h, `kind in ["finding", "action"]`, 1); !errors.As(err, &exit) || exit.Code != cli.ExitUsage {
		t.Errorf("no event of an operation: %v", err)
	}
	// A history ends where it was pinned, and one that is cut off says so.
	token, err := h.newest(t.Context())
	if err != nil || token == "" {
		t.Fatal(token, err)
	}
	if err := h.pin(""); err != nil {
		t.Fatal(err)
	}
	for range h.Events(t.Context(), "") {
		t.Fatal("an event of an empty history")
	}
	if err := errors.Join(h.pin(token), h.has(t.Context(), token)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range h.Events(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 3000 {
		t.Errorf("%d events", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = nil
	for _, e := range h.Events(ctx, "") {
		cancel()
		err = e
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cut off: %v", err)
	}
}
