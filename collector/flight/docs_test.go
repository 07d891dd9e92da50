// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package flight

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/sql"
)

// block returns the one block of code in a language in docs/flightsql.md.
func block(t *testing.T, language string) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/flightsql.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(b), "```"+language+"\n")
	if len(parts) != 2 {
		t.Fatalf("%d blocks of %s", len(parts)-1, language)
	}
	code, _, _ := strings.Cut(parts[1], "```")
	return code
}

// The example is the one in the documentation, and it works.
func TestExample(t *testing.T) {
	source, err := os.ReadFile("../../examples/flightsql/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), strings.TrimSpace(block(t, "go"))) {
		t.Error("docs/flightsql.md shows another program than examples/flightsql")
	}
	h := newHouse(t, sql.Limits{}, nil)
	program := filepath.Join(t.TempDir(), "flightsql")
	if out, err := exec.Command("go", "build", "-o", program, "../../examples/flightsql").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// There is nothing in the views of this door.
	if out, err := exec.Command(program, h.addr, "acme").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("the example: %v\n%s", err, out)
	}
	if out, err := exec.Command(program, h.addr, "forged").CombinedOutput(); err == nil || !strings.Contains(string(out), "Unauthenticated") {
		t.Errorf("the example with another token: %v\n%s", err, out)
	}
}

// Each type of the table has a row in the documentation.
func TestTypesAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/flightsql.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "UBIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "VARCHAR", "JSON", "BLOB", "ENUM", "UUID", "BIT",
		"DATE", "TIME", "TIMESTAMP", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ", "INTERVAL", "LIST", "STRUCT", "MAP", "UNION",
	} {
		if !strings.Contains(string(b), "`"+name) {
			t.Errorf("docs/flightsql.md does not say what %s becomes", name)
		}
	}
}
