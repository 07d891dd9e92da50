// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

// hostile is what somebody may be called who wishes readers of reports ill.
const hostile = "|`<script>alert(1)</script>`|\n\n# x\x1b[31m\u202e @everyone [a](http://evil.example) ]]></failure> &amp; --> \x00\\"

func hostileAnswer() (*replayAnswer, *verdict) {
	d := replay.Diff{
		Operation: hostile, Service: hostile, Method: hostile, Comparison: replay.Flipped, From: "allow", To: "deny", Interceptor: hostile, Binding: hostile,
		First:   &replay.Changed{Interceptor: hostile, Binding: hostile, Phase: "validate", Answer: []interceptor.Patch{{Op: "add", Path: "/reason", Value: []byte(`"</pre></details>"`)}}},
		Outcome: []interceptor.Patch{{Op: "replace", Path: "/" + hostile, Value: []byte(`"x"`)}},
	}
	r := &replay.Report{
		Replayed: 128_402, Reexecuted: 119_870, Linked: 119_000, Dialled: 870, Same: 7, Flips: 3, Errors: 1, Unreplayable: 2,
		Groups: []replay.Group{
			{Comparison: replay.Flipped, Service: hostile, Method: hostile, From: "allow", To: "deny", Interceptor: hostile, Binding: hostile, Count: 3, Operations: []string{hostile}, Samples: []replay.Diff{d, d, d}},
			{Comparison: replay.Erred, Service: hostile, Method: hostile, From: "deny", To: "deny", Interceptor: hostile, Reason: hostile, Count: 1, Operations: []string{"x"}, Samples: []replay.Diff{d}},
			{Comparison: replay.Unreplayable, Service: "s", Method: "m", Reason: hostile, Count: 2, Operations: []string{"y", "z"}},
		},
		Strata: []replay.Stratum{
			{Service: hostile, Method: hostile, Decision: "allow", Operations: 10, Same: 7, Different: 3},
			{Service: hostile, Method: hostile, Decision: "deny", Operations: 1, Different: 1},
			{Service: "s", Method: "m", Decision: "none", Operations: 2, Unreplayable: 2},
		},
		Noise: []replay.Noise{{Service: hostile, Method: hostile, Field: "payload /" + hostile}},
	}
	t, err := (&thresholdFlags{failOn: "allow->deny", allow: ""}).parse()
	if err != nil {
		panic(err)
	}
	v := t.judge(r)
	return &replayAnswer{Report: r, Sample: &replaySample{Operations: 100, Seed: 7}, Verdict: v.told()}, v
}

var unprintable = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f\x{202e}]`)

func TestReplayJUnit(t *testing.T) {
	a, v := hostileAnswer()
	var out bytes.Buffer
	if err := a.write(&out, junitFormat, v); err != nil {
		t.Fatal(err)
	}
	if m := unprintable.FindString(out.String()); m != "" {
		t.Errorf("%q in the report", m)
	}
	var names []string
	for dec := xml.NewDecoder(bytes.NewReader(out.Bytes())); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, out.String())
		}
		if e, ok := token.(xml.StartElement); ok {
			names = append(names, e.Name.Local)
		}
	}
	if got := strings.Join(names, " "); got != "testsuites testsuite properties"+strings.Repeat(" property", 6)+" testcase failure testcase system-out testcase skipped testcase" {
		t.Errorf("elements %s", got)
	}
	var back junitSuites
	if err := xml.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if s := back.Suite; back.Tests != 4 || s.Failures != 1 || s.Skipped != 1 || s.Errors != 0 || s.Properties[0].Value != a.Headline() || s.Properties[5] != (junitProperty{"seed", "7"}) {
		t.Errorf("suite %+v", s)
	}
	failure := back.Suite.Cases[0].Failure
	if failure == nil || failure.Message != "3 flip allow->deny" || failure.Type != "allow->deny" || !strings.Contains(failure.Text, "first other answer") {
		t.Errorf("failure %+v", failure)
	}
	if out := back.Suite.Cases[1]; out.Failure != nil || !strings.Contains(out.Out, "error by") {
		t.Errorf("a difference that does not fail: %+v", out)
	}
	a.Incomplete = true
	if c := a.worth(); c.Error == nil {
		t.Error("a part of the history passes for all of it")
	}
}

func TestReplayMarkdown(t *testing.T) {
	a, v := hostileAnswer()
	var out bytes.Buffer
	if err := a.write(&out, markdownFormat, v); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if m := unprintable.FindString(text); m != "" {
		t.Errorf("%q in the comment", m)
	}
	for _, want := range []string{
		"```text\n" + a.Headline() + "\n```\n", "It fails: <code>allow-&#62;deny 3</code>", "seed 7",
		"| operations | difference | method | binding | reason |\n|---:|---|---|---|---|\n| 3 | <code>flip allow-&#62;deny</code> | <code>&#124;&#96;&#60;script&#62;",
		"<details><summary><code>3 flip ", "&lt;script&gt;", "&lt;/pre&gt;&lt;/details&gt;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, tag := range regexp.MustCompile(`<[^>]*>?`).FindAllString(text, -1) {
		switch tag {
		case "<code>", "</code>", "<pre>", "</pre>", "<details>", "</details>", "<summary>", "</summary>":
		default:
			t.Errorf("the tag %q is in it", tag)
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "| ") && strings.Count(line, "|") != 6 {
			t.Errorf("a row with other cells: %s", line)
		}
	}
	for _, outside := range regexp.MustCompile(`(?s)<pre>.*?</pre>|<code>.*?</code>`).Split(text, -1) {
		if i := strings.IndexAny(outside, "@["); i >= 0 {
			t.Errorf("outside of code there is %q", outside[i:])
		}
	}
	// It fits into a comment, whatever there is.
	g := a.Groups[0]
	for i := range 3000 {
		g.Reason = fmt.Sprint(i, strings.Repeat("<", 300))
		a.Groups = append(a.Groups, g)
	}
	out.Reset()
	if err := a.write(&out, markdownFormat, v); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 65_536 || !strings.Contains(out.String(), "more groups\n") || !strings.Contains(out.String(), "More operations are left out here.") {
		t.Errorf("%d bytes", out.Len())
	}
}

func TestReplayTable(t *testing.T) {
	a, v := hostileAnswer()
	var out bytes.Buffer
	if err := a.write(&out, cli.Table, v); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if m := unprintable.FindString(text); m != "" {
		t.Errorf("%q on the terminal", m)
	}
	for _, want := range []string{
		"replayed 128,402 (re-executed 119,870, recorded answers 8,532) | same 7 | allow->deny 3 | deny->allow 0 | patch-diff 0 | error 1 | unreplayable 2\nre-executed 119,000 in process, 870 by services\na sample of at most 100 operations of each service, method and decision, seed 7\n",
		"\nCOUNT  DIFFERENCE        METHOD", "\n3      flip allow->deny  ", "\n1      error deny->deny", "\nnoise: ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if got := difference(&replay.Group{Comparison: replay.Erred, From: "deny", To: "allow"}); got != "error deny->allow" {
		t.Errorf("an error that lets pass is %q", got)
	}
	if n := strings.Count(text, "\noperation "); n != 4 {
		t.Errorf("%d samples", n)
	}
	a, v = &replayAnswer{Report: &replay.Report{}, Incomplete: true, Against: "sha256:ab"}, &verdict{}
	out.Reset()
	if err := a.write(&out, cli.Table, v); err != nil {
		t.Fatal(err)
	}
	if want := a.Headline() + "\ncompared with what plan sha256:ab makes of the operations now\n" + incompleteNote + "\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
