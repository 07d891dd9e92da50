// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// TestSegmentColumns holds the columns of the view to those that a lake writes.
func TestSegmentColumns(t *testing.T) {
	names, types := lake.Columns()
	var want []Column
	for i := range names {
		want = append(want, Column{names[i], map[string]string{"UTF8": "VARCHAR", "INT64": "BIGINT", "INT32": "INTEGER", "BOOLEAN": "BOOLEAN"}[types[i]]})
	}
	if diff := cmp.Diff(want, columns); diff != "" {
		t.Errorf("columns of a segment (-lake +sql):\n%s", diff)
	}
}

// TestLake asks a lake that a writer of ours made.
func TestLake(t *testing.T) {
	dir := t.TempDir()
	l, err := lake.Open(dir, lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	link := profile.Link{Emitter: "gw-0", Epoch: "0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e"}
	var raws []string
	for commit := range 2 {
		var b store.Batch
		for i := range 3 {
			e := &ocsf.DetectionFinding{
				ActivityID: ocsf.DetectionFindingCreate,
				Base: ocsf.Base{
					Time: 1_793_215_000_000 + int64(i), SeverityID: ocsf.SeverityHigh, Message: "é<&>\u2028",
					Metadata: ocsf.Metadata{UID: "e" + strconv.Itoa(10*commit+i), EventCode: profile.KindFinding, TenantUID: "acme", Product: &ocsf.Product{Name: "docket"}},
				},
				FindingInfo: &ocsf.FindingInfo{UID: "f"},
			}
			link.Sequence++
			raw, fingerprint, err := profile.Seal(e, link)
			if err != nil {
				t.Fatal(err)
			}
			header, err := profile.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			link.PrevUID, link.PrevFingerprint = header.MetadataUID, fingerprint
			b.StreamSeq++
			b.Entries = append(b.Entries, store.Entry{Raw: raw, Header: header, StreamSeq: b.StreamSeq})
			raws = append(raws, string(raw))
		}
		if _, err := l.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	s := Scope{Dir: dir}
	for _, f := range l.Files() {
		s.Files = append(s.Files, f.Path)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rows, err := open(t, s).Query(t.Context(), "SELECT _raw, sequence FROM detection_finding ORDER BY sequence")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for rows.Next() {
		got = append(got, rows.Values()[0].(string))
		if rows.Values()[1].(int64) != int64(len(got)) {
			t.Errorf("row %d has sequence %v", len(got), rows.Values()[1])
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(raws, got); diff != "" {
		t.Errorf("bytes (-stored +answered):\n%s", diff)
	}
	// As of the first commit there is nothing of the second, in any view.
	s.AsOf = 1
	for _, view := range []string{"events", "detection_finding"} {
		rows, err := open(t, s).Query(t.Context(), "SELECT count(*) AS n, max(_commit) AS newest FROM "+view)
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() || rows.Values()[0].(int64) != 3 || rows.Values()[1].(int64) != 1 {
			t.Errorf("%s as of commit 1: %v (%v)", view, rows.Values(), rows.Err())
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
