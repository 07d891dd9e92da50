// SPDX-License-Identifier: Apache-2.0

package profile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/internal/profile"
)

// tokens are values and what stands for them in a subject.
var tokens = []struct{ value, token string }{
	{"acme", "acme"},
	{"", "-"},
	{"-", "=2D"},
	{"--", "--"},
	{"demo.sandbox.v1.Sandboxes", "demo/sandbox/v1/Sandboxes"},
	{"a/b", "a=2Fb"},
	{"a=b", "a=3Db"},
	{"=2D", "=3D2D"},
	{"*", "=2A"},
	{">", "=3E"},
	{"a b\t", "a=20b=09"},
	{"zürich", "z=C3=BCrich"},
	{"\xff", "=FF"},
	{".", "/"},
	{"..", "//"},
	{strings.Repeat("m", 158), strings.Repeat("m", 158)},
	{strings.Repeat("m", 200), strings.Repeat("m", 158) + "=Hcc90b2799f80860a6a9e5790c1c0e169"},
}

// subscriptions are what people ask for most, and whether the subjects of
// three events match: a denied CreateSandbox of acme, a fail-open of globex,
// and a start of the emitter.
var subscriptions = []struct{ what, filter, matches string }{
	{"everything", "docket.activity.>", "deny open start"},
	{"everything of acme", "docket.activity.acme.>", "deny"},
	{"all outcomes", "docket.activity.*.outcome.>", "deny"},
	{"all denied operations of acme", "docket.activity.acme.outcome.deny.>", "deny"},
	{"every denial of one service", "docket.activity.*.outcome.deny.demo/sandbox/v1/Sandboxes.>", "deny"},
	{"one method, whatever became of it", "docket.activity.*.outcome.*.*.CreateSandbox.*", "deny"},
	{"every failure", "docket.activity.*.failure.>", "open"},
	{"every fail-open", "docket.activity.*.failure.allow.>", "open"},
	{"findings", "docket.activity.*.finding.>", ""},
	{"one emitter", "docket.activity.*.*.*.*.*.gateway-0", "deny start"},
	{"the life of the system", "docket.activity.docket.lifecycle.none.-.-.*", "start"},
}

func TestTokens(t *testing.T) {
	seen := map[string]string{}
	for _, c := range tokens {
		got := profile.Token(c.value)
		if got != c.token {
			t.Errorf("Token(%q) = %q, want %q", c.value, got, c.token)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q have the same token", other, c.value)
		}
		seen[got] = c.value
		h := profile.Header{Tenant: c.value, Kind: "outcome", Decision: "allow", Service: c.value, Method: c.value, Emitter: c.value}
		back, err := profile.ParseSubject("p", profile.Subject("p", h))
		if len(c.value) > 158 {
			if !errors.Is(err, profile.ErrSubject) {
				t.Errorf("ParseSubject of a cut token: %v", err)
			}
			continue
		}
		if err != nil || back != h {
			t.Errorf("ParseSubject of %q gives %+v, %v", c.value, back, err)
		}
	}
}

// TestSubscriptions keeps the grammar as it is published: the golden file is
// part of the contract with subscribers.
func TestSubscriptions(t *testing.T) {
	events := []struct {
		name string
		profile.Header
	}{
		{"deny", profile.Header{Tenant: "acme", Kind: "outcome", Decision: "deny", Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox", Emitter: "gateway-0"}},
		{"open", profile.Header{Tenant: "globex", Kind: "failure", Decision: "allow", Service: "demo.sandbox.v1.Sandboxes", Method: "UpdateSandbox", Emitter: "gateway-1"}},
		{"start", profile.Header{Tenant: "docket", Kind: "lifecycle", Decision: "none", Emitter: "gateway-0"}},
	}
	var b strings.Builder
	for _, e := range events {
		b.WriteString(e.name + ": " + profile.Subject(profile.Prefix, e.Header) + "\n")
	}
	for _, s := range subscriptions {
		var matched []string
		for _, e := range events {
			if match(s.filter, profile.Subject(profile.Prefix, e.Header)) {
				matched = append(matched, e.name)
			}
		}
		if got := strings.Join(matched, " "); got != s.matches {
			t.Errorf("%s (%s) matches %q, want %q", s.what, s.filter, got, s.matches)
		}
		b.WriteString(s.what + ": " + s.filter + "\n")
	}
	file := filepath.Join("testdata", "subjects.txt")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
}

// match is how a broker matches a subject with a filter.
func match(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range f {
		switch {
		case token == ">":
			return len(s) > i
		case i >= len(s) || token != "*" && token != s[i]:
			return false
		}
	}
	return len(f) == len(s)
}

func TestParseSubjectRefuses(t *testing.T) {
	for _, s := range []string{
		"", "p", "p.", "q.a.b.c.d.e.f", "p.a.b.c.d.e", "p.a.b.c.d.e.f.g", "p.a.b.c.d.e.", "p..b.c.d.e.f",
		"p.a.b.c.d.e.=", "p.a.b.c.d.e.=4", "p.a.b.c.d.e.=2f", "p.a.b.c.d.e.=41", "p.a.b.c.d.e.=2E", "p.a.b.c.d.e.*", "p.a.b.c.d.e.>", "p.a.b.c.d.e.ü",
	} {
		if h, err := profile.ParseSubject("p", s); !errors.Is(err, profile.ErrSubject) || h != (profile.Header{}) {
			t.Errorf("ParseSubject(%q) = %+v, %v", s, h, err)
		}
	}
}

// TestSubjectsAreInjective draws pairs of headers from an alphabet of trouble.
func TestSubjectsAreInjective(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOfN(rapid.RuneFrom([]rune("-=/.*> aH2Dü\x00")), 0, 4, -1)
		draw := func() profile.Header {
			return profile.Header{
				Tenant: value.Draw(t, "tenant"), Kind: "outcome", Decision: "deny",
				Service: value.Draw(t, "service"), Method: value.Draw(t, "method"), Emitter: value.Draw(t, "emitter"),
			}
		}
		a, b := draw(), draw()
		sa, sb := profile.Subject("p", a), profile.Subject("p", b)
		if (a == b) != (sa == sb) {
			t.Fatalf("%+v and %+v: subjects %q and %q", a, b, sa, sb)
		}
		if strings.Count(sa, ".") != 6 || strings.ContainsAny(sa, "*> \x00") || strings.Contains(sa, "..") {
			t.Fatalf("%+v: unsafe subject %q", a, sa)
		}
		if back, err := profile.ParseSubject("p", sa); err != nil || back != a {
			t.Fatalf("%q comes back as %+v, %v", sa, back, err)
		}
	})
}

func FuzzParseSubject(f *testing.F) {
	for _, c := range tokens {
		f.Add("p.acme.outcome.deny." + c.token + ".m.e")
	}
	f.Fuzz(func(t *testing.T, subject string) {
		h, err := profile.ParseSubject("p", subject)
		if err != nil {
			return
		}
		if got := profile.Subject("p", h); got != subject {
			t.Errorf("%q parses as %+v, whose subject is %q", subject, h, got)
		}
	})
}

func TestSentence(t *testing.T) {
	base := profile.Header{Principal: "alice", Method: "CreateSandbox", Interceptor: "images", Binding: "allow-list", Phase: "validate"}
	for _, c := range []struct {
		edit func(*profile.Header)
		want string
	}{
		{func(h *profile.Header) { h.Kind, h.Decision = "evaluation", "none" }, `images/allow-list is asked about CreateSandbox by alice (validate)`},
		{func(h *profile.Header) { h.Kind, h.Decision = "result", "allow" }, `images/allow-list allowed CreateSandbox by alice`},
		{func(h *profile.Header) {
			*h = profile.Header{Kind: "foreign", ClassUID: 4001, Decision: "deny", Principal: "sbx-1", Source: "192.0.2.1", Message: "no route"}
		}, `Network Activity by sbx-1 from 192.0.2.1, denied: no route`},
		{func(h *profile.Header) { *h = profile.Header{Kind: "foreign", ClassUID: 424242, Decision: "none"} }, `class 424242`},
		{func(h *profile.Header) { h.Kind, h.Decision = "result", "modify" }, `images/allow-list changed CreateSandbox by alice`},
		{func(h *profile.Header) {
			h.Kind, h.Decision, h.StatusDetail = "result", "deny", `image "x" is not on the list`
		}, `images/allow-list denied CreateSandbox by alice: image "x" is not on the list`},
		{func(h *profile.Header) {
			h.Kind, h.Decision, h.FailureKind, h.FailurePolicy, h.StatusDetail = "failure", "allow", "timeout", "fail_open", "no answer within 500ms"
		}, `images/allow-list failed (timeout) on CreateSandbox by alice, which let it pass unchecked (fail_open): no answer within 500ms`},
		{func(h *profile.Header) {
			h.Kind, h.Decision, h.FailureKind, h.FailurePolicy = "failure", "deny", "panic", "fail_closed"
		}, `images/allow-list failed (panic) on CreateSandbox by alice, which denied it (fail_closed)`},
		{func(h *profile.Header) {
			h.Kind, h.Decision, h.FailureKind, h.FailurePolicy = "failure", "none", "limit", "ignore"
		}, `images/allow-list failed (limit) on CreateSandbox by alice, which changed nothing (ignore)`},
		{func(h *profile.Header) {
			h.Kind, h.Decision, h.StatusDetail = "outcome", "deny", `image "x" is not on the list`
		}, `alice was denied CreateSandbox by images/allow-list: image "x" is not on the list`},
		{func(h *profile.Header) {
			h.Kind, h.Decision, h.StatusDetail, h.Interceptor, h.Binding = "outcome", "deny", "audit unavailable", "", ""
		}, `alice was denied CreateSandbox: audit unavailable`},
		{func(h *profile.Header) { h.Kind, h.Decision, h.StatusCode = "outcome", "allow", "OK" }, `alice was allowed CreateSandbox`},
		{func(h *profile.Header) { h.Kind, h.Decision, h.StatusCode = "outcome", "modify", "OK" }, `alice was allowed CreateSandbox, with changes`},
		{func(h *profile.Header) {
			h.Kind, h.Decision, h.StatusCode, h.StatusDetail = "outcome", "allow", "NOT_FOUND", "no such sandbox"
		}, `alice was allowed CreateSandbox, which ended with NOT_FOUND: no such sandbox`},
		{func(h *profile.Header) {
			*h = profile.Header{Kind: "finding", Message: "3 events were dropped", Emitter: "gateway-0"}
		}, `finding: 3 events were dropped`},
		{func(h *profile.Header) { *h = profile.Header{Kind: "lifecycle", Emitter: "gateway-0"} }, `lifecycle of gateway-0`},
		{func(h *profile.Header) {
			h.Kind, h.Decision, h.Principal, h.Method = "outcome", "allow", "al\x1b[2Jice\n\u202e", "Get\xff\u200b"
		}, `al\x1b[2Jice\n\u202e was allowed Get\xff\u200b`},
	} {
		h := base
		c.edit(&h)
		if got := profile.Sentence(h); got != c.want {
			t.Errorf("Sentence:\n got %s\nwant %s", got, c.want)
		}
	}
}
