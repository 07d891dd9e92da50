// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
)

// What a store administrator can do: everything but sign.

func (h *house) newestSegment() string {
	h.t.Helper()
	v := &verifier{dir: h.dir, report: new(Report)}
	v.readStatements()
	files := v.segments()
	return inLake(files[len(files)-1].Path)
}

// refold makes the manifest anew from the statements that are there.
func (h *house) refold() {
	h.t.Helper()
	m, err := lake.Fold(lake.Statements(filepath.Join(h.dir, "lake"), 1))
	if err != nil {
		h.t.Fatal(err)
	}
	b, err := m.Encode()
	if err != nil {
		h.t.Fatal(err)
	}
	h.write("lake/_manifest.json", b)
}

// rewrite writes a segment anew, well-formed, with one cell changed.
func (h *house) rewrite(path, column string, row int, value string) {
	h.t.Helper()
	pr, err := file.NewParquetReader(bytes.NewReader(h.read(path)))
	if err != nil {
		h.t.Fatal(err)
	}
	fr, err := pqarrow.NewFileReader(pr, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		h.t.Fatal(err)
	}
	table, err := fr.ReadTable(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	defer table.Release()
	var columns []arrow.Column
	for i := range int(table.NumCols()) {
		c := *table.Column(i)
		if c.Name() == column {
			b := array.NewBuilder(memory.DefaultAllocator, c.DataType())
			at := 0
			for _, chunk := range c.Data().Chunks() {
				for j := range chunk.Len() {
					if at == row {
						appendText(h.t, b, value)
					} else {
						appendText(h.t, b, chunk.ValueStr(j))
					}
					at++
				}
			}
			c = *arrow.NewColumn(table.Schema().Field(i), arrow.NewChunked(c.DataType(), []arrow.Array{b.NewArray()}))
		}
		columns = append(columns, c)
	}
	changed := array.NewTable(table.Schema(), columns, table.NumRows())
	var out bytes.Buffer
	// The metadata of a table that was read would be written as metadata.
	if err := pqarrow.WriteTable(changed, &out, 1<<20, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps()); err != nil {
		h.t.Fatal(err)
	}
	h.write(path, out.Bytes())
}

func appendText(t testing.TB, b array.Builder, value string) {
	t.Helper()
	if err := b.AppendValueFromString(value); err != nil {
		t.Fatal(err)
	}
}

// restate makes the digests right again: of the segment in its statement, of
// each statement in the next, and of all in the manifest. change may do more to
// the statement of the segment.
func (h *house) restate(segment string, change func(*lake.Statement)) {
	h.t.Helper()
	prev, forged := "", false
	for number := uint64(1); ; number++ {
		raw, err := lake.ReadStatement(filepath.Join(h.dir, "lake"), number)
		if os.IsNotExist(err) || raw == nil {
			break
		}
		s, err := lake.ParseStatement(raw)
		if err != nil {
			h.t.Fatal(err)
		}
		for i := range s.Added {
			if inLake(s.Added[i].Path) == segment {
				b := h.read(segment)
				sum := sha256.Sum256(b)
				s.Added[i].SHA256, s.Added[i].Bytes, forged = hex.EncodeToString(sum[:]), int64(len(b)), true
				if change != nil {
					change(s)
				}
				break // it may be another list now
			}
		}
		for i := range s.Stubs {
			if inLake(s.Stubs[i].Path) == segment {
				b := h.read(segment)
				sum := sha256.Sum256(b)
				s.Stubs[i].SHA256, s.Stubs[i].Bytes, forged = hex.EncodeToString(sum[:]), int64(len(b)), true
				if change != nil {
					change(s)
				}
				break
			}
		}
		s.Prev = prev
		if raw, err = s.Encode(); err != nil {
			h.t.Fatal(err)
		}
		h.write(statementPlace(number).File, raw)
		prev = lake.Digest(raw)
	}
	if !forged {
		h.t.Fatalf("no statement names %s", segment)
	}
	h.refold()
}

// resign makes a new ledger of the statements, with the true key: what only its
// owner can do.
func (h *house) resign() {
	h.t.Helper()
	if err := os.RemoveAll(filepath.Join(h.dir, "ledger")); err != nil {
		h.t.Fatal(err)
	}
	l, err := ledger.Open(context.Background(), filepath.Join(h.dir, "ledger"), h.key, ledger.Options{
		Statements: lake.Statements(filepath.Join(h.dir, "lake"), 1), Kept: filepath.Join(h.dir, keptPath), Adopt: true,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := l.Close(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

func TestRewrittenCell(t *testing.T) {
	h := newFurnished(t)
	kept := h.read("ledger/checkpoint")
	segment := h.newestSegment()
	h.rewrite(segment, "decision", 1, "modify")
	// With the digests stale, both find the file, and deep the cell.
	h.expect(Options{}, segment, "statement 5")
	h.find(h.run(Options{Deep: true}), segment, "row 1", "column decision", "statement 5", "sequence 2", `"modify"`)

	// With everything forged that takes no key: the ledger knows better.
	h.restate(segment, nil)
	h.expect(Options{}, "statement 5", "it was changed: the ledger has another leaf")
	h.find(h.run(Options{Deep: true}), segment, "row 1", "column decision")

	// With the ledger's key too: only deep sees it, or a kept checkpoint.
	h.resign()
	if r := h.run(Options{Key: h.key.Verifier()}); r.Code() != CodeFine {
		t.Errorf("fast finds more than it can know: %v", r.Problems)
	}
	r := h.run(Options{Deep: true, Key: h.key.Verifier()})
	h.find(r, segment, "row 1", "column decision", "statement 5", "sequence 2")
	if len(r.Problems) != 1 {
		t.Errorf("problems %v", r.Problems)
	}
	h.expect(Options{Against: kept}, "rolled_back")
}

// TestLyingStatement changes what a statement says of a good file, and signs it.
func TestLyingStatement(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*lake.Statement)
		deep   bool // the statements agree with each other
		want   string
	}{
		"count":  {func(s *lake.Statement) { s.Counts[0].Count-- }, false, "it counts"},
		"root":   {func(s *lake.Statement) { s.Counts[0].Root = s.Counts[1].Root }, true, "its Merkle root"},
		"left":   {func(s *lake.Statement) { s.Counts = s.Counts[1:] }, false, "it does not count"},
		"rows":   {func(s *lake.Statement) { s.Added[0].Rows++ }, false, "the number of rows"},
		"times":  {func(s *lake.Statement) { s.Added[0].MaxTime-- }, true, "the times"},
		"epochs": {func(s *lake.Statement) { s.Added[0].Epochs = nil }, true, "the epochs"},
		"clock":  {func(s *lake.Statement) { s.Time += 5 }, true, "column _stored_time"},
		"stream": {func(s *lake.Statement) { s.StreamSeq = 1 }, true, "stream sequence"},
		"set": {func(s *lake.Statement) {
			for uid, p := range s.Epochs {
				p.Stored = p.Stored.Clone()
				p.Stored.Add(77)
				s.Epochs[uid] = p
			}
		}, false, "the statements account for"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFurnished(t)
			h.restate(h.newestSegment(), test.change)
			h.resign()
			if test.deep {
				h.expectDeep(Options{Key: h.key.Verifier()}, test.want)
			} else {
				h.expect(Options{Key: h.key.Verifier()}, test.want)
			}
		})
	}
	t.Run("uids", func(t *testing.T) {
		h := newFurnished(t)
		h.restate(h.newestSegment(), func(s *lake.Statement) { s.Added[0].MaxEvent = s.Added[0].MinEvent })
		h.resign()
		h.find(h.run(Options{Deep: true}), "the uids")
	})
	t.Run("outside", func(t *testing.T) {
		h := newFurnished(t)
		h.restate(h.newestSegment(), func(s *lake.Statement) { s.Added[0].Path = "../keys/ledger.vkey" })
		h.resign()
		h.expect(Options{}, "outside")
	})
}

// TestEveryColumn changes one cell of every column, with all digests right.
func TestEveryColumn(t *testing.T) {
	h := newFurnished(t)
	segment := h.newestSegment()
	good := h.read(segment)
	names, types := lake.Columns()
	for _, name := range some(names) {
		value := map[string]string{"UTF8": "forged", "INT32": "4711", "INT64": "4711", "BOOLEAN": "true"}[types[slices.Index(names, name)]]
		h.rewrite(segment, name, 1, value)
		h.restate(segment, nil)
		r := h.run(Options{Deep: true})
		switch name {
		case lake.ColumnStreamSeq, lake.ColumnPos:
			// Not of the event: the statement bounds them.
			h.find(r, "statement 5", map[string]string{lake.ColumnStreamSeq: "stream sequence", lake.ColumnPos: "position"}[name])
		default:
			h.find(r, segment, "row 1", "column "+name)
		}
		h.write(segment, good)
	}
}

// columns returns the names of the columns of a segment.
func (h *house) columns(path string) []string {
	h.t.Helper()
	var names []string
	h.cells(path, func(name string, cells []string) []string {
		names = append(names, name)
		return cells
	})
	return names
}

// cells writes a segment anew, well-formed, with the cells of each column as
// change returns them; nil leaves the column out.
func (h *house) cells(path string, change func(column string, cells []string) []string) {
	h.t.Helper()
	pr, err := file.NewParquetReader(bytes.NewReader(h.read(path)))
	if err != nil {
		h.t.Fatal(err)
	}
	fr, err := pqarrow.NewFileReader(pr, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		h.t.Fatal(err)
	}
	table, err := fr.ReadTable(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	defer table.Release()
	var columns []arrow.Column
	var fields []arrow.Field
	for i := range int(table.NumCols()) {
		c := *table.Column(i)
		var was []string
		for _, chunk := range c.Data().Chunks() {
			for j := range chunk.Len() {
				was = append(was, chunk.ValueStr(j))
			}
		}
		cells := change(c.Name(), slices.Clone(was))
		if cells == nil {
			continue
		}
		if !slices.Equal(cells, was) {
			b := array.NewBuilder(memory.DefaultAllocator, c.DataType())
			for _, cell := range cells {
				appendText(h.t, b, cell)
			}
			c = *arrow.NewColumn(table.Schema().Field(i), arrow.NewChunked(c.DataType(), []arrow.Array{b.NewArray()}))
		}
		columns, fields = append(columns, c), append(fields, table.Schema().Field(i))
	}
	var out bytes.Buffer
	changed := array.NewTable(arrow.NewSchema(fields, nil), columns, table.NumRows())
	if err := pqarrow.WriteTable(changed, &out, 1<<20, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps()); err != nil {
		h.t.Fatal(err)
	}
	h.write(path, out.Bytes())
}
