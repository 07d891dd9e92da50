// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/cmd/internal/recordpath"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/collector/verify"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// formats are the directories that are kept, one of each format that there was:
// what this docket must always be able to open, ask and verify. One is made by
// -update while its format is the newest and it is not there, never again.
func formatDir(format int) string { return filepath.Join("testdata", "formats", fmt.Sprint(format)) }

// makeFormat makes the directory of the newest format: three commits of two
// tenants, of which the first two are compacted, and an erasure.
func makeFormat(t *testing.T, dir string) {
	t.Helper()
	d, err := datadir.Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	cfg, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.OpenKey(recordpath.LedgerKey(cfg, d), d.Join("keys", "ledger.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(t.Context(), d.Join("ledger"), key, ledger.Options{Kept: d.Join("keys", "ledger.checkpoint")})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close(t.Context())
	l, err := lake.Open(d.Join("lake"), lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	added := uint64(0)
	add := func() {
		t.Helper()
		for s, err := range l.Statements(added + 1) {
			if err == nil {
				err = log.Add(t.Context(), s)
			}
			if err != nil {
				t.Fatal(err)
			}
			added++
		}
	}
	acme, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "globex", "gateway-0")
	for i := range 3 {
		entries := slices.Concat(acme.Operation(), other.Operation())
		if i == 2 {
			entries = append(entries, acme.Stop())
		}
		if _, err := l.Commit(t.Context(), store.Batch{Entries: entries, StreamSeq: uint64(7 * i)}); err != nil {
			t.Fatal(err)
		}
		add()
		if i == 1 {
			if _, err := l.Compact(t.Context(), true, func(put func(uint64) error) error { return put(0) }); err != nil {
				t.Fatal(err)
			}
			add()
		}
	}
	who, err := retention.ParseSubject("user:user-2")
	if err != nil {
		t.Fatal(err)
	}
	e := retention.Erasure{Selection: retention.Selection{Subject: who}, Reference: "test", By: "nobody"}
	if _, err := l.Erase(t.Context(), e, nil, func(put func(uint64) error) error { return put(0) }, func(retention.Left) {}); err != nil {
		t.Fatal(err)
	}
	add()
}

// leftOf is how many of the 10 events of acme and the 9 of globex left the
// directory of a format.
func leftOf(format int) (acme, globex int64) {
	if format < 3 {
		return 0, 0
	}
	return 1, 1
}

// judgeFormat verifies a directory of a format and asks it.
func judgeFormat(t *testing.T, dir string, format int) {
	t.Helper()
	r, err := verify.Run(t.Context(), dir, verify.Options{Deep: true})
	if err != nil {
		t.Fatal(err)
	}
	acme, globex := leftOf(format)
	want := 19 - acme - globex
	if r.Code() != verify.CodeFine || r.Events != want || r.Erased != 19-want {
		t.Errorf("%d events, %d erased, problems %v", r.Events, r.Erased, r.Problems)
	}
	client, err := reading.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	events := int64(0)
	for _, err := range client.Tail(t.Context(), -1, false, "") {
		if err != nil {
			t.Fatal(err)
		}
		events++
	}
	if events != want {
		t.Errorf("%d events, not %d", events, want)
	}
	var rows []string
	err = client.Query(t.Context(), &auditv1.QueryRequest{Sql: "SELECT tenant, count(*) AS n FROM events GROUP BY ALL ORDER BY ALL"},
		func([]string) error { return nil }, func(row []byte) error {
			rows = append(rows, string(row))
			return nil
		})
	if err != nil || strings.Join(rows, "") != fmt.Sprintf(`{"tenant":"acme","n":%d}{"tenant":"globex","n":%d}`, 10-acme, 9-globex) {
		t.Errorf("SQL: %v, %v", rows, err)
	}
}

// run runs a verb that succeeds, and returns what it writes.
func run(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := cli.Run(root(), args, &out, &errs); code != 0 {
		t.Fatalf("%v: code %d: %s", args, code, errs.String())
	}
	return out.String()
}

// A directory of each format is opened, asked and verified; one of an older
// format can be migrated, and then compacted.
func TestFormats(t *testing.T) {
	if newest := formatDir(datadir.Format); *update {
		if _, err := os.Stat(newest); err != nil {
			makeFormat(t, newest)
		}
	}
	for format := 1; format <= datadir.Format; format++ {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, os.DirFS(formatDir(format))); err != nil {
				t.Fatal(err)
			}
			judgeFormat(t, dir, format)
			if out := run(t, "migrate", "--data", dir); out != fmt.Sprintf("format %d, was %d\n", datadir.Format, format) {
				t.Errorf("migrate: %q", out)
			}
			judgeFormat(t, dir, format)
			if out := run(t, "compact", "--data", dir); !strings.Contains(out, "public files") {
				t.Errorf("compact: %q", out)
			}
			judgeFormat(t, dir, format)
			if out := run(t, "compact", "--data", dir); out != "nothing is hot\n" {
				t.Errorf("compact again: %q", out)
			}
		})
	}
}
