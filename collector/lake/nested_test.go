// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// nested returns the columns of a public file behind those of every segment:
// the type of each, and the values as JSON.
func nested(t *testing.T, dir, path string) (types, values map[string]string) {
	t.Helper()
	r, err := file.OpenParquetFile(filepath.Join(dir, path), false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := fr.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	base, _ := lake.Columns()
	types, values = map[string]string{}, map[string]string{}
	for i := len(base); i < int(table.NumCols()); i++ {
		c := table.Column(i)
		types[c.Name()] = c.DataType().String()
		for _, chunk := range c.Data().Chunks() {
			b, err := chunk.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			values[c.Name()] += strings.Join(strings.Fields(string(b)), "")
		}
	}
	return types, values
}

// A public file has the attributes that occur in it, with the types of the
// catalog; a value that is not of its type is null, what is deep or free is text.
func TestNestedColumns(t *testing.T) {
	dir := t.TempDir()
	l := openWith(t, dir, lake.Options{})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	finding := func(f func(*ocsf.DetectionFinding)) store.Entry {
		d := &ocsf.DetectionFinding{
			ActivityID: ocsf.DetectionFindingCreate, FindingInfo: &ocsf.FindingInfo{UID: "f"},
			Base: ocsf.Base{Metadata: ocsf.Metadata{EventCode: profile.KindFinding}},
		}
		f(d)
		return e.Seal(d)
	}
	commit(t, l, store.Batch{Entries: []store.Entry{
		finding(func(d *ocsf.DetectionFinding) {
			d.FindingInfo.Types = []string{"a", "b\n"}
			d.IsAlert = new(true)
			d.ConfidenceScore = new(int64(0))
			d.Evidences = []ocsf.Evidences{{Data: map[string]any{"k": []any{1, "x"}}}, {Name: "n"}}
			d.Unmapped = map[string]any{"free": map[string]any{"é": 1}}
		}),
		finding(func(d *ocsf.DetectionFinding) { d.FindingInfo.Types = []string{} }),
	}})
	compact(t, l, true)
	types, values := nested(t, dir, l.Files()[0].Path)
	for name, want := range map[string][2]string{
		"time_dt":          {"timestamp[ms, tz=UTC]", `["2026-10-2819:16:40.1Z","2026-10-2819:16:40.101Z"]`},
		"is_alert":         {"bool", `[true,null]`},
		"confidence_score": {"int32", `[0,null]`},
		"unmapped":         {"utf8", ""},
		"evidences":        {"list<list: struct<data: utf8, name: utf8>, nullable>", `[[{"data":"{\"k\":[1,\"x\"]}","name":null},{"data":null,"name":"n"}],null]`},
		"finding_info":     {"struct<types: list<list: utf8, nullable>, uid: utf8>", `[{"types":["a","b\n"],"uid":"f"},{"types":[],"uid":"f"}]`},
	} {
		if types[name] != want[0] {
			t.Errorf("column %s is %s, not %s", name, types[name], want[0])
		}
		if want[1] != "" && values[name] != want[1] {
			t.Errorf("column %s holds %s, not %s", name, values[name], want[1])
		}
	}
	if _, ok := types["activity_id"]; ok {
		t.Error("a column is there twice")
	}
	if err := lake.CheckNested(t.Context(), dir, l.Files()[0].Path, func(row int, column string) {
		t.Errorf("row %d, column %s is another", row, column)
	}); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(2, len(all(t, l, store.Query{}))); d != "" {
		t.Errorf("events:\n%s", d)
	}
}
