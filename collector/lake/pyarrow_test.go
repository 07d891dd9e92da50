// SPDX-License-Identifier: Apache-2.0

//go:build pyarrow

package lake_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// A pyRow is a row of a public file as pyarrow reads it.
type pyRow struct {
	Raw        string         `json:"raw"`
	File       string         `json:"file"`
	Commit     uint64         `json:"commit"`
	Pos        uint32         `json:"pos"`
	Tenant     string         `json:"tenant"`
	Day        string         `json:"day"`
	Time       int64          `json:"time"`
	Attributes map[string]any `json:"attributes"`
}

// readWithPyarrow reads the public files of a lake. `make pyarrow` fetches what it
// needs.
func readWithPyarrow(t *testing.T, dir string) []pyRow {
	t.Helper()
	names, _ := lake.Columns()
	cmd := exec.Command("python3", "testdata/public.py", dir, strings.Join(names, ","))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var rows []pyRow
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var r pyRow
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}

// Another reader of Parquet finds the same events in the public files, in the
// partitions that say what they are, and their attributes.
func TestPublicFilesByPyarrow(t *testing.T) {
	dir := t.TempDir()
	l := openWith(t, dir, lake.Options{})
	acme, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "a/b c", "gateway-0")
	var want []store.Entry
	for range 3 {
		want = append(want, commit(t, l, store.Batch{Entries: slices.Concat([]store.Entry{acme.Start()}, acme.Operation(), other.Operation())}).Added...)
		acme.Time += 24 * 60 * 60 * 1000
	}
	compact(t, l, true)
	rows := readWithPyarrow(t, dir)
	slices.SortFunc(rows, func(a, b pyRow) int {
		return store.Cursor{Commit: a.Commit, Pos: a.Pos}.Compare(store.Cursor{Commit: b.Commit, Pos: b.Pos})
	})
	if len(rows) != len(want) {
		t.Fatalf("%d rows, not %d", len(rows), len(want))
	}
	for i, r := range rows {
		h := want[i].Header
		if r.Raw != string(want[i].Raw) || r.Tenant != h.Tenant || r.Day != lake.Day(h.Time) || r.Time != h.Time {
			t.Errorf("row %d: %+v", i, r)
		}
		var event map[string]any
		if err := json.Unmarshal(want[i].Raw, &event); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(attributesOf(event), present(r.Attributes)); d != "" {
			t.Errorf("row %d: attributes (-bytes +pyarrow):\n%s", i, d)
		}
	}
}

// attributesOf returns what of an event is in columns of its own: what another
// column has is not there twice, and free-form values are text.
func attributesOf(event map[string]any) any {
	names, _ := lake.Columns()
	out := map[string]any{}
	for name, v := range event {
		if slices.Contains(names, name) {
			continue
		}
		if name == "unmapped" {
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			v = string(b)
		}
		out[name] = v
	}
	return out
}

// present returns v without what is null.
func present(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			if member != nil {
				out[name] = present(member)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, element := range v {
			out = append(out, present(element))
		}
		return out
	}
	return v
}
