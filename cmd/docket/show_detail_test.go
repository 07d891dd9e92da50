// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/internal/profile"
)

// A timeline says what a binding was shown and changed; what is long is cut, and
// what is hostile harmless.
func TestDetails(t *testing.T) {
	around := setting{asked: map[string]string{"e1": "naming/names was (validate)"}, attributes: map[string]string{"user_agent": "curl \"8\"\u202e", "source.address": "x"}}
	wide := `{"list":[` + strings.Repeat(`{"key":"a value that takes its room in a line"},`, 60) + `1],"text":"` + strings.Repeat("x", 300) + `"}`
	evaluation := profile.Header{Kind: profile.KindEvaluation, OperationUID: "op"}
	result := profile.Header{Kind: profile.KindResult}
	for _, tc := range []struct {
		name   string
		header profile.Header
		raw    string
		want   []string
	}{
		{"payload", evaluation, `{"api":{"request":{"data":{"proposed_operation":{"a":[1,2],"b":"\u001b[31m"}}}}}`, []string{`shown    {"a": [1, 2], "b": "\u001b[31m"}`}},
		{"state", evaluation, `{"api":{"request":{"data":{"current_state":{},"same_as":"e1"}}}}`, []string{"state    {}", "shown    the same as naming/names was (validate)"}},
		{"too large", evaluation, `{"api":{"request":{"data":{"proposed_operation_digest":"sha256:ab","proposed_operation_bytes":9}}}}`, []string{"shown    not recorded, only its digest: sha256:ab"}},
		{"not captured", evaluation, `{"unmapped":{"docket":{"replay":{"why":"no payload"}}}}`, []string{"shown    not recorded: no payload"}},
		{
			"patches", result, `{"status_detail":"why not","api":{"response":{"data":{"log_annotations":{"k":"v"},"warnings":["w"],"patches":[{"op":"replace","path":"/n","value":"web-1"},{"op":"move","from":"/a","path":"/b"},{"op":"remove","path":"/c"}]}}}}`,
			[]string{"reason   why not", `change   replace /n "web-1"`, "change   move /a to /b", "change   remove /c", "note     k: v", "warning  w"},
		},
		{
			"failure",
			profile.Header{Kind: profile.KindFailure, FailureKind: "timeout", FailurePolicy: "fail_open"},
			`{"status_code":"DEADLINE_EXCEEDED","status_detail":"no answer"}`,
			[]string{"cause    timeout (DEADLINE_EXCEEDED), under fail_open: no answer"},
		},
		{
			"redactions", evaluation, `{"api":{"request":{"data":{"proposed_operation":{}}}},"unmapped":{"docket":{"visible":{"attributes":["request.headers.x-gone","user_agent"],"namespaces":["ns"]},"metadata":{"ns":{"k":1}},"broken":"b","redactions_more":2,"redactions":[{"at":"current_state","pointer":"/a/*","rule":"r","do":"mask","n":3},{"at":"reason","rule":"q","do":"hmac","n":1,"failed":true}]}}}`,
			[]string{`shown    {}`, "granted  attribute request.headers.x-gone", "granted  attribute user_agent \"curl \\\"8\\\"\u202e\"", `granted  metadata {"ns": {"k": 1}}`, "broken   b", "redacted current_state/a/* by rule r (mask), 3 times", "redacted reason by rule q (hmac); the rule failed, the value was replaced", "redacted 2 more"},
		},
		{
			"shadow", result, `{"api":{"response":{"data":{"dynamic_metadata":{"ns":{}},"patches":[{"op":"add","path":"/k","withheld":"secret"}]}}},"unmapped":{"docket":{"would":"modify"}}}`,
			[]string{"shadow   would be: modify", "change   add /k (withheld: secret)", `sets     {"ns": {}}`},
		},
		{
			"metadata as before", evaluation, `{"api":{"request":{"data":{"proposed_operation":{}}}},"unmapped":{"docket":{"visible":{"namespaces":["ns"]},"metadata":{"same_as":"e1"}}}}`,
			[]string{"shown    {}", "granted  metadata, the same as naming/names was (validate)"},
		},
		{
			"a namespace of that name", evaluation, `{"api":{"request":{"data":{"proposed_operation":{}}}},"unmapped":{"docket":{"metadata":{"same_as":{"k":1}}}}}`,
			[]string{"shown    {}", `granted  metadata {"same_as": {"k": 1}}`},
		},
		{
			"metadata that is not recorded", evaluation, `{"api":{"request":{"data":{"proposed_operation":{}}}},"unmapped":{"docket":{"visible":{"namespaces":["a","b"]}}}}`,
			[]string{"shown    {}", "granted  metadata a, not recorded", "granted  metadata b, not recorded"},
		},
		{
			"a violation", result, `{"status_detail":"no","unmapped":{"docket":{"violations":["status code \"OK\" on a deny"]}}}`,
			[]string{"reason   no", `violates status code "OK" on a deny`},
		},
		{"outcome", profile.Header{Kind: profile.KindOutcome}, `{}`, nil},
	} {
		if diff := cmp.Diff(tc.want, detailsOf(tc.header, []byte(tc.raw), around)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	lines := detailsOf(evaluation, []byte(`{"api":{"request":{"data":{"proposed_operation":`+wide+`}}}}`), setting{})
	if n := len(lines); n != detailLines+1 || !strings.Contains(lines[n-1], "all of it: docket show op -o json") {
		t.Errorf("%d lines of a long payload:\n%s", n, strings.Join(lines, "\n"))
	}
}

// Columns stay in line around what is below them, and nothing of an event
// reaches a terminal as it is.
func TestShowRows(t *testing.T) {
	rows := showRows([]moment{
		{profile.Header{Kind: profile.KindEvaluation, Interceptor: "i\u202e", Binding: "b", Phase: "validate", Time: 1}, []byte(`{"api":{"request":{"data":{"proposed_operation":{"x":"\u009b31m\u202e"}}}},"unmapped":{"docket":{"visible":{"attributes":["user_agent"]}}}}`)},
		{profile.Header{Kind: profile.KindOutcome, Decision: "allow", Time: 1}, []byte(`{"unmapped":{"docket":{"attributes":{"user_agent":"curl"}}}}`)},
	})
	var out bytes.Buffer
	p, err := cli.NewPrinter(&out, cli.Table, showColumns, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := p.Row(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if strings.Index(lines[0], "DECISION") != strings.Index(lines[4], "allow") {
		t.Errorf("the columns moved:\n%s", out.String())
	}
	if !strings.Contains(lines[3], `granted  attribute user_agent "curl"`) {
		t.Errorf("the outcome does not say what was seen:\n%s", out.String())
	}
	if strings.ContainsAny(out.String(), "\u202e\u009b\x1b") {
		t.Errorf("unescaped: %q", out.String())
	}
}
