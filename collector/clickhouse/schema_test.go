// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/retention"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// newServer has every setting.
func newServer(string) (bool, error) { return true, nil }

// What is applied to one server, and to a cluster, which nothing here can run.
func TestRendered(t *testing.T) {
	for name, cluster := range map[string]string{"one.sql": "", "cluster.sql": "audit's"} {
		var b strings.Builder
		for _, m := range migrations() {
			statements, err := render(m.name, cluster, newServer)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString("-- " + m.name + "\n")
			for _, s := range statements {
				if strings.Contains(s, "{{") || strings.Contains(s, "<no value>") {
					t.Errorf("%s: not rendered: %s", m.name, s)
				}
				b.WriteString(s + ";\n\n")
			}
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s (-golden +now; accept with -update):\n%s", name, d)
		}
	}
}

// In a cluster no statement is for one node, and no table is on one.
func TestCluster(t *testing.T) {
	for _, m := range migrations() {
		statements, err := render(m.name, "audit", newServer)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if strings.HasPrefix(s, "CREATE") && !strings.Contains(s, " ON CLUSTER 'audit'") {
				t.Errorf("for one node: %.80s", s)
			}
			if strings.HasPrefix(s, "CREATE TABLE") && !strings.Contains(s, "ENGINE = Replicated") && !strings.Contains(s, "ENGINE = Distributed('audit'") {
				t.Errorf("on one node: %.80s", s)
			}
		}
	}
	s := &server{cluster: "audit"}
	if got := s.altered("docket_events"); got != "docket_events_local ON CLUSTER 'audit'" {
		t.Errorf("altered: %s", got)
	}
	if got := s.altered("docket_quarantine"); got != "docket_quarantine ON CLUSTER 'audit'" {
		t.Errorf("altered: %s", got)
	}
}

// The columns are those of the header, under the same names, and the views show them.
func TestColumns(t *testing.T) {
	var all []string
	for _, m := range migrations() {
		statements, err := render(m.name, "", newServer)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, statements...)
	}
	table := all[slices.IndexFunc(all, func(s string) bool { return strings.Contains(s, "TABLE IF NOT EXISTS docket_events") })]
	view := latest(t, all, "events")
	var have []string
	for _, m := range regexp.MustCompile(`(?m)^\t([a-z_]+) `).FindAllStringSubmatch(table, -1) {
		have = append(have, m[1])
	}
	want := append(slices.Clone(headerNames), "_raw", "_stored_time", "_stream_seq", "_commit", "_pos")
	if d := cmp.Diff(append(slices.Clone(want), "_writer", "time_dt"), have); d != "" {
		t.Errorf("columns of docket_events (-want +have):\n%s", d)
	}
	_, list, _ := strings.Cut(view, "AS r\nSELECT")
	list, _, _ = strings.Cut(list, "FROM")
	if d := cmp.Diff(append(want, "time_dt"), regexp.MustCompile(`[a-z_]+`).FindAllString(list, -1)); d != "" {
		t.Errorf("columns of events (-want +have):\n%s", d)
	}
	views := make(map[string]bool)
	for _, s := range all {
		if m := regexp.MustCompile(`^CREATE OR REPLACE VIEW (\w+) AS SELECT \* FROM events WHERE class_uid = (\d+)$`).FindStringSubmatch(s); m != nil {
			views[m[1]] = true
		}
	}
	for name, uid := range classes() {
		if !views[name] && uid != 0 { // what all classes have in common is none
			t.Errorf("no view of class %s", name)
		}
		delete(views, name)
	}
	for name := range views {
		t.Errorf("%s is the view of no class", name)
	}
}

// latest returns the statement that makes a view what it is in the end.
func latest(t *testing.T, statements []string, view string) (found string) {
	t.Helper()
	for _, s := range statements {
		if strings.HasPrefix(s, "CREATE OR REPLACE VIEW "+view+" ") {
			found = s
		}
	}
	if found == "" {
		t.Fatalf("no view %s", view)
	}
	return found
}

// A server that is older gets no setting that it would refuse.
func TestOldServer(t *testing.T) {
	old := func(string) (bool, error) { return false, nil }
	for _, m := range migrations() {
		statements, err := render(m.name, "", old)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if _, settings, found := strings.Cut(s, "\nSETTINGS "); found && strings.HasPrefix(s, "CREATE OR REPLACE VIEW") && settings != "join_use_nulls = 1" {
				t.Errorf("%s", s)
			}
		}
	}
}

// A reader and the views mean the same by a row that is of a commit.
func TestCommitted(t *testing.T) {
	var all []string
	for _, m := range migrations() {
		statements, err := render(m.name, "", newServer)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, statements...)
	}
	for view, condition := range map[string]string{
		"events": visible("_commit", "_writer"), "stubs": visible("_commit", "_writer"), "quarantine": visible("_commit", "_writer"),
		"commits": visible("number", "writer"),
	} {
		s := latest(t, all, view)
		_, body, _ := strings.Cut(s, " AS\n")
		body, _, _ = strings.Cut(body, "\nSETTINGS ")
		if !strings.HasPrefix(body, strings.TrimSuffix(ranges, " ")+"\nSELECT") || !strings.HasSuffix(body, "\nWHERE "+condition) {
			t.Errorf("not the condition of a reader: %s", s)
		}
	}
}

func TestTTL(t *testing.T) {
	const base = "toDateTime(least(greatest(intDiv(greatest(time, _stored_time), 1000), 0), "
	for _, c := range []struct {
		period string
		rules  []string
		want   string
	}{
		{"", nil, base + "4260407295)) + toIntervalDay(400)"},
		{"forever", nil, ""},
		{"20000d", nil, ""},
		{"30d", []string{"tenant=acme forever"}, base + `4292375295)) + toIntervalDay(multiIf(tenant = 'acme', 1, 30)) DELETE WHERE multiIf(tenant = 'acme', false, true)`},
		{"forever", []string{"class=api_activity 7d", "tenant=a'b class=api_activity 9d"}, base + `4294189695)) + toIntervalDay(multiIf(tenant = 'a\x27b' AND class_uid = 6003, 9, class_uid = 6003, 7, 1))` +
			` DELETE WHERE multiIf(tenant = 'a\x27b' AND class_uid = 6003, true, class_uid = 6003, true, false)`},
	} {
		p, err := retention.ParsePolicy(c.period, c.rules...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ttl(p)
		if err != nil || got != c.want {
			t.Errorf("%s %v: %v\n got %s\nwant %s", c.period, c.rules, err, got, c.want)
		}
	}
	if _, err := ttl(retention.Policy{Rules: []retention.Rule{{Class: "no_such", Keep: retention.Day}}}); err == nil {
		t.Error("a class that there is not has a TTL")
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "acme", "a'b", `\`, "\x00\xff", "{x:String}", "? $1 @name -- /*", "ü"} {
		f.Add(s)
	}
	plain := regexp.MustCompile(`^'(?:[a-zA-Z0-9 _./-]|\\x[0-9A-F]{2})*'$`)
	f.Fuzz(func(t *testing.T, s string) {
		if q := text(s); !plain.MatchString(q) {
			t.Errorf("%q is quoted as %s", s, q)
		}
	})
}
