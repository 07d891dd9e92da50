// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"fmt"
	"io"
	"reflect"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/internal/profile"
)

// columnRaw has the exact bytes of an event, as in the store.
const columnRaw = "_raw"

var eventSchema = func() *arrow.Schema {
	kinds := map[reflect.Kind]arrow.DataType{
		reflect.String: arrow.BinaryTypes.String, reflect.Int64: arrow.PrimitiveTypes.Int64,
		reflect.Int32: arrow.PrimitiveTypes.Int32, reflect.Bool: arrow.FixedWidthTypes.Boolean,
	}
	var fields []arrow.Field
	for _, f := range reflect.VisibleFields(reflect.TypeFor[profile.Header]()) {
		fields = append(fields, arrow.Field{Name: f.Tag.Get("json"), Type: kinds[f.Type.Kind()]})
	}
	return arrow.NewSchema(append(fields, arrow.Field{Name: columnRaw, Type: arrow.BinaryTypes.String}), nil)
}()

type events struct{ *parquetFile }

// Events returns a writer of events: a column for each field of a header, of the
// name that it has in queries, and _raw with the event's exact bytes.
func Events(w io.Writer) (cli.RowWriter, error) {
	f, err := newFile(w, eventSchema, columnRaw, "message")
	if err != nil {
		return nil, err
	}
	return &events{f}, nil
}

// Row implements [cli.RowWriter]; the row's JSON is an event.
func (e *events) Row(r cli.Row) error {
	h, err := profile.Parse(r.JSON)
	if err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	v := reflect.ValueOf(h)
	for i := range v.NumField() {
		switch b := e.builder.Field(i).(type) {
		case *array.StringBuilder:
			b.Append(v.Field(i).String())
		case *array.Int64Builder:
			b.Append(v.Field(i).Int())
		case *array.Int32Builder:
			b.Append(int32(v.Field(i).Int()))
		case *array.BooleanBuilder:
			b.Append(v.Field(i).Bool())
		}
	}
	e.builder.Field(v.NumField()).(*array.StringBuilder).Append(string(r.JSON))
	return e.appended(len(r.JSON))
}

// Close implements [cli.RowWriter].
func (e *events) Close() error { return e.close() }
