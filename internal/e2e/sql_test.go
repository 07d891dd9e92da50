// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// checkSQL asks `docket query` for everything that it must refuse, and wants
// the lake to be, byte for byte, what it was.
func checkSQL(t *testing.T, dir string) {
	lake := filepath.Join(dir, "lake")
	before := digestOf(t, lake)
	segment := filepath.Join(dir, segmentsOf(t, dir)[0])
	for _, sql := range []string{
		`COPY (SELECT 1) TO '` + lake + `/evil.parquet' (FORMAT parquet)`,
		`COPY events TO '/tmp/evil.csv'`,
		`ATTACH '` + lake + `/evil.db'`,
		`EXPORT DATABASE '` + lake + `/evil'`,
		`EXPLAIN ANALYZE COPY (SELECT 1) TO '` + lake + `/evil.csv'`,
		`EXPLAIN ANALYZE SELECT 1`,
		`SELECT 1; SELECT 2`,
		`SELECT 1; COPY (SELECT 1) TO '` + lake + `/evil.csv'`,
		`PREPARE p AS SELECT 1`,
		`EXECUTE p`,
		`INSTALL httpfs`,
		`LOAD httpfs`,
		`SET enable_external_access = true`,
		`PRAGMA version`,
		`CREATE TABLE t AS SELECT 1`,
		`DROP VIEW events`,
		`DELETE FROM events`,
		`SELECT * FROM read_text('/etc/passwd')`,
		`SELECT * FROM read_csv('/etc/passwd')`,
		`SELECT * FROM '/etc/passwd'`,
		`SELECT * FROM read_blob('` + filepath.Join(dir, "keys", "ledger.key") + `')`,
		`SELECT * FROM read_text('` + filepath.Join(lake, "..", "keys", "ledger.key") + `')`,
		`SELECT * FROM glob('/etc/*')`,
		`SELECT count(*) FROM read_parquet('` + segment + `')`, // inside the lake, but not through the manifest
		`SELECT no_such_column FROM events`,
		`SELEC 1`,
		``,
	} {
		stdout, stderr, code := docket(t, "query", "--data", dir, sql)
		if code == 0 {
			t.Errorf("%s: exit 0\n%s", sql, stdout)
		}
		if !strings.Contains(stderr, "docket: ") || stdout != "" {
			t.Errorf("%s: no error on stderr, or data on stdout:\n%s\n%s", sql, stdout, stderr)
		}
	}
	mustDocket(t, "query", "--data", dir, `WITH e AS (SELECT * FROM events) SELECT count(*) FROM e`)
	if after := digestOf(t, lake); after != before {
		t.Errorf("the lake changed: %s before, %s after", before, after)
	}
}

// digestOf is the SHA-256 over names and contents of a directory's files.
func digestOf(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fmt.Fprintf(h, "%s\n", path)
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
