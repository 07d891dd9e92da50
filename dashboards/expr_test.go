// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A use is a metric with the labels by which expressions select or group it.
type use struct {
	metric string
	labels []string
	where  string
}

var (
	metricName  = regexp.MustCompile(`\b(docket_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?`)
	grouping    = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	labelValues = regexp.MustCompile(`^label_values\((.*), ([a-z_]+)\)$`)
	labelName   = regexp.MustCompile(`([a-z_]+)\s*(?:=|!)`)
)

// uses finds what an expression names. It only has to know the names: that
// the whole is PromQL is promlint's to say.
func uses(where, expr string) []use {
	var groups []string
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			groups = append(groups, strings.TrimSpace(label))
		}
	}
	var out []use
	for _, m := range metricName.FindAllStringSubmatch(grouping.ReplaceAllString(expr, ""), -1) {
		labels := slices.Clone(groups)
		for _, l := range labelName.FindAllStringSubmatch(m[2], -1) {
			labels = append(labels, l[1])
		}
		out = append(out, use{metric: m[1], labels: labels, where: where})
	}
	return out
}

// used is everything that the dashboards and rules name, but for what is
// Prometheus' own: the metric up, and what rules record themselves.
func used(t *testing.T) []use {
	t.Helper()
	var out []use
	for name, d := range committed(t) {
		for _, v := range d.Templating.List {
			if m := labelValues.FindStringSubmatch(v.Query); m != nil {
				by := uses(name+": variable "+v.Name, m[1])
				for i := range by {
					by[i].labels = append(by[i].labels, m[2])
				}
				out = append(out, by...)
			}
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				out = append(out, uses(name+": "+p.Title, target.Expr)...)
			}
		}
	}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			out = append(out, uses("rules.yml: "+r.Alert+r.Record, r.Expr)...)
		}
	}
	for _, c := range tests(t).Tests {
		for _, series := range c.InputSeries {
			out = append(out, uses("rules_test.yml: "+c.Name, series.Series)...)
		}
	}
	out = slices.DeleteFunc(out, func(u use) bool { return u.metric == "up" })
	if len(out) < 20 {
		t.Fatalf("only %d uses found: the expressions are not read right", len(out))
	}
	return out
}

func TestUses(t *testing.T) {
	got := uses("here", `sum by (le, phase) (rate(docket_a_seconds_bucket{kind="x", policy!~"y"}[5m])) / docket_b_total`)
	want := []use{
		{"docket_a_seconds_bucket", []string{"le", "phase", "kind", "policy"}, "here"},
		{"docket_b_total", []string{"le", "phase"}, "here"},
	}
	if len(got) != 2 || !slices.EqualFunc(got, want, func(a, b use) bool {
		return a.metric == b.metric && a.where == b.where && slices.Equal(a.labels, b.labels)
	}) {
		t.Errorf("uses = %v, want %v", got, want)
	}
}

// checkAllWatched looks that every metric that the product exports is looked at by
// somebody.
func checkAllWatched(t *testing.T, exported map[string]bool) {
	t.Helper()
	watched := make(map[string]bool)
	for _, u := range used(t) {
		watched[strings.TrimSuffix(u.metric, "_bucket")] = true
	}
	for _, name := range slices.Sorted(maps.Keys(exported)) {
		if !watched[name] {
			t.Errorf("%s is exported and nobody looks at it: put it on a dashboard", name)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
