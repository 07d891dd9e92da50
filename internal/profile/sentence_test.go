// SPDX-License-Identifier: Apache-2.0

package profile_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/internal/profile"
)

// sentences are what is told by each kind of event with each decision, and what
// else changes the words. docs/sentences.md lists them: scripts and people read
// them, so a change of one is a change of a contract.
var sentences = func() []struct {
	when string
	h    profile.Header
} {
	type told = struct {
		when string
		h    profile.Header
	}
	of := func(kind, decision string, also func(*profile.Header)) profile.Header {
		h := profile.Header{
			Kind: kind, Decision: decision, Principal: "alice", Method: "CreateSandbox", Interceptor: "images", Binding: "allow-list",
			Phase: "validate", Emitter: "gateway-0", OperationUID: "0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b",
		}
		switch kind {
		case profile.KindAction, profile.KindLifecycle:
			h.Message = "stopped"
		case profile.KindFinding:
			h.Message = "an operation has no outcome"
		case profile.KindForeign:
			h.ClassUID, h.Source, h.Message = 4001, "192.0.2.7", "connection refused"
		case profile.KindAccess:
			h.Method, h.OperationUID, h.Interceptor, h.Binding = "SearchEvents", "", "", ""
			h.Message = "17 rows in 12ms"
			if decision == profile.DecisionDeny {
				h.Message, h.StatusDetail = "0 rows in 0s", "permission denied: the capability read is missing"
			}
		case profile.KindFailure:
			h.FailureKind, h.FailurePolicy = "timeout", map[string]string{profile.DecisionAllow: "fail_open", profile.DecisionDeny: "fail_closed"}[decision]
		}
		if also != nil {
			also(&h)
		}
		return h
	}
	var all []told
	for _, kind := range profile.Kinds() {
		for _, decision := range []string{profile.DecisionAllow, profile.DecisionDeny, profile.DecisionModify, profile.DecisionNone} {
			all = append(all, told{"", of(kind, decision, nil)})
		}
	}
	for _, s := range []struct {
		when, kind, decision string
		also                 func(*profile.Header)
	}{
		{"with a reason", profile.KindResult, profile.DecisionDeny, func(h *profile.Header) { h.StatusDetail = "8 replicas are over the quota" }},
		{"the interceptor has one binding, of its name", profile.KindResult, profile.DecisionAllow, func(h *profile.Header) { h.Binding = h.Interceptor }},
		{"with a reason", profile.KindFailure, profile.DecisionAllow, func(h *profile.Header) { h.StatusDetail = "no answer within 100ms" }},
		{"nobody says who or what", profile.KindEvaluation, profile.DecisionNone, func(h *profile.Header) { *h = profile.Header{Kind: h.Kind, Decision: h.Decision} }},
		{"with a reason", profile.KindOutcome, profile.DecisionDeny, func(h *profile.Header) { h.StatusDetail = "8 replicas are over the quota" }},
		{"by no binding", profile.KindOutcome, profile.DecisionDeny, func(h *profile.Header) { h.Binding, h.Interceptor, h.StatusDetail = "", "", "audit unavailable" }},
		{"the handler failed", profile.KindOutcome, profile.DecisionAllow, func(h *profile.Header) { h.StatusCode, h.StatusDetail = "NOT_FOUND", "no such sandbox" }},
		{"the handler failed", profile.KindOutcome, profile.DecisionModify, func(h *profile.Header) { h.StatusCode = "UNAVAILABLE" }},
		{"of no operation", profile.KindFinding, profile.DecisionNone, func(h *profile.Header) { h.OperationUID = "" }},
		{"without words", profile.KindFinding, profile.DecisionNone, func(h *profile.Header) { h.Message, h.OperationUID = "", "" }},
		{"without words", profile.KindLifecycle, profile.DecisionNone, func(h *profile.Header) { h.Message = "" }},
		{"of a class that nobody knows", profile.KindForeign, profile.DecisionNone, func(h *profile.Header) { h.ClassUID, h.Source = 987654, "" }},
		{"an attacker wrote it", profile.KindResult, profile.DecisionDeny, func(h *profile.Header) { h.Principal, h.StatusDetail = "al\x1b[2Jice\u202e", "one\ntwo\xff" }},
	} {
		all = append(all, told{s.when, of(s.kind, s.decision, s.also)})
	}
	return all
}()

// The sentences are those of docs/sentences.md.
func TestSentences(t *testing.T) {
	const file, begin, end = "../../docs/sentences.md", "<!-- sentences -->\n", "<!-- /sentences -->"
	var table strings.Builder
	table.WriteString("\n| kind | decision | when | sentence |\n|---|---|---|---|\n")
	for _, s := range sentences {
		said := profile.Sentence(s.h)
		if said != profile.Printable(said) || strings.Contains(said, "\n") {
			t.Errorf("%s %s is no line that can be printed: %q", s.h.Kind, s.h.Decision, said)
		}
		cell := strings.NewReplacer("|", `\|`, "`", "'").Replace(said)
		table.WriteString("| " + s.h.Kind + " | " + s.h.Decision + " | " + s.when + " | `" + cell + "` |\n")
	}
	table.WriteString("\n")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	got, after, also := strings.Cut(rest, end)
	if !ok || !also {
		t.Fatalf("%s has no %s ... %s", file, begin, end)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(got, table.String()); diff != "" {
		t.Errorf("%s (-documented +said; accept with -update):\n%s", file, diff)
	}
}
