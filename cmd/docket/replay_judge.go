// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

// A rule is differences of one kind.
type rule struct {
	comparison replay.Comparison // "": any difference
	from, to   string            // of a flip; "*" is any
}

// ruleNames are what differences are called on the command line.
var ruleNames = map[string]replay.Comparison{
	"any": "", "error": replay.Erred, "patch-diff": replay.PatchesDiffer, "status-diff": replay.StatusDiffers,
	"failure-diff": replay.FailureDiffers, "annotation-diff": replay.AnnotationsDiffer, "unreplayable": replay.Unreplayable,
}

// ruleWords are what can stand in a list of rules, as completion has it.
func ruleWords() []string {
	return []string{"any", "allow->deny", "deny->allow", "*->deny", "deny->*", "error", "patch-diff", "status-diff", "failure-diff", "annotation-diff", "unreplayable"}
}

// parseRules reads a list as in "deny->allow,error".
func parseRules(flag, list string) ([]rule, error) {
	var rules []rule
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		from, to, flip := strings.Cut(text, "->")
		if !flip {
			c, ok := ruleNames[strings.ReplaceAll(text, "_", "-")]
			if !ok {
				return nil, noRule(flag, text)
			}
			rules = append(rules, rule{comparison: c})
			continue
		}
		for _, decision := range []string{from, to} {
			if decision != "*" && !slices.Contains(flipped, decision) {
				return nil, noRule(flag, text)
			}
		}
		rules = append(rules, rule{replay.Flipped, from, to})
	}
	return rules, nil
}

// flipped are the decisions between which operations flip.
var flipped = []string{interceptor.Allow.String(), interceptor.Deny.String(), interceptor.Modify.String()}

func noRule(flag, text string) error {
	return cli.Usage(cli.Hint(fmt.Errorf("--%s %s: no such difference", flag, text),
		"flips as allow->deny, of %s and *; or error, patch-diff, status-diff, failure-diff, annotation-diff, unreplayable, any", strings.Join(flipped, ", ")))
}

// names says whether a group is of the rule's kind. Any is any difference; what
// could not be replayed is none.
func (r rule) names(g *replay.Group) bool {
	switch {
	case r.comparison == "":
		return g.Comparison != replay.Unreplayable
	case r.comparison != g.Comparison:
		return false
	case r.comparison != replay.Flipped:
		return true
	}
	return (r.from == "*" || r.from == g.From) && (r.to == "*" || r.to == g.To)
}

func anyNames(rules []rule, g *replay.Group) bool {
	return slices.ContainsFunc(rules, func(r rule) bool { return r.names(g) })
}

// allows says whether a rule lets a group pass. What was denied and would pass has
// to be meant: no asterisk in place of deny takes it, nor does error.
func (r rule) allows(g *replay.Group) bool {
	if !loosened(g) || r.comparison == "" {
		return r.names(g)
	}
	return r.comparison == replay.Flipped && r.from == g.From && (r.to == "*" || r.to == g.To)
}

// A threshold is what a candidate must not do.
type threshold struct {
	failOn, allow []rule
	maxFlips      int
}

// A verdict is what a report comes to.
type verdict struct {
	fails   map[int]bool // groups, by their index
	reasons []string     // why it fails
	flips   int          // that --max-flips tolerates
}

// loosened says that operations would pass that were denied: by a binding's word, or
// because one failed and its policy is to fail open. That is never tolerated by
// number, nor by not being named.
func loosened(g *replay.Group) bool {
	deny := interceptor.Deny.String()
	return (g.Comparison == replay.Flipped || g.Comparison == replay.Erred) && g.From == deny && g.To != deny
}

// judge says which groups of a report fail, and why.
func (t *threshold) judge(r *replay.Report) *verdict {
	v := &verdict{fails: map[int]bool{}}
	counts := map[string]int{}
	var flips []int
	for i := range r.Groups {
		g := &r.Groups[i]
		switch {
		case slices.ContainsFunc(t.allow, func(r rule) bool { return r.allows(g) }):
			continue
		case loosened(g):
		case !anyNames(t.failOn, g):
			continue
		case g.Comparison == replay.Flipped:
			flips = append(flips, i)
			v.flips += g.Count
			continue
		}
		v.fails[i] = true
		counts[kindOf(g)] += g.Count
	}
	if v.flips > t.maxFlips {
		for _, i := range flips {
			v.fails[i] = true
			counts[kindOf(&r.Groups[i])] += r.Groups[i].Count
		}
		v.flips = 0
	}
	seen := map[string]bool{}
	for i := range r.Groups { // in the order of the report
		g := &r.Groups[i]
		kind := kindOf(g)
		if !v.fails[i] || seen[kind] {
			continue
		}
		seen[kind] = true
		v.reasons = append(v.reasons, kind+" "+cli.Thousands(int64(counts[kind]))+t.remedy(g))
	}
	return v
}

// remedy says what would have let a group pass.
func (t *threshold) remedy(g *replay.Group) string {
	switch {
	case loosened(g):
		return " (always fails, unless --allow '" + g.From + "->" + g.To + "')"
	case g.Comparison == replay.Flipped && t.maxFlips > 0:
		return fmt.Sprintf(" (--max-flips %d)", t.maxFlips)
	}
	return ""
}

// kindOf is what a group's difference is called on the command line.
func kindOf(g *replay.Group) string {
	switch {
	case g.Comparison == replay.Flipped:
		return g.From + "->" + g.To
	case loosened(g):
		return "error " + g.From + "->" + g.To
	}
	return strings.ReplaceAll(string(g.Comparison), "_", "-")
}

// err is how the verb ends; nil when the candidate passes.
func (v *verdict) err() error {
	if len(v.reasons) == 0 {
		return nil
	}
	return &cli.Exit{Code: cli.ExitFound, Err: errors.New("the replay fails: " + strings.Join(v.reasons, ", "))}
}

// A thresholdFlags is what the command line says of a [threshold].
type thresholdFlags struct {
	failOn, allow string
	maxFlips      int
}

func (f *thresholdFlags) parse() (*threshold, error) {
	if f.maxFlips < 0 {
		return nil, cli.Usagef("--max-flips %d: not a number of flips", f.maxFlips)
	}
	t := &threshold{maxFlips: f.maxFlips}
	var err error
	if t.failOn, err = parseRules("fail-on", cmp.Or(f.failOn, "any")); err != nil {
		return nil, err
	}
	t.allow, err = parseRules("allow", f.allow)
	return t, err
}
