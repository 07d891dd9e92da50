// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/internal/profile"
)

// read returns the columns of a file as texts, row by row, with their types.
func read(t *testing.T, b []byte) (heads []string, rows [][]string) {
	t.Helper()
	r, err := file.NewParquetReader(bytes.NewReader(b))
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
	for _, f := range table.Schema().Fields() {
		heads = append(heads, f.Name+" "+f.Type.String())
	}
	tr := array.NewTableReader(table, 1<<20)
	defer tr.Release()
	for tr.Next() {
		rec := tr.Record()
		for i := range int(rec.NumRows()) {
			var row []string
			for _, c := range rec.Columns() {
				row = append(row, c.ValueStr(i))
			}
			rows = append(rows, row)
		}
	}
	return heads, rows
}

func TestObjects(t *testing.T) {
	var out bytes.Buffer
	w, err := Objects(&out, []string{"n", "x", "b", "s", "mixed", "huge", "list", "none"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		`{"n":1,"x":1,"b":true,"s":"a\u0000b","mixed":1,"huge":1,"list":[1,{"a":null}],"none":null}`,
		`{"n":null,"x":2.5,"b":null,"s":"","mixed":true,"huge":99999999999999999999999999,"list":null,"none":null}`,
		`{"n":-9223372036854775808,"x":null,"b":false,"s":null,"mixed":null,"huge":2,"list":[],"none":null}`,
	} {
		if err := w.Row(cli.Row{JSON: []byte(row)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	heads, rows := read(t, out.Bytes())
	if diff := cmp.Diff([]string{"n int64", "x float64", "b bool", "s utf8", "mixed utf8", "huge utf8", "list utf8", "none utf8"}, heads); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	want := [][]string{
		{"1", "1", "true", "a\x00b", "1", "1", `[1,{"a":null}]`, "(null)"},
		{"(null)", "2.5", "(null)", "", "true", "99999999999999999999999999", "(null)", "(null)"},
		{"-9223372036854775808", "(null)", "false", "(null)", "(null)", "2", "[]", "(null)"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestObjectsWithoutRows(t *testing.T) {
	var out bytes.Buffer
	w, err := Objects(&out, []string{"n"})
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if heads, rows := read(t, out.Bytes()); len(heads) != 1 || rows != nil {
		t.Errorf("%v, %v", heads, rows)
	}
}

func recorded(t *testing.T) [][]byte {
	t.Helper()
	b, err := os.ReadFile("../../../internal/profile/testdata/recorded.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

// What is written is what was read, over more than one record.
func TestEvents(t *testing.T) {
	lines := recorded(t)
	var out bytes.Buffer
	w, err := Events(&out)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for n < 2*recordRows {
		for _, line := range lines {
			if err := w.Row(cli.Row{JSON: line}); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	heads, rows := read(t, out.Bytes())
	if len(rows) != n || heads[0] != "metadata_uid utf8" || heads[len(heads)-1] != "_raw utf8" {
		t.Fatalf("%d of %d rows, columns %v", len(rows), n, heads)
	}
	for i, row := range rows {
		line := lines[i%len(lines)]
		h, err := profile.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if row[len(row)-1] != string(line) || row[0] != h.MetadataUID {
			t.Fatalf("row %d is %v", i, row)
		}
	}
	if err := w.Row(cli.Row{JSON: []byte(`{}`)}); err == nil {
		t.Error("took what is no event")
	}
}

// An output that fails is told as it failed: a pipe that nobody reads ends quietly.
func TestOutputFails(t *testing.T) {
	for limit := range 5 {
		w, err := Events(&failing{left: limit * 1000})
		for i := 0; err == nil && i < 3*recordRows; i++ {
			err = w.Row(cli.Row{JSON: recorded(t)[0]})
		}
		if err == nil {
			err = w.Close()
		}
		if !cli.ReaderGone(err) {
			t.Errorf("after %d bytes: %v", limit*1000, err)
		}
	}
}

type failing struct{ left int }

func (f *failing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errors.Join(errors.New(strings.Repeat("gone ", 1)), io.ErrClosedPipe)
	}
	return len(b), nil
}
