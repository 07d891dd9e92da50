// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommittedFilesAreFresh(t *testing.T) {
	files := Files()
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("grafana", name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale, run go generate ./dashboards (-want +committed):\n%s", name, diff)
		}
	}
	entries, err := os.ReadDir("grafana")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := files[e.Name()]; !ok {
			t.Errorf("grafana/%s: nobody generates it", e.Name())
		}
	}
}

// committed decodes every committed dashboard, unknown fields refused.
func committed(t *testing.T) map[string]Dashboard {
	t.Helper()
	names, err := filepath.Glob("grafana/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	out := make(map[string]Dashboard)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := decode(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = d
	}
	return out
}

func decode(data []byte) (d Dashboard, err error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return d, dec.Decode(&d)
}

func TestDashboards(t *testing.T) {
	uids := make(map[string]string)
	for name, d := range committed(t) {
		if other, dup := uids[d.UID]; dup || d.UID == "" {
			t.Errorf("%s: uid %q is empty or that of %s", name, d.UID, other)
		}
		uids[d.UID] = name
		if d.Title == "" || d.Description == "" || d.Editable {
			t.Errorf("%s: wants a title and a description, and not to be editable", name)
		}
		variables := make(map[string]string)
		for _, v := range d.Templating.List {
			if v.Type == "datasource" {
				variables["${"+v.Name+"}"] = v.Query
			}
			checkVariable(t, name, v, d, variables)
		}
		ids := make(map[int]bool)
		for i, p := range d.Panels {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: panel %q: id %d is used twice", name, p.Title, p.ID)
			}
			ids[p.ID] = true
			checkPanel(t, name, p, variables)
			for _, q := range d.Panels[:i] {
				if overlap(p.GridPos, q.GridPos) {
					t.Errorf("%s: panels %q and %q overlap", name, q.Title, p.Title)
				}
			}
		}
	}
}

func checkPanel(t *testing.T, name string, p Panel, variables map[string]string) {
	t.Helper()
	if g := p.GridPos; g.X < 0 || g.W < 1 || g.X+g.W > columns || g.H < 1 {
		t.Errorf("%s: panel %q lies outside the grid: %+v", name, p.Title, g)
	}
	if p.Title == "" {
		t.Errorf("%s: panel %d has no title", name, p.ID)
	}
	if p.Type == "row" {
		return
	}
	if p.Description == "" || !strings.HasSuffix(p.Description, ".") {
		t.Errorf("%s: panel %q: the description is not a sentence: %q", name, p.Title, p.Description)
	}
	if p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%s: panel %q has no unit", name, p.Title)
	} else if p.Type == "stat" && p.FieldConfig.Defaults.Thresholds == nil {
		t.Errorf("%s: panel %q does not say what is good and what is bad", name, p.Title)
	}
	if p.Datasource == nil || variables[p.Datasource.UID] != p.Datasource.Type {
		t.Errorf("%s: panel %q: data source %+v is not a variable of that type", name, p.Title, p.Datasource)
	}
	refs := make(map[string]bool)
	if len(p.Targets) == 0 {
		t.Errorf("%s: panel %q asks nothing", name, p.Title)
	}
	for _, target := range p.Targets {
		if refs[target.RefID] || target.RefID == "" {
			t.Errorf("%s: panel %q: refId %q is used twice", name, p.Title, target.RefID)
		}
		refs[target.RefID] = true
		if variables[target.Datasource.UID] != target.Datasource.Type {
			t.Errorf("%s: panel %q: target %s: fixed data source %+v", name, p.Title, target.RefID, target.Datasource)
		}
		if (target.Expr == "") == (target.RawSQL == "") || (target.RawSQL != "") != (target.Datasource.Type == clickhouse.Type) {
			t.Errorf("%s: panel %q: target %s wants one query, in the language of its data source", name, p.Title, target.RefID)
		}
		if strings.Contains(target.Expr, "rate(") && !strings.Contains(target.Expr, "[$__rate_interval]") {
			t.Errorf("%s: panel %q: a rate over a fixed window breaks when zoomed: %s", name, p.Title, target.Expr)
		}
	}
}

func overlap(a, b GridPos) bool {
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H
}

// checkVariable looks that what the reader can choose from is asked of a data
// source, begins with everything, and narrows something down.
func checkVariable(t *testing.T, name string, v Variable, d Dashboard, sources map[string]string) {
	t.Helper()
	if v.Label == "" || v.Query == "" || v.Current.Value == "" {
		t.Errorf("%s: variable %s wants a label, a query and what is chosen at first", name, v.Name)
	}
	used := false
	for _, p := range d.Panels {
		used = used || p.Datasource != nil && p.Datasource.UID == "${"+v.Name+"}"
		for _, target := range p.Targets {
			used = used || regexp.MustCompile(`\$\{?`+v.Name+`\b`).MatchString(target.Expr+target.RawSQL)
		}
	}
	if !used {
		t.Errorf("%s: variable %s changes nothing", name, v.Name)
	}
	switch v.Type {
	case "datasource":
	case "query":
		if v.Datasource == nil || sources[v.Datasource.UID] != v.Datasource.Type {
			t.Errorf("%s: variable %s: data source %+v is not a variable of that type", name, v.Name, v.Datasource)
		}
		if !v.IncludeAll || !v.Multi || v.Current.Value != "$__all" || v.Definition != v.Query {
			t.Errorf("%s: variable %s begins with less than all: %+v", name, v.Name, v)
		}
	default:
		t.Errorf("%s: variable %s is of type %q", name, v.Name, v.Type)
	}
}

// What a query names is chosen at the top of its page.
func TestVariablesAreThere(t *testing.T) {
	named := regexp.MustCompile(`\$\{?([A-Za-z_]+)`)
	grafanas := []string{"__from", "__to", "__range", "__rate_interval", "__conditionalAll"}
	for name, d := range committed(t) {
		there := slices.Clone(grafanas)
		for _, v := range d.Templating.List {
			for _, m := range named.FindAllStringSubmatch(v.Query, -1) {
				if !slices.Contains(there, m[1]) {
					t.Errorf("%s: variable %s goes by %s, which is not before it", name, v.Name, m[1])
				}
			}
			there = append(there, v.Name)
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				for _, m := range named.FindAllStringSubmatch(target.Expr+target.RawSQL, -1) {
					if !slices.Contains(there, m[1]) {
						t.Errorf("%s: panel %q names $%s, which nobody chooses", name, p.Title, m[1])
					}
				}
			}
		}
	}
}

// The uids are in bookmarks and in links of others: they stay. Each dashboard
// leads to all others.
func TestUIDsStay(t *testing.T) {
	want := map[string]string{
		"grafana/overview.json": "docket-overview", "grafana/evaluations.json": "docket-evaluations", "grafana/pipeline.json": "docket-pipeline",
		"grafana/storage.json": "docket-storage", "grafana/replay.json": "docket-replay",
	}
	got := map[string]string{}
	for name, d := range committed(t) {
		got[name] = d.UID
		if len(d.Links) != 1 || d.Links[0].Type != "dashboards" || !slices.Equal(d.Links[0].Tags, d.Tags) || !d.Links[0].KeepTime {
			t.Errorf("%s: links %+v", name, d.Links)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +committed):\n%s", diff)
	}
}

// What is decoded is refused where it has something that the model does not know,
// wherever it is.
func TestStrict(t *testing.T) {
	good := string(Files()["overview.json"])
	for _, damage := range [][2]string{
		{`"uid": "docket-overview"`, `"uid": "docket-overview", "gnetId": 7`},
		{`"fixedColor": "red"`, `"fixedColor": "red", "shade": "dark"`},
		{`"legendFormat": "{{decision}}"`, `"legendFormat": "{{decision}}", "hide": true`},
	} {
		bad := strings.Replace(good, damage[0], damage[1], 1)
		if bad == good {
			t.Fatalf("nothing to damage: %s", damage[0])
		}
		if _, err := decode([]byte(bad)); err == nil {
			t.Errorf("taken: %s", damage[1])
		}
	}
	if _, err := decode([]byte(good)); err != nil {
		t.Error(err)
	}
}
