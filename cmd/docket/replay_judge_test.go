// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/interceptor/replay"
)

func TestThreshold(t *testing.T) {
	flip := func(from, to string, n int) replay.Group {
		return replay.Group{Comparison: replay.Flipped, From: from, To: to, Count: n}
	}
	groups := []replay.Group{
		flip("deny", "allow", 2), flip("deny", "modify", 1), flip("allow", "deny", 5), flip("modify", "deny", 4), flip("allow", "deny", 1),
		{Comparison: replay.Erred, Count: 3},
		{Comparison: replay.PatchesDiffer, Count: 6},
		{Comparison: replay.StatusDiffers, Count: 7},
		{Comparison: replay.FailureDiffers, Count: 8},
		{Comparison: replay.AnnotationsDiffer, Count: 9},
		{Comparison: replay.Unreplayable, Count: 10},
	}
	// Groups as above, by their places.
	for _, c := range []struct {
		failOn, allow string
		maxFlips      int
		fails         []int
		flips         int
		reasons       string
	}{
		{fails: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, reasons: "deny->allow 2 (always fails, unless --allow 'deny->allow'), deny->modify 1 (always fails, unless --allow 'deny->modify'), allow->deny 6, modify->deny 4, error 3, patch-diff 6, status-diff 7, failure-diff 8, annotation-diff 9"},
		{failOn: "error", fails: []int{0, 1, 5}, reasons: "deny->allow 2 (always fails, unless --allow 'deny->allow'), deny->modify 1 (always fails, unless --allow 'deny->modify'), error 3"},
		{failOn: "error", allow: "deny->*", fails: []int{5}, reasons: "error 3"},
		{failOn: "error", allow: "deny->*, error"},
		{failOn: "unreplayable", allow: "deny->*", fails: []int{10}, reasons: "unreplayable 10"},
		{failOn: "any,unreplayable", allow: "any", fails: []int{10}, reasons: "unreplayable 10"},
		{failOn: "*->deny", allow: "deny->*", fails: []int{2, 3, 4}, reasons: "allow->deny 6, modify->deny 4"},
		{failOn: "*->deny", allow: "deny->*", maxFlips: 10, flips: 10},
		{failOn: "*->deny", allow: "deny->*", maxFlips: 9, fails: []int{2, 3, 4}, reasons: "allow->deny 6 (--max-flips 9), modify->deny 4 (--max-flips 9)"},
		{failOn: "allow->deny", allow: "deny->*", maxFlips: 6, flips: 6},
		{failOn: "*->*", allow: "deny->allow", maxFlips: 1000, fails: []int{1}, flips: 10, reasons: "deny->modify 1 (always fails, unless --allow 'deny->modify')"},
		{failOn: "patch_diff", allow: "deny->*", fails: []int{6}, reasons: "patch-diff 6"},
		{allow: "any"},
	} {
		th, err := (&thresholdFlags{failOn: c.failOn, allow: c.allow, maxFlips: c.maxFlips}).parse()
		if err != nil {
			t.Fatal(err)
		}
		v := th.judge(&replay.Report{Groups: groups})
		var fails []int
		for i := range groups {
			if v.fails[i] {
				fails = append(fails, i)
			}
		}
		if got := strings.Join(v.reasons, ", "); !slices.Equal(fails, c.fails) || got != c.reasons || v.flips != c.flips {
			t.Errorf("--fail-on %q --allow %q --max-flips %d: %v fail, %q, %d flips tolerated; want %v, %q, %d", c.failOn, c.allow, c.maxFlips, fails, got, v.flips, c.fails, c.reasons, c.flips)
		}
		if err := v.err(); (err != nil) != (len(c.fails) > 0) {
			t.Errorf("%q: %v", c.failOn, err)
		}
	}
	// An interceptor that fails open lets pass what it denied.
	opened := &replay.Report{Groups: []replay.Group{{Comparison: replay.Erred, From: "deny", To: "allow", Count: 2}, flip("deny", "allow", 3)}}
	for _, c := range []struct{ failOn, allow, reasons string }{
		{failOn: "patch-diff", reasons: "error deny->allow 2 (always fails, unless --allow 'deny->allow'), deny->allow 3 (always fails, unless --allow 'deny->allow')"},
		{allow: "error, *->*, *->allow, deny->modify", reasons: "error deny->allow 2 (always fails, unless --allow 'deny->allow'), deny->allow 3 (always fails, unless --allow 'deny->allow')"},
		{allow: "deny->allow"},
		{allow: "deny->*"},
		{allow: "any"},
	} {
		th, err := (&thresholdFlags{failOn: c.failOn, allow: c.allow, maxFlips: 100}).parse()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(th.judge(opened).reasons, ", "); got != c.reasons {
			t.Errorf("--fail-on %q --allow %q: %q, want %q", c.failOn, c.allow, got, c.reasons)
		}
	}
	for _, wrong := range []string{"deny->alow", "none->allow", "errors", "->", "flip", "allow->deny->allow"} {
		if _, err := parseRules("fail-on", wrong); err == nil || !strings.Contains(err.Error(), "no such difference") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	for _, word := range ruleWords() {
		if rules, err := parseRules("allow", word); err != nil || len(rules) != 1 {
			t.Errorf("%q, as completion has it: %v, %v", word, rules, err)
		}
	}
}
