// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/ocsf/schema"
)

const (
	compiledDir = "../../../../shared/ocsf/schema"
	catalogDir  = "../../../schemas/ocsf/catalog"
)

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string, len(names))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(name)] = string(text)
	}
	return texts
}

// Where the compiled schemas are, they make the catalogs that are checked in.
func TestCatalogsAreFresh(t *testing.T) {
	dir, log := t.TempDir(), &bytes.Buffer{}
	if err := writeCatalogs(compiledDir, dir, log); err != nil {
		t.Fatal(err)
	}
	want := files(t, catalogDir)
	if log.Len() > 0 {
		t.Logf("LEFT OUT:\n%s", log)
	}
	for name, got := range files(t, dir) {
		if got != want[name] {
			t.Errorf("%s is stale: run go generate ./ocsf/schema", name)
		}
	}
}

// Without compiled schemas the catalogs stay, log says so, and they are enough.
func TestCatalogsAlone(t *testing.T) {
	for _, compiled := range []string{"", t.TempDir()} {
		dir, log := t.TempDir(), &bytes.Buffer{}
		want := files(t, catalogDir)
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := writeCatalogs(compiled, dir, log); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, files(t, dir)); diff != "" {
			t.Errorf("catalogs changed:\n%s", diff)
		}
		schemas, err := readCatalogs(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(schemas) != len(schema.Versions()) {
			t.Errorf("read %d catalogs of %d", len(schemas), len(schema.Versions()))
		}
		for _, version := range schema.Versions() {
			if !strings.Contains(log.String(), version+".json: the catalog stays as it is") {
				t.Errorf("nothing was said of %s:\n%s", version, log)
			}
		}
	}
}

func TestWrongCompiledSchema(t *testing.T) {
	for text, want := range map[string]string{
		`{"compile_version": 1, "version": "1.7.0", "categories": {"attributes": {}}, "extensions": {}, "profiles": {},
		  "dictionary": {"types": {"attributes": {}}}, "objects": {}, "classes": {}}`: "it is version 1.7.0, not 1.6.0",
		`{}`: "compile_version",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "1.6.0.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := writeCatalogs(dir, t.TempDir(), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := readCatalogs(t.TempDir()); err == nil {
		t.Error("read catalogs where there are none")
	}
}
