// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ofCommands are the metrics that the commands themselves export, which no
// package does.
var ofCommands = []string{"docket_chain_plans_total"}

// The page on metrics names each one that there is, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	c := &catalogue{}
	everything(t, c)
	want := c.exported(t)
	for _, name := range ofCommands {
		want[name] = true
	}
	got := map[string]bool{}
	for line := range strings.Lines(string(read(t, "../docs/telemetry.md"))) {
		if cell, ok := strings.CutPrefix(line, "| `docket_"); ok {
			cell, _, _ = strings.Cut("`docket_"+cell, "|")
			for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cell, -1) {
				got[name[1]] = true
			}
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("docs/telemetry.md lacks (-) or makes up (+):\n%s", diff)
	}
}
