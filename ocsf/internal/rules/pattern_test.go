// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/ocsf/schema"
)

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		regex, text string
		want        bool
	}{
		{`^a$`, "a", true},
		{`^a$`, "a\n", true},
		{`^a$`, "a\n\n", false},
		{`^a$`, "a\r\n", false},
		{`^a\$$`, "a$", true},
		{`^[$]$`, "$", true},
		{`^[\]$]$`, "$", true},
		{`^a\s$`, "a\v", true},
		{`^a[b\s]$`, "a\v", true},
		{`^a[b\s]$`, "ab\n", true},
		// A dot is one byte, and no line feed.
		{`^a.b$`, "a-b", true},
		{`^a.b$`, "a\nb", false},
		{`^a.b$`, "a\u00e9b", false},
		{`^a..b$`, "a\u00e9b", true},
		{`^a...b$`, "a\u20acb", true},
		{`b`, "abc", true},
		{`\d`, "\u0661", false},
	} {
		if got := compilePattern(tt.regex).match([]byte(tt.text)); got != tt.want {
			t.Errorf("%s matches %q: %v", tt.regex, tt.text, got)
		}
	}
	if compilePattern("(") != nil {
		t.Error("not a pattern, but compiled")
	}
}

// typePattern returns the pattern of a type of OCSF.
func typePattern(t testing.TB, name string) *pattern {
	t.Helper()
	s, err := schema.Load("1.8.0")
	if err != nil {
		t.Fatal(err)
	}
	p := compilePattern(s.Types[name].Regex)
	if p.certain == nil {
		t.Fatalf("the pattern of %s is not among those that have a faster way", name)
	}
	return p
}

// What the faster ways are certain of matches, and they know the usual values.
func TestCertain(t *testing.T) {
	for name, usual := range map[string][]string{
		"ip_t": {
			"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:2:3:4", "1:2:3:4:5:6:7:8", "2001:DB8::",
			"::ffff:192.0.2.1", "64:ff9b::192.0.2.33", "1:2:3:4:5:6:192.0.2.1",
		},
		"uuid_t":     {"123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-42661417400F"},
		"datetime_t": {"2024-01-01T00:00:00Z", "2024-01-01T00:00:00.1Z", "2024-12-31T23:59:59.123456789Z"},
	} {
		p := typePattern(t, name)
		for _, s := range usual {
			if !p.certain([]byte(s)) || !p.re.MatchString(s) {
				t.Errorf("%s: %q: certain %v, matches %v", name, s, p.certain([]byte(s)), p.re.MatchString(s))
			}
		}
	}
}

func TestCertainMatches(t *testing.T) {
	generators := map[string]*rapid.Generator[string]{
		"ip_t": rapid.OneOf(
			rapid.StringMatching(`[0-9]{1,3}(\.[0-9]{1,3}){2,4}`),
			rapid.StringMatching(`([0-9a-fA-F]{0,4}:){1,8}[0-9a-fA-F]{0,4}`),
			rapid.StringMatching(`(:|([0-9a-f]{1,4}:){1,7})((:[0-9a-f]{1,4}){0,7}|[0-9a-f]{1,4}|:)`),
			rapid.StringMatching(`([0-9a-f]{0,3}:){1,7}[12]?[0-9]{1,2}(\.[12]?[0-9]{1,2}){3}(%[a-z0-9]{1,2})?`),
		),
		"uuid_t":     rapid.StringMatching(`[0-9a-gA-G@]{7,8}(-[0-9a-f]{4}){3}-[0-9A-F]{12}`),
		"datetime_t": rapid.StringMatching(`[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,9})?(Z|z|\+01:00|)`),
	}
	for name, generator := range generators {
		p := typePattern(t, name)
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			s := generator.Draw(t, "s")
			if p.certain([]byte(s)) && !p.re.MatchString(s) {
				t.Fatalf("%q does not match", s)
			}
		}))
	}
}

// All patterns of all versions can be compiled; and those with "$" and "\s" mean
// the same as before to text without line feeds and vertical tabs.
func TestSchemaPatterns(t *testing.T) {
	for _, version := range schema.Versions() {
		s, err := schema.Load(version)
		if err != nil {
			t.Fatal(err)
		}
		for name, typ := range s.Types {
			if typ.Regex == "" {
				continue
			}
			p, plain := compilePattern(typ.Regex), regexp.MustCompile(typ.Regex)
			rapid.Check(t, func(t *rapid.T) {
				text := rapid.OneOf(rapid.StringMatching(typ.Regex), rapid.StringMatching(`[\x20-\x7e]{0,40}`)).Draw(t, "text")
				text = strings.NewReplacer("\n", "", "\v", "").Replace(text)
				for _, c := range text {
					if c > 0x7e {
						return
					}
				}
				if got, want := p.match([]byte(text)), plain.MatchString(text); got != want {
					t.Fatalf("%s %s: %q matches: %v, want %v", version, name, text, got, want)
				}
			})
		}
	}
}
