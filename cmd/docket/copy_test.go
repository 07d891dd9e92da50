// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// From the command line into ClickHouse and back, and what verify says of each, and
// of a cell that somebody has rewritten.
func TestCopyTables(t *testing.T) {
	dir := t.TempDir()
	a, data, b := filepath.Join(dir, "a"), filepath.Join(dir, "ledger"), filepath.Join(dir, "b")
	if err := os.CopyFS(a, os.DirFS(filepath.Join("testdata", "formats", "2"))); err != nil {
		t.Fatal(err)
	}
	engine := chdbtest.Start(t, "")
	tables := engine.DSN()
	run := func(code int, words string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if got := cli.Run(root(), args, &out, &errs); got != code || !strings.Contains(out.String()+errs.String(), words) {
			t.Errorf("docket %v: code %d, not %d with %q\n%s%s", args, got, code, words, out.String(), errs.String())
		}
	}
	run(0, "the destination has everything", "copy", "--from", a, "--to", tables, "--data", data)
	// Whoever asks the directory of the ledger for events is told where they are.
	run(1, "verify --store", "verify", "--data", data)
	t.Setenv("DOCKET_STORE", tables)
	run(0, "\nok\n", "verify", "--data", data)
	run(0, "\nok\n", "verify", "--data", a)
	t.Setenv("DOCKET_STORE", "")
	run(1, "say where: --store", "up", "--demo", "--data", data)
	run(1, "in ClickHouse", "prove", "--data", data, "0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b")
	run(1, "in ClickHouse", "compact", "--data", data)
	run(1, "in ClickHouse", "copy", "--from", data, "--to", b)
	run(0, "; 0 were there", "copy", "--from", tables, "--to", b)
	run(0, "\nok\n", "verify", "--deep", "--data", b)
	run(0, "\nok\n", "verify", "--data", data, "--store", tables)
	run(0, `"code": 0`, "verify", "--deep", "--data", data, "--store", tables, "-o", "json")
	run(3, "this is not the store of", "verify", "--deep", "--data", a, "--store", tables)

	opts, err := clickhouse.ParseDSN(tables)
	if err != nil {
		t.Fatal(err)
	}
	opts.Settings = clickhouse.Settings{"mutations_sync": 1}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(t.Context(), "ALTER TABLE docket_events UPDATE decision = 'deny' WHERE decision = 'allow' AND sequence = 2"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	run(3, `column decision, statement 1`, "verify", "--data", data, "--store", tables)
	engine.Kill()
	run(1, "hint: ", "verify", "--data", data, "--store", tables)
	run(1, "hint: ", "copy", "--from", a, "--to", tables, "--data", data)
}
