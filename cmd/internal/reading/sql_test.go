// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
)

// A tenant's scope has no file whole in which there is somebody else's event.
func TestScope(t *testing.T) {
	file := func(path string, epochs ...string) lake.File {
		f := lake.File{Path: path, Epochs: map[string]store.Interval{}}
		for _, e := range epochs {
			f.Epochs[e] = store.Interval{}
		}
		return f
	}
	m := &lake.Manifest{
		Epochs: map[string]lake.Epoch{"a1": {Tenant: "acme"}, "a2": {Tenant: "acme"}, "g": {Tenant: "globex"}, "none": {}},
		Files:  []lake.File{file("a", "a1", "a2"), file("both", "a1", "g"), file("g", "g"), file("odd", "a1", "none"), file("unknown", "nowhere")},
	}
	everybody := authz.Trusted("admin", authz.BySecret)
	view := func(g *authz.Grant, tenants ...string) authz.View {
		v, err := g.View(tenants, nil)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, test := range map[string]struct {
		view authz.View
		want sql.Scope
	}{
		"all":     {view(everybody), sql.Scope{Files: []string{"a", "both", "g", "odd", "unknown"}}},
		"acme":    {view(everybody, "acme"), sql.Scope{Tenants: []string{"acme"}, Files: []string{"a"}, Shared: []string{"both", "odd"}}},
		"its own": {view(&authz.Grant{Prefixes: []string{"acme/"}}), sql.Scope{Tenants: []string{"acme"}, Files: []string{"a"}, Shared: []string{"both", "odd"}}},
		"globex":  {view(everybody, "globex"), sql.Scope{Tenants: []string{"globex"}, Files: []string{"g"}, Shared: []string{"both"}}},
		"both":    {view(everybody, "globex", "acme"), sql.Scope{Tenants: []string{"acme", "globex"}, Files: []string{"a", "both", "g"}, Shared: []string{"odd"}}},
		"nobody":  {view(everybody, "nobody"), sql.Scope{Tenants: []string{""}}},
		"nothing": {view(new(authz.Grant)), sql.Scope{Tenants: []string{""}}},
		"zero":    {authz.View{}, sql.Scope{Tenants: []string{""}}},
	} {
		test.want.Dir, test.want.Filter = "d", "ran"
		got := scope("d", m, serve.Question{View: test.view, Filter: "ran"})
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// What came later than the commit that is asked about is left out.
	for i := range m.Files {
		m.Files[i].FirstCommit = uint64(i + 1)
	}
	want := sql.Scope{Dir: "d", Files: []string{"a", "both"}, AsOf: 2}
	if diff := cmp.Diff(want, scope("d", m, serve.Question{View: view(everybody), At: 2})); diff != "" {
		t.Errorf("as of (-want +got):\n%s", diff)
	}
}
