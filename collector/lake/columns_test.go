// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/lake"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The columns are a contract: queries, dashboards and other people's tools name
// them.
func TestColumns(t *testing.T) {
	var got strings.Builder
	names, types := lake.Columns()
	for i, name := range names {
		got.WriteString(name + " " + types[i] + "\n")
	}
	const path = "testdata/columns.golden"
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("columns changed (-want +got):\n%s", d)
	}
}
