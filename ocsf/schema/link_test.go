// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/docket-audit/docket/ocsf/schema"
	"github.com/docket-audit/docket/schemas/ocsf"
)

// A program that never calls Load does not carry the catalogs.
func TestCatalogsAreLinkedOnDemand(t *testing.T) {
	catalog, err := ocsf.Catalogs.ReadFile("catalog/" + schema.Default + ".json")
	if err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]bool{"with": true, "without": false} {
		bin := filepath.Join(t.TempDir(), program)
		build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", bin, "./testdata/"+program)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(bin)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(text, catalog); got != want {
			t.Errorf("the program %s catalogs carries them: %v, want %v", program, got, want)
		}
	}
}
