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
	metricName = regexp.MustCompile(`\b(docket_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?`)
	grouping   = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	labelName  = regexp.MustCompile(`([a-z_]+)\s*(?:=|!)`)
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

// Every metric that the product exports is looked at by somebody, or is here.
var unwatched = []string{
	"docket_emitter_aside", // is a trouble, and those are watched
	"docket_emitter_shrunk_total",
	"docket_emitter_resent_total",      // what did not come again is a finding
	"docket_emitter_queue_age_seconds", // a disk that hangs is felt by callers first
	"docket_emitter_reserve_bytes",     // 0 is a trouble
	"docket_emitter_spool_duration_seconds",
	"docket_emitter_stream_duration_seconds",
	"docket_emitter_sync_duration_seconds",
	"docket_chain_evaluations_total", // per binding; for questions that the overview does not ask
	"docket_chain_patches_total",
	"docket_chain_shadow_total",                                                                // while a binding is tried out
	"docket_chain_skipped_total",                                                               // follows from denials and from selectors
	"docket_chain_queue_wait_seconds",                                                          // refusals are failures, of kind limit
	"docket_chain_redactions_total",                                                            // a constant of rules and traffic; who asks what was left out asks the events
	"docket_collector_commits_total",                                                           // the ledger grows with it
	"docket_collector_expired_total", "docket_collector_erased_total", "docket_collector_held", // what left as it was to: docket doctor says why nothing does
	"docket_collector_compactions_total", "docket_collector_compacted_total", "docket_collector_compaction_seconds", // one that fails is an error, and those are watched
	"docket_collector_active",                                                                                                   // one that stands by is as it should be; that nobody collects shows in what waits
	"docket_collector_questions_total", "docket_collector_answered_total", "docket_collector_holes", "docket_collector_missing", // what comes of them is a finding, and those are watched
	"docket_grpcproxy_upstream_duration_seconds", // whose time it was, once docket_chain_operation_duration says that it was long
	"docket_emitter_declared_total",              // is refused, a little later
	"docket_emitter_own_total",                   // constant in practice
	"docket_emitter_sequenced_total",             // offered less refused
	"docket_emitter_queue_bytes",                 // refused says when it matters
	"docket_emitter_spooled_size_bytes_total",
	"docket_emitter_streamed_size_bytes_total",
}

func checkAllWatched(t *testing.T, exported map[string]bool) {
	t.Helper()
	watched := make(map[string]bool)
	for _, u := range used(t) {
		watched[strings.TrimSuffix(u.metric, "_bucket")] = true
	}
	for _, name := range unwatched {
		if !exported[name] {
			t.Errorf("unwatched names %s, which is not exported", name)
		}
		if watched[name] {
			t.Errorf("unwatched names %s, which is watched", name)
		}
		watched[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(exported)) {
		if !watched[name] {
			t.Errorf("%s is exported and nobody looks at it: put it on a dashboard or into unwatched", name)
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
