// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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
	for _, test := range []struct {
		tenants []string
		want    sql.Scope
	}{
		{nil, sql.Scope{Files: []string{"a", "both", "g", "odd", "unknown"}}},
		{[]string{"acme"}, sql.Scope{Files: []string{"a"}, Shared: []string{"both", "odd"}}},
		{[]string{"globex"}, sql.Scope{Files: []string{"g"}, Shared: []string{"both"}}},
		{[]string{"globex", "acme"}, sql.Scope{Files: []string{"a", "both", "g"}, Shared: []string{"odd"}}},
		{[]string{"nobody"}, sql.Scope{}},
	} {
		test.want.Dir, test.want.Tenants, test.want.Filter = "d", test.tenants, "ran"
		got := scope("d", m, serve.Question{Tenants: test.tenants, Filter: "ran"})
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.tenants, diff)
		}
	}
	// What came later than the commit that is asked about is left out.
	for i := range m.Files {
		m.Files[i].FirstCommit = uint64(i + 1)
	}
	want := sql.Scope{Dir: "d", Files: []string{"a", "both"}, AsOf: 2}
	if diff := cmp.Diff(want, scope("d", m, serve.Question{At: 2})); diff != "" {
		t.Errorf("as of (-want +got):\n%s", diff)
	}
}
