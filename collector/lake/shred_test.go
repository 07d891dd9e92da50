// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// byArrow makes a public file as Arrow does of records, whose nested columns
// jsontext reads. It returns its columns, too.
func byArrow(t failer, class int32, entries []store.Entry, recordRows int) ([]byte, *arrow.Schema) {
	t.Helper()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var nest nester
	root := newRoot(class)
	for i := range entries {
		nest.begin(entries[i].Raw)
		fail(nest.seeValue(root, false))
	}
	root.prune()
	columns := publicSchema(root)
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(columns, &out, publicProperties, pqarrow.DefaultWriterProps())
	fail(err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, columns)
	defer b.Release()
	for batch := range slices.Chunk(entries, recordRows) {
		for i := range batch {
			e := &batch[i]
			appendRow(b, e)
			at := schema.NumFields()
			b.Field(at).(*array.TimestampBuilder).Append(arrow.Timestamp(e.Header.Time))
			fail(nest.append(root, func(i int) array.Builder { return b.Field(at + 1 + i) }, e.Raw))
		}
		rec := b.NewRecord()
		fail(w.WriteBuffered(rec))
		rec.Release()
	}
	fail(w.Close())
	return out.Bytes(), columns
}

func appendRow(b *array.RecordBuilder, e *store.Entry) {
	v := reflect.ValueOf(&e.Header).Elem()
	for i, f := range headerFields {
		field := v.FieldByIndex(f.Index)
		switch c := b.Field(i).(type) {
		case *array.StringBuilder:
			c.ReserveData(1) // see TestLeastIsEmpty
			c.Append(field.String())
		case *array.Int64Builder:
			c.Append(field.Int())
		case *array.Int32Builder:
			c.Append(int32(field.Int()))
		case *array.BooleanBuilder:
			c.Append(field.Bool())
		}
	}
	n := len(headerFields)
	b.Field(n).(*array.StringBuilder).BinaryBuilder.Append(e.Raw)
	b.Field(n + 1).(*array.Int64Builder).Append(e.StoredTime.UnixMilli())
	b.Field(n + 2).(*array.Int64Builder).Append(int64(e.StreamSeq))
	b.Field(n + 3).(*array.Int64Builder).Append(int64(e.Commit))
	b.Field(n + 4).(*array.Int32Builder).Append(int32(e.Pos))
}

// shredded makes the same file as a compaction does.
func shredded(class int32, entries []store.Entry, recordRows int) ([]byte, *arrow.Schema, error) {
	var seer text
	root := newRoot(class)
	for i := range entries {
		if err := seer.see(root, entries[i].Raw); err != nil {
			return nil, nil, err
		}
	}
	root.prune()
	columns := publicSchema(root)
	var out bytes.Buffer
	w, err := newTable(&out, columns, publicProperties, new(room))
	if err != nil {
		return nil, nil, err
	}
	s := newShredder(root, w.columns[schema.NumFields()+1:])
	for batch := range slices.Chunk(entries, recordRows) {
		for i := range batch {
			if err := new(spill).row(w, s, &batch[i]); err != nil {
				return nil, nil, err
			}
		}
		if err := w.flush(); err != nil {
			return nil, nil, err
		}
		s.flushed()
	}
	if err := w.close(); err != nil {
		return nil, nil, err
	}
	return out.Bytes(), columns, nil
}

type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// same fails unless a compaction makes of events the file that Arrow makes.
func same(t failer, class int32, raws [][]byte, recordRows int) {
	t.Helper()
	entries := make([]store.Entry, len(raws))
	for i, raw := range raws {
		entries[i] = store.Entry{
			Header: profile.Header{MetadataUID: fmt.Sprint("uid", i), Time: int64(i), Ran: i%2 == 0, ClassUID: class}, Raw: raw,
			StoredTime: time.UnixMilli(int64(2 * i)), StreamSeq: uint64(i), Commit: 3, Pos: uint32(i),
		}
		if h, err := profile.Parse(raw); err == nil {
			entries[i].Header = h
		}
	}
	want, wantColumns := byArrow(t, class, entries, recordRows)
	got, columns, err := shredded(class, entries, recordRows)
	if err != nil {
		t.Fatalf("%v: %q", err, raws)
	}
	if !columns.Equal(wantColumns) {
		t.Fatalf("the columns of %q are %v instead of %v", raws, columns, wantColumns)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("another file of %q", raws)
	}
}

// recordings are events as emitters wrote them.
func recordings(t testing.TB) (raws [][]byte) {
	t.Helper()
	for _, name := range []string{"recorded", "epoch-1.8.0", "epoch-1.9.0"} {
		b, err := os.ReadFile("../../internal/profile/testdata/" + name + ".ndjson")
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			raws = append(raws, bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	return raws
}

func TestShredRecorded(t *testing.T) {
	raws := recordings(t)
	for _, class := range []int32{6003, 2004, 6002, 999999} {
		same(t, class, raws, 3)
		for _, raw := range raws {
			same(t, class, [][]byte{raw}, 1)
		}
	}
}

// A row group that is full ends within a record, in both ways of writing.
func TestShredRowGroups(t *testing.T) {
	raws := make([][]byte, rowGroupRows+5000)
	for i := range raws {
		raws[i] = fmt.Appendf(nil, `{"api":{"operation":"op %d"},"observables":[{"name":"a"},{}],"n":%d}`, i%100, i)
	}
	same(t, 6003, raws, recordRows)
}

// What a value, a name or the white space between them can be.
func TestShredOdd(t *testing.T) {
	for _, raw := range []string{
		`{}`, " {\t}\n", `{"a":1}`, `{"api":null}`, `{"api":{}}`, `{"api":[]}`, `{"api":5}`, `{"api":{"request":{"flags":["a",null,5,"\n"]}}}`,
		`{"api":{"operation":"a"},"api":{"operation":"b"}}`, `{"api":{"operation":"a","operation":"b"}}`,
		`{"observables":null}`, `{"observables":[]}`, `{"observables":{}}`, `{"observables":[null,{},{"name":null},{"name":"\ud83d\ude00"},[],7,{"name":"x"}]}`,
		`{"unmapped" : { "a" : [ 1 , 2 ] } , "message":"m"}`, `{"\u0061pi":{"operation":"\u0061"}}`, `{"api":{"operation":"\ud800"}}`,
		`{"count":1,"count":2}`, `{"count":1.0}`, `{"count":1e2}`, `{"count":-0}`, `{"count":2147483648}`, `{"count":"1"}`, `{"start_time":-9223372036854775808}`,
		`{"confidence_score":12,"is_alert":true}`, `{"is_alert":"true"}`, `{"is_alert":false}`, `{"risk_score":3.5}`,
		`{"zz":1,"api":{"operation":"late"},"aa":{"x":[{"y":"}"}]}}`, `{"":"", "\\":"\"", "api":{"operation":"\\\""}}`,
		`{"enrichments":[{"data":{"k":[1,"x"]},"name":"n"},{"data":"text","name":"m"},{"data":[],"value":"v"}]}`,
	} {
		for _, class := range []int32{6003, 2004} {
			same(t, class, [][]byte{[]byte(raw)}, 10)
			same(t, class, [][]byte{[]byte(`{"api":{"operation":"o"}}`), []byte(raw), []byte(`{"observables":[{"name":"n"}]}`)}, 2)
		}
	}
}

// drawObject draws the text of an object that may be one of n.
func drawObject(t *rapid.T, n *node, depth int) string {
	names := []string{"other", "na\u00efve", "a\"b", "class_uid", "time"}
	if n != nil {
		names = append(names, slices.Sorted(maps.Keys(attributeTypes()[n.object]))...)
	}
	var members []string
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		name := rapid.SampledFrom(names).Draw(t, "name")
		var c *node
		if n != nil {
			c = n.attribute(name)
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.IntRange(0, 9).Draw(t, "escape") == 0 {
			quoted = []byte(`"\u00` + fmt.Sprintf("%02x", name[0]) + string(quoted[2:]))
			if name[0] >= 0x80 || name[0] == '"' {
				quoted = []byte(`"\u0061"`)
			}
		}
		space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t "}).Draw(t, "space")
		members = append(members, string(quoted)+space+":"+space+drawValue(t, c, false, depth)+space)
	}
	if rapid.Bool().Draw(t, "sorted") {
		slices.Sort(members)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func drawValue(t *rapid.T, n *node, element bool, depth int) string {
	right := n != nil && rapid.IntRange(0, 4).Draw(t, "right") > 0
	array := func(n *node) string {
		var all []string
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			all = append(all, drawValue(t, n, true, depth+1))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	if right && n.list && !element {
		return array(n)
	}
	if right && n.kind == nodeStruct {
		return drawObject(t, n, depth+1)
	}
	switch kind := rapid.IntRange(0, 6).Draw(t, "kind"); {
	case kind == 0 && depth < 6:
		return array(nil)
	case kind == 1 && depth < 6:
		return drawObject(t, nil, depth+1)
	case kind == 2:
		return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "literal")
	case kind <= 4:
		return rapid.SampledFrom([]string{"0", "-0", "1", "17", "2147483647", "2147483648", "-2147483649", "9223372036854775808", "1.5", "1e3", "-2E-7", "1.0"}).Draw(t, "number")
	case kind == 5:
		return rapid.SampledFrom([]string{`""`, `"\u00e9\n"`, `"\ud83d\ude00"`, `"\"\\"`, `"0123456\"7"`, `"[{}],:"`, `"\/"`}).Draw(t, "escaped")
	}
	quoted, err := json.Marshal(rapid.String().Draw(t, "text"))
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

// Whatever events say, a compaction makes of them what Arrow and jsontext make.
func TestShredAsArrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		class := rapid.SampledFrom([]int32{6003, 2004, 6002, 1}).Draw(t, "class")
		var raws [][]byte
		for range rapid.IntRange(1, 6).Draw(t, "events") {
			raws = append(raws, []byte(drawObject(t, newRoot(class), 0)))
		}
		same(t, class, raws, rapid.IntRange(1, 4).Draw(t, "rows"))
	})
}

// Text that is no JSON ends a compaction, or is for the header to tell; it is
// never read beyond its end. All that is JSON is read as jsontext reads it.
func FuzzShred(f *testing.F) {
	for _, raw := range recordings(f) {
		f.Add(raw)
	}
	for _, raw := range []string{`{"api":{"operation":"a\"`, `{"api"`, `{"a":}`, `[`, `{"a":[1,]}`, `{"api":{"operation":"a"}}x`, `"`, `{"a" 1}`, `{,}`, `\`} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v := jsontext.Value(raw)
		if v.Kind() != '{' || !v.IsValid(jsontext.AllowDuplicateNames(true)) {
			if b, _, err := shredded(6003, []store.Entry{{Raw: raw}}, 1); err == nil && len(b) == 0 {
				t.Error("neither a file nor an error")
			}
			return
		}
		same(t, 6003, [][]byte{raw, []byte(`{"observables":[{"name":"n"}]}`)}, 2)
	})
}

// A row whose attributes did not occur when the rows were gone through has no
// columns: it ends the compaction.
func TestShredWhatDidNotOccur(t *testing.T) {
	for raw, wrong := range map[string]bool{
		`{"api":{"operation":"a"}}`: true, `{"message":"m","api":{}}`: false, `{"api":{"request":{}},"zz":{"y":1}}`: false, `{"observables":[{"name":"n"}]}`: true,
	} {
		root := newRoot(6003)
		var seer text
		if err := seer.see(root, []byte(`{"api":{},"status":"s"}`)); err != nil {
			t.Fatal(err)
		}
		root.prune()
		w, err := newTable(new(bytes.Buffer), publicSchema(root), publicProperties, new(room))
		if err != nil {
			t.Fatal(err)
		}
		err = newShredder(root, w.columns[schema.NumFields()+1:]).shred(&store.Entry{Raw: []byte(raw)})
		if (err != nil) != wrong {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// The least text of a column is the empty one, even where some rows that were
// written together had no other. Arrow, which has no bytes then, takes it for
// none: whoever looks for the empty text by what a row group says of itself
// would pass it over.
func TestLeastIsEmpty(t *testing.T) {
	entries := make([]store.Entry, 2*recordRows)
	for i := range entries {
		entries[i] = store.Entry{Raw: []byte(`{}`)}
		if i >= recordRows {
			entries[i].Header.Interceptor = "naming"
		}
	}
	b, _, err := encodeSegment(entries, new(room))
	if err != nil {
		t.Fatal(err)
	}
	r, err := file.NewParquetReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.MetaData().RowGroup(0).ColumnChunk(columnIndex["interceptor"])
	if err != nil {
		t.Fatal(err)
	}
	stats, err := c.Statistics()
	if err != nil {
		t.Fatal(err)
	}
	if least, greatest := string(stats.EncodeMin()), string(stats.EncodeMax()); !stats.HasMinMax() || least != "" || greatest != "naming" {
		t.Errorf("from %q to %q", least, greatest)
	}
}

// What does not fit into the columns is refused before it is written.
func TestTableRefuses(t *testing.T) {
	for _, e := range []store.Entry{{StreamSeq: math.MaxUint64}, {Commit: math.MaxUint64}, {Pos: math.MaxUint32}} {
		w, err := newTable(new(bytes.Buffer), schema, writerProperties, new(room))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.add(&e); err == nil {
			t.Errorf("%+v was taken", e)
		}
	}
}
