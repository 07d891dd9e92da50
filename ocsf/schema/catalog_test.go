// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/ocsf/schema"
	"github.com/docket-audit/docket/schemas/ocsf"
)

// compiled returns a compiled schema, which is no part of this repository: nil
// where it is not there. Then what concerns it is left out, and t says so.
func compiled(t *testing.T, version string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../shared/ocsf/schema/" + version + ".json")
	if os.IsNotExist(err) {
		t.Logf("LEFT OUT: there is no compiled schema %s here, so that its catalog is not compared with it", version)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A catalog holds the compiled schema's facts, and making it anew changes nothing.
func TestCatalogIsCompiledSchema(t *testing.T) {
	for _, version := range schema.Versions() {
		t.Run(version, func(t *testing.T) {
			text := compiled(t, version)
			if text == nil {
				return
			}
			want, err := schema.ReadCompiled(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			got, err := schema.Load(version)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("catalog is not what was compiled (-compiled +catalog):\n%s", diff)
			}
			var made bytes.Buffer
			if err := schema.Write(&made, want); err != nil {
				t.Fatal(err)
			}
			catalog, err := ocsf.Catalogs.ReadFile("catalog/" + version + ".json")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(made.Bytes(), catalog) {
				t.Error("the catalog is stale: run go generate ./ocsf/schema")
			}
		})
	}
}

// A catalog that is read and written again is the same file.
func TestCatalogsAreCanonical(t *testing.T) {
	for _, version := range schema.Versions() {
		catalog, err := ocsf.Catalogs.ReadFile("catalog/" + version + ".json")
		if err != nil {
			t.Fatal(err)
		}
		s, err := schema.Read(bytes.NewReader(catalog))
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if err := schema.Write(&again, s); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Bytes(), catalog) {
			t.Errorf("%s: reading and writing changes the catalog", version)
		}
	}
}
