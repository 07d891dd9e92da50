// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// coveredBySegments says what a prefix means, in another way than the code: the
// tenant's segments begin with all of the prefix's. "/" is no tenant.
func coveredBySegments(prefix, tenant string) bool {
	if prefix == "/" {
		return true
	}
	want := strings.Split(strings.TrimSuffix(prefix, "/"), "/")
	have := strings.Split(tenant, "/")
	if tenant == "" || tenant == "/" || len(want) == 1 && want[0] == "" || len(have) < len(want) {
		return false
	}
	return slices.Equal(have[:len(want)], want)
}

// No view ever shows a tenant that no prefix covers, segment by segment, nor one that
// was not named where some were, nor one that is excluded; and it hides none that it
// should show.
func TestViewBySegments(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "acme", "acmeCorp", "", "A", "é", ".", "..", "*"})
	tenant := rapid.OneOf(
		rapid.Map(rapid.SliceOfN(segment, 0, 4), func(s []string) string { return strings.Join(s, "/") }),
		rapid.SampledFrom([]string{"/", "//", "a", "a/", "ab", "a/b", ""}),
	)
	lists := rapid.SliceOfN(tenant, 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		g := &Grant{Prefixes: lists.Draw(t, "prefixes")}
		include, exclude := lists.Draw(t, "include"), lists.Draw(t, "exclude")
		view, err := g.View(include, exclude)
		who := tenant.Draw(t, "tenant")
		covered := slices.ContainsFunc(g.Prefixes, func(p string) bool { return coveredBySegments(p, who) })
		if err != nil {
			if view.Sees(who) || view.All() {
				t.Fatalf("refused by %v, and sees %q", err, who)
			}
			return
		}
		named := func(list []string) bool {
			return slices.ContainsFunc(list, func(p string) bool { return p != "/" && coveredBySegments(p, who) })
		}
		want := covered && (len(include) == 0 || named(include)) && !named(exclude)
		if got := view.Sees(who); got != want {
			t.Fatalf("prefixes %q, include %q, exclude %q: sees %q: %v, want %v", g.Prefixes, include, exclude, who, got, want)
		}
		if view.All() && !view.Sees(who) {
			t.Fatalf("sees all, and not %q", who)
		}
		for _, other := range include {
			if !slices.ContainsFunc(g.Prefixes, func(p string) bool { return coveredBySegments(p, other) }) {
				t.Fatalf("prefixes %q let %q be named", g.Prefixes, other)
			}
		}
	})
}

// Whatever is sent, who is let in has a token that the key signed, as the standard
// library sees it, with claims that hold; and no more than these say.
func FuzzToken(f *testing.F) {
	clock := newClock()
	v := open(f, Config{HS256: []string{write(f, "k", first)}, Now: clock.now})
	good := sign(f, object{"alg": "HS256", "typ": "JWT"}, with(nil), byHMAC(first))
	f.Add(good, false)
	f.Add(good, true)
	f.Add(`{"alg":"HS256"}.{"sub":"a","aud":["docket"],"iat":1,"exp":9e10,"prefixes":["/"],"cap":["admin"]}`, true)
	f.Add(`{"alg":"HS256"}.{"sub":"a","aud":"docket","iat":1,"exp":1795600000}`, true)
	f.Add(`{"alg":"none"}.{"sub":"a"}`, true)
	f.Add("a.b.c", false)
	f.Fuzz(func(t *testing.T, text string, signIt bool) {
		if signIt { // the text is header.claims, in the plain: else hardly anything passes the signature
			head, claims, _ := strings.Cut(text, ".")
			text = sign(t, head, claims, byHMAC(first))
		}
		g, err := v.Token(t.Context(), text)
		said, peekErr := Peek(text)
		if err != nil {
			if g != nil || reason(t, err) == "" {
				t.Fatalf("grant %v, error %v", g, err)
			}
			return
		}
		if peekErr != nil || said.Subject != g.Subject {
			t.Fatalf("let in as %q, and says %+v, %v", g.Subject, said, peekErr)
		}
		parts := strings.Split(text, ".")
		if len(parts) != 3 || len(text) > MaxToken {
			t.Fatalf("let in with %d parts and %d bytes", len(parts), len(text))
		}
		sum, err := base64.RawURLEncoding.DecodeString(parts[2])
		mac := hmac.New(sha256.New, first)
		mac.Write([]byte(parts[0] + "." + parts[1]))
		if err != nil || !hmac.Equal(sum, mac.Sum(nil)) {
			t.Fatal("let in without a signature")
		}
		var head, claims map[string]any // a struct would take names in any case
		for i, into := range []any{&head, &claims} {
			b, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err == nil {
				err = json.NewDecoder(bytes.NewReader(b)).Decode(into)
			}
			if err != nil {
				t.Fatalf("let in with what is no JSON: %v", err)
			}
		}
		if head["alg"] != "HS256" || g.Subject == "" || claims["sub"] != g.Subject {
			t.Fatalf("let in %q with alg %v and sub %v", g.Subject, head["alg"], claims["sub"])
		}
		now, iat, exp := float64(noon), claims["iat"].(float64), claims["exp"].(float64)
		if exp+5 <= now || iat > now+5 {
			t.Fatalf("let in from %v to %v", iat, exp)
		}
		caps, _ := claims["cap"].([]any)
		for _, c := range g.Capabilities {
			if !slices.Contains(caps, any(string(c))) {
				t.Fatalf("granted %s of %q", c, caps)
			}
		}
		prefixes, _ := claims["prefixes"].([]any)
		if !slices.EqualFunc(g.Prefixes, prefixes, func(p string, q any) bool { return p == q }) {
			t.Fatalf("granted prefixes %q of %q", g.Prefixes, prefixes)
		}
	})
}
