// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// sealedAccess seals the event of an access as an emitter does, and checks that
// it is clean in a version of OCSF.
func sealedAccess(t testing.TB, a *serve.Access, version string) ([]byte, profile.Header) {
	t.Helper()
	e := a.Event("0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6c")
	b := e.Common()
	b.Metadata.UID, b.Metadata.Version = "0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b", version
	b.Metadata.Product = &ocsf.Product{Name: "docket"}
	raw, h, err := profile.SealHeader(e, profile.Link{Epoch: "0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e", Emitter: "collector-0", Sequence: 1})
	if err != nil {
		t.Fatalf("%+v: %v", a, err)
	}
	report, err := ocsf.Validate(raw, version, ocsf.ModeServer)
	if err != nil {
		t.Fatal(err)
	}
	for _, issue := range append(report.Errors, report.Warnings...) {
		t.Errorf("%s: %s %s: %s\n%s", version, issue.Code, issue.Path, issue.Message, raw)
	}
	return raw, h
}

// The event of an access says who asked for what and what became of it, in
// words and in columns.
func TestAccessIsAnEvent(t *testing.T) {
	alice := &authz.Grant{Subject: "alice", Issuer: "https://idp", By: authz.ByToken}
	begin := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	for _, test := range []struct {
		name     string
		access   serve.Access
		decision string
		status   ocsf.StatusID
		code     string
		source   string
		sentence string
	}{
		{
			"allowed",
			serve.Access{Grant: alice, Door: "api", Peer: "192.0.2.7:1234", Method: "SearchEvents", Request: `{"filter":"ran"}`, Rows: 12, Duration: 34 * time.Millisecond},
			"allow", ocsf.StatusSuccess, "OK", "192.0.2.7", `alice asked for SearchEvents: 12 rows in 34ms`,
		},
		{
			"by the socket",
			serve.Access{Grant: authz.Trusted("uid 1000", authz.BySocket), Door: "socket", Peer: "@", Method: "GetPlan", Rows: 1},
			"allow", ocsf.StatusSuccess, "OK", "", `uid 1000 asked for GetPlan: 1 rows in 0s`,
		},
		{
			"begun",
			serve.Access{Grant: alice, Door: "api", Peer: "[2001:db8::1]:443", Method: "Tail", Request: `{"follow":true}`, Began: true},
			"allow", ocsf.StatusSuccess, "OK", "2001:db8::1", `alice asked for Tail: begun`,
		},
		{
			"at a link",
			serve.Access{Grant: alice, Door: "api", Peer: "[fe80::1%eth0]:443", Method: "Stats", Rows: 1, Duration: time.Second},
			"allow", ocsf.StatusSuccess, "OK", "fe80::1", `alice asked for Stats: 1 rows in 1s`,
		},
		{
			"denied",
			serve.Access{Grant: alice, Door: "api", Peer: "192.0.2.7:1234", Method: "Query", Err: &authz.Error{Err: authz.ErrDenied, Reason: "the capability sql is missing"}},
			"deny", ocsf.StatusFailure, "PERMISSION_DENIED", "192.0.2.7", `alice was refused Query: permission denied: the capability sql is missing`,
		},
		{
			"by an admin's path",
			serve.Access{Grant: alice, Door: "api", Peer: "192.0.2.7:1234", Method: "POST /v1/erase", Err: &authz.Error{Err: authz.ErrDenied, Reason: "the capability admin is missing"}},
			"deny", ocsf.StatusFailure, "PERMISSION_DENIED", "192.0.2.7", `alice was refused POST /v1/erase: permission denied: the capability admin is missing`,
		},
		{
			"nobody",
			serve.Access{Door: "api", Peer: "192.0.2.7:1234", Method: "Tail", Err: &authz.Error{Err: authz.ErrUnauthenticated, Reason: "no valid token"}},
			"deny", ocsf.StatusFailure, "UNAUTHENTICATED", "192.0.2.7", `unknown was refused Tail: unauthenticated: no valid token`,
		},
		{
			"nobody, who hung up",
			serve.Access{Door: "api", Peer: "192.0.2.7:1234", Method: "SearchEvents", Err: context.Canceled},
			"deny", ocsf.StatusFailure, "CANCELED", "192.0.2.7", `unknown was refused SearchEvents: context canceled`,
		},
		{
			"seen enough",
			serve.Access{Grant: alice, Door: "api", Peer: "192.0.2.7:1234", Method: "Tail", Rows: 7, Duration: time.Second, Err: context.Canceled},
			"allow", ocsf.StatusSuccess, "CANCELED", "192.0.2.7", `alice asked for Tail: 7 rows in 1s`,
		},
		{
			"expired on the way",
			serve.Access{Grant: alice, Door: "api", Peer: "192.0.2.7:1234", Method: "Tail", Rows: 7, Duration: time.Hour, Err: &authz.Error{Err: authz.ErrUnauthenticated, Reason: "the token has expired"}},
			"allow", ocsf.StatusFailure, "UNAUTHENTICATED", "192.0.2.7", `alice asked for Tail: 7 rows in 1h0m0s: unauthenticated: the token has expired`,
		},
		{
			"failed",
			serve.Access{Grant: alice, Door: "api", Peer: "192.0.2.7:1234", Method: "Query", Rows: 3, Duration: time.Minute, Err: errors.New("disk on fire")},
			"allow", ocsf.StatusFailure, "INTERNAL", "192.0.2.7", `alice asked for Query: 3 rows in 1m0s: disk on fire`,
		},
		{
			"a mistake",
			serve.Access{Grant: alice, Door: "api", Peer: "192.0.2.7:1234", Method: "Stats", Err: serve.Invalid("top", errors.New("-1 is not between 1 and 1000"))},
			"allow", ocsf.StatusFailure, "INVALID_ARGUMENT", "192.0.2.7", `alice asked for Stats: 0 rows in 0s: invalid request: -1 is not between 1 and 1000`,
		},
	} {
		test.access.Start = begin
		for _, version := range profile.Versions() {
			raw, h := sealedAccess(t, &test.access, version)
			if got := profile.Sentence(h); got != test.sentence {
				t.Errorf("%s: the sentence is\n%s, want\n%s", test.name, got, test.sentence)
			}
			if h.Kind != "access" || h.Tenant != "docket" || h.Decision != test.decision || h.StatusID != int32(test.status) || h.StatusCode != test.code || h.Source != test.source ||
				h.Method != test.access.Method || h.Service != "docket.audit.v1.AuditService" || h.Time != begin.Add(test.access.Duration).UnixMilli() || h.DurationMS != test.access.Duration.Milliseconds() {
				t.Errorf("%s in %s: %+v", test.name, version, h)
			}
			// What was asked, by which door, and how the caller was known.
			var e struct {
				API struct {
					Request struct{ Data struct{ Request string } }
				}
				Unmapped struct {
					Docket struct {
						Access struct{ Door, By, Issuer string }
						Rows   int64
					}
				}
			}
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Fatal(err)
			}
			of := e.Unmapped.Docket
			if e.API.Request.Data.Request != test.access.Request || of.Access.Door != test.access.Door || of.Rows != test.access.Rows ||
				test.access.Grant != nil && (of.Access.By != test.access.Grant.By || of.Access.Issuer != test.access.Grant.Issuer) {
				t.Errorf("%s in %s: %s", test.name, version, raw)
			}
		}
	}
}

// Whatever callers send there is an event of it: nobody asks unseen because of a
// name or an address that is none.
func TestHostileAccessIsAnEvent(t *testing.T) {
	hostile := rapid.OneOf(
		rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", "\x00", "a\xff", "\xed\xa0\x80", "\u202e", "\ufeff", "\ufffe", "\n", `"`, "😀", strings.Repeat("a", 100_000), "1.2.3.4:99999", "[::1%25x]:1", "[::1%\xff]:1", "1.2.3.4:-1", "::1", "01.2.3.4:5"}),
	)
	rapid.Check(t, func(r *rapid.T) {
		a := &serve.Access{
			Door: hostile.Draw(r, "door"), Peer: hostile.Draw(r, "peer"), Method: "POST /" + hostile.Draw(r, "method"), Request: hostile.Draw(r, "request"),
			Rows: rapid.Int64Range(0, profile.MaxInteger).Draw(r, "rows"), Start: time.UnixMilli(rapid.Int64Range(1, 1<<45).Draw(r, "start")), Duration: time.Duration(rapid.Int64Min(0).Draw(r, "duration")), Began: rapid.Bool().Draw(r, "began"),
		}
		if rapid.Bool().Draw(r, "known") {
			a.Grant = &authz.Grant{Subject: hostile.Draw(r, "subject"), Issuer: hostile.Draw(r, "issuer"), By: hostile.Draw(r, "by")}
		}
		text := hostile.Draw(r, "error")
		a.Err = rapid.SampledFrom([]error{nil, errors.New(text), context.Canceled, serve.Invalid(text, errors.New(text)), &authz.Error{Err: authz.ErrDenied, Reason: text}, fmt.Errorf("%w: %s", authz.ErrUnauthenticated, text)}).Draw(r, "err")
		for _, version := range profile.Versions() {
			_, h := sealedAccess(t, a, version)
			if s := profile.Sentence(h); !utf8.ValidString(s) || strings.ContainsAny(s, "\n\x00\u202e") || h.Kind != "access" || h.Tenant != "docket" || h.Principal == "" || (h.Decision == "deny") != (a.Err != nil && a.Rows == 0 && (a.Grant == nil || errors.Is(a.Err, authz.ErrDenied) || errors.Is(a.Err, authz.ErrUnauthenticated))) {
				r.Fatalf("%+v: %+v: %s", a, h, s)
			}
			if t.Failed() {
				r.FailNow()
			}
		}
	})
}

// A request is told of up to 2 KiB, and no character is cut in two.
func TestLongRequestIsCut(t *testing.T) {
	s := start(t, newShelf())
	for pad := range 4 {
		for _, letter := range []string{"a", "é", "日", "😀"} {
			s.byREST(t, "admin", "Query", &auditv1.QueryRequest{Sql: strings.Repeat("x", pad) + strings.Repeat(letter, 3000)})
			told := s.accesses.take()
			if len(told) != 1 {
				t.Fatalf("told %+v", told)
			}
			text, cut := strings.CutSuffix(told[0].Request, "...")
			if !cut || len(text) > 2048 || len(text) <= 2048-len(letter) || !utf8.ValidString(text) || !strings.HasSuffix(text, letter) {
				t.Errorf("%d and %s: %d bytes that end with %q", pad, letter, len(text), text[len(text)-8:])
			}
			sealedAccess(t, &told[0], ocsf.DefaultVersion)
		}
	}
	s.byREST(t, "admin", "Query", &auditv1.QueryRequest{Sql: strings.Repeat("x", 2048-len(`{"sql":""}`))})
	if told := s.accesses.take(); len(told) != 1 || len(told[0].Request) != 2048 || strings.HasSuffix(told[0].Request, "...") {
		t.Errorf("one that just fits: %+v", told)
	}
}

// A tail that follows is told of when it begins and when it ends; one that is
// refused, or does not follow, once.
func TestFollowingIsToldOfTwice(t *testing.T) {
	m := newShelf()
	m.add(t, "acme")
	s := start(t, m)
	s.Drain() // so that it ends
	for _, test := range []struct {
		token string
		q     *auditv1.TailRequest
		began int
	}{
		{"admin", &auditv1.TailRequest{All: true, Follow: true}, 1},
		{"admin", &auditv1.TailRequest{All: true}, 0},
		{"nothing", &auditv1.TailRequest{All: true, Follow: true}, 0},
		{"", &auditv1.TailRequest{All: true, Follow: true}, 0},
		{"expired", &auditv1.TailRequest{All: true, Follow: true}, 0},
	} {
		for _, by := range []func(testing.TB, string, string) said{
			func(t testing.TB, token, name string) said { return s.byGRPC(t, token, name, test.q) },
			func(t testing.TB, token, name string) said { return s.byREST(t, token, name, test.q) },
		} {
			by(t, test.token, "Tail")
			told := s.accesses.take()
			if len(told) != test.began+1 {
				t.Errorf("%q of %v: told %+v", test.token, test.q, told)
				continue
			}
			for i, one := range told {
				if one.Began != (i < test.began) || one.Began && (one.Err != nil || one.Rows != 0) || one.Request != told[0].Request {
					t.Errorf("%q of %v: told %+v", test.token, test.q, told)
				}
			}
		}
	}
}
