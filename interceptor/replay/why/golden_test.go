// SPDX-License-Identifier: Apache-2.0

package why_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor/replay/why"
)

var update = flag.Bool("update", false, "write golden files anew")

// Scripts of others read the JSON of an Answer; new members may be added, none
// may go.
func TestAnswerJSON(t *testing.T) {
	plan := planOf(
		validating("images", onList("base:1", "base:2")),
		validating("size", judge(func(r map[string]any) string {
			if num(r, "box", "spec", "replicas") > 8 {
				return "too large"
			}
			return ""
		})))
	a := explain(t, plan, why.Options{}, box("base:2", 4), box("base:1", 2), box("base:2", 3), box("evil:1", 90))
	name := filepath.Join("testdata", "answer.golden.json")
	got := text(a) + "\n"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
