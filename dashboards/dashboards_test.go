// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
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
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		var d Dashboard
		if err := dec.Decode(&d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = d
	}
	return out
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
			variables["${"+v.Name+"}"] = v.Query
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
		if strings.Contains(target.Expr, "rate(") && !strings.Contains(target.Expr, "[$__rate_interval]") {
			t.Errorf("%s: panel %q: a rate over a fixed window breaks when zoomed: %s", name, p.Title, target.Expr)
		}
	}
}

func overlap(a, b GridPos) bool {
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H
}
