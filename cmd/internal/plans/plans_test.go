// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

var begin = time.Date(2026, 10, 28, 6, 0, 0, 0, time.UTC)

func digest(letter string) string { return prefix + strings.Repeat(letter, 64) }

// inForce reads "GATEWAY PLAN FROM UNTIL", in seconds; without UNTIL it goes on.
func inForce(t *testing.T, text string) *auditv1.PlanInForce {
	t.Helper()
	f := strings.Fields(text)
	at := func(s string) *timestamppb.Timestamp {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return timestamppb.New(begin.Add(time.Duration(n * float64(time.Second))))
	}
	p := &auditv1.PlanInForce{Gateway: f[0], Digest: digest(f[1]), From: at(f[2])}
	if len(f) > 3 {
		p.Until = at(f[3])
	}
	return p
}

func TestPick(t *testing.T) {
	kept := &auditv1.PlanInForce{Digest: digest("f")}
	for name, c := range map[string]struct {
		periods []string
		at      float64
		want    string // the letter of a plan, or what the error says
		hint    string
	}{
		"one":                       {[]string{"gw a 0"}, 10, "a", ""},
		"its first moment":          {[]string{"gw a 0 10", "gw b 10"}, 10, "b", ""},
		"its last":                  {[]string{"gw a 0 10", "gw b 10"}, 9.999, "a", ""},
		"within a millisecond":      {[]string{"gw a 0 10", "gw b 10"}, 9.9999, "a", ""},
		"one of several that agree": {[]string{"gw-0 a 0", "gw-1 a 5 50"}, 10, "a", ""},
		"one of several":            {[]string{"gw-0 a 0 10", "gw-1 b 5 50"}, 20, "b", ""},
		"several":                   {[]string{"gw-0 a 0", "gw-1 b 5 50", "gw-2 a 0"}, 10, "at 2026-10-28T06:00:10Z there was more than one plan in force: aaaaaaaaaaaa at gw-0, gw-2; bbbbbbbbbbbb at gw-1", "name the gateway that you mean, or the plan: plan:DIGEST"},
		"a clock set back":          {[]string{"gw a 0 20", "gw b 5"}, 10, "there was more than one plan in force: aaaaaaaaaaaa at gw; bbbbbbbbbbbb at gw", "name the plan that you mean: plan:DIGEST"},
		"replaced at once":          {[]string{"gw a 0 10", "gw b 10 10", "gw c 10"}, 10, "c", ""},
		"before":                    {[]string{"gw-0 a 20 30", "gw-1 b 15"}, 10, "no plan was in force at 2026-10-28T06:00:10Z; the nearest is bbbbbbbbbbbb at gw-1, from 2026-10-28T06:00:15Z on", "`docket plans ls` shows which plan was in force when; name one with plan:DIGEST"},
		"after":                     {[]string{"gw-0 a 0 9.5", "gw-1 b 15"}, 10, "the nearest is aaaaaaaaaaaa at gw-0, until 2026-10-28T06:00:09.5Z", "name one with plan:DIGEST"},
		"nothing":                   {nil, 10, "no event tells of a plan in force", "`docket plans ls` shows which there are, and of which gateways"},
	} {
		list := []*auditv1.PlanInForce{kept}
		for _, text := range c.periods {
			list = append(list, inForce(t, text))
		}
		got, err := pick(list, begin.Add(time.Duration(c.at*float64(time.Second))), "")
		if c.hint == "" {
			if err != nil || got != digest(c.want) {
				t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
			}
			continue
		}
		var hinted interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), c.hint) {
			t.Errorf("%s: %q, %v, want %s", name, got, err, c.want)
		}
		if ambiguous, none := new(AmbiguousError), new(NoneError); !errors.As(err, &ambiguous) && !errors.As(err, &none) {
			t.Errorf("%s: %T", name, err)
		}
	}
	if _, err := pick(nil, begin, "gw"); err == nil || err.Error() != "no event tells of a plan in force at gateway gw" {
		t.Error(err)
	}
}

func TestDigests(t *testing.T) {
	var list []*auditv1.PlanInForce
	for _, begin := range []string{"1234", "1235", strings.Repeat("ab", 10) + "c", strings.Repeat("ab", 10) + "d", "1234"} {
		list = append(list, &auditv1.PlanInForce{Digest: prefix + begin + strings.Repeat("0", 64-len(begin))})
	}
	for text, want := range map[string]string{
		"1234": list[0].GetDigest(), "123": "2 plans begin with 123", "12350000": list[1].GetDigest(), "abab": "2 plans begin with abab", "9999": "no plan begins with 9999",
		strings.Repeat("ab", 10) + "c": list[2].GetDigest(),
	} {
		got, err := complete(list, text)
		if got != want && (err == nil || err.Error() != want) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	short := Shorten(list)
	want := map[string]string{
		list[0].GetDigest(): "123400000000", list[1].GetDigest(): "123500000000",
		list[2].GetDigest(): strings.Repeat("ab", 10) + "c", list[3].GetDigest(): strings.Repeat("ab", 10) + "d",
	}
	if diff := cmp.Diff(want, short); diff != "" {
		t.Error(diff)
	}
	for d, s := range short {
		if got, err := complete(list, s); err != nil || got != d {
			t.Errorf("%s is short for %s, %v", s, got, err)
		}
	}
	for text, want := range map[string]bool{
		"1234": true, "plan:1234": true, "sha256:12ab": true, "plan:sha256:12ab": true, strings.Repeat("a", 64): true,
		"123": false, "": false, "12AB": false, "chain.toml": false, "./abcd": false, strings.Repeat("a", 65): false, "plan:": false,
	} {
		if IsDigest(text) != want {
			t.Errorf("%q is a digest: %t", text, !want)
		}
	}
}

func TestCompare(t *testing.T) {
	before := `{"unmatched":"allow","audit":"auto","audit_deadline_ns":2000000000000000001,"bindings":[
		{"interceptor":"images","id":"allow","phases":["validate"],"timeout_ns":500},
		{"interceptor":"quota","id":"twice","order":1},{"interceptor":"quota","id":"twice","order":2},
		{"interceptor":"gone","id":"x"}]}`
	after := `{"unmatched":"deny","audit":"auto","audit_deadline_ns":2000000000000000002,"bindings":[
		{"interceptor":"new","id":"y"},
		{"interceptor":"quota","id":"twice","order":1},{"interceptor":"quota","id":"twice","order":3},
		{"interceptor":"images","id":"allow","phases":["validate","post_commit"],"shadow":true}]}`
	for name, c := range map[string]struct {
		before, after string
		want          []string
	}{
		"the same": {before, before, nil},
		"another": {before, after, []string{
			"changed||audit_deadline_ns|2000000000000000001|2000000000000000002", "changed||unmatched|allow|deny", "removed|gone/x|||",
			`changed|images/allow|phases|["validate"]|["validate","post_commit"]`, "changed|images/allow|shadow||true", "changed|images/allow|timeout_ns|500|",
			"added|new/y|||", "changed|quota/twice#2|order|2|3",
		}},
		"none": {`{}`, `{"bindings":null}`, nil},
	} {
		changes, err := Compare([]byte(c.before), []byte(c.after))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for i := range changes {
			got = append(got, strings.Join(changes[i].Cells(), "|"))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, bad := range []string{`{`, `[]`, `{"bindings":{}}`, `{"bindings":[1]}`} {
		for i, pair := range [][2]string{{bad, before}, {before, bad}} {
			if changes, err := Compare([]byte(pair[0]), []byte(pair[1])); err == nil {
				t.Errorf("%s is a plan (%d): %s", bad, i, fmt.Sprint(changes))
			}
		}
	}
}
