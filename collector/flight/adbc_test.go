// SPDX-License-Identifier: Apache-2.0

//go:build adbc && cgo

package flight

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/sql"
)

// The driver that most of Python's users have gets the same answers. `make adbc`
// fetches what it needs.
func TestByADBC(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	cmd := exec.Command("python3", "testdata/adbc.py", "grpc://"+h.addr)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{"drop": "docket only reads", "file": "passwd", "late": "told late", "forged": "no token that is known"} {
		if text, _ := got[name].(string); !strings.Contains(text, says) {
			t.Errorf("%s: %q does not say %q", name, text, says)
		}
		delete(got, name)
	}
	if got["cancelled"] == nil {
		t.Error("what was cancelled came to its end")
	}
	delete(got, "cancelled")
	want := map[string]any{
		"rows": 200_000., "sum": 19_999_900_000., "last": "row 199999",
		"types": []any{
			"decimal128(38, 0)", "decimal128(4, 2)", "string", "binary", "date32[day]", "timestamp[us, tz=UTC]",
			"list<item: int32>", "struct<a: int32>", "map<string, int32>", "int32", "string",
		},
		"values":     []any{"1", "1.50", "x", `b'\x00'`, "2026-11-30", "2026-11-30 10:00:00+00:00", "[1, None]", "{'a': 1}", "[('k', 2)]", "None", "0101"},
		"parameters": []any{"x' OR '1'='1", 42.}, "injection": []any{0.},
		"objects": []any{"memory", "main", "operations", "VIEW"}, "columns": []any{"operation_uid", "tenant", "time"},
		"schema": "string", "vendor": "docket",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ADBC (-want +got):\n%s", diff)
	}
}

// The program in the documentation works as it stands, but for where it asks.
func TestDocsByADBC(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	program := block(t, "python")
	for said, is := range map[string]string{"grpc://127.0.0.1:8081": "grpc://" + h.addr, `open("docket-data/keys/api.token").read().strip()`: `"acme"`} {
		if !strings.Contains(program, said) {
			t.Fatalf("docs/flightsql.md does not say %s", said)
		}
		program = strings.ReplaceAll(program, said, is)
	}
	cmd := exec.Command("python3", "-c", program)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "0 operations were denied\n" {
		t.Errorf("the example: %v\n%s", err, out)
	}
}
