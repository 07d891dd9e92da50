// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// A Statement is one SELECT, with the values of its parameters in the order of
// their numbers: the second ?, or $2, has the second.
type Statement struct {
	Text       string
	Parameters []Parameter
}

// A Parameter is a value for a parameter of a statement. It is bound to it as a
// value: whatever it says, it is never read as SQL. [Parameters] makes them.
type Parameter struct {
	Kind  string  `json:"kind"`
	Bytes []byte  `json:"bytes,omitempty"` // of texts and blobs
	Ints  []int64 `json:"ints,omitempty"`  // of everything else
}

// The kinds of parameters, and what their Ints are.
const (
	kindNull        = "null"
	kindBool        = "bool"        // 0 or 1
	kindInt         = "int"         // itself
	kindUint        = "uint"        // its bits
	kindFloat       = "float"       // its bits
	kindDecimal     = "decimal"     // digits, scale, high and low half
	kindText        = "text"        //
	kindBlob        = "blob"        //
	kindDate        = "date"        // days
	kindTime        = "time"        // microseconds
	kindTimestamp   = "timestamp"   // microseconds
	kindTimestampNS = "timestampns" // nanoseconds
	kindTimestampTZ = "timestamptz" // microseconds
	kindInterval    = "interval"    // months, days, microseconds
)

// maxParameters bounds what all the values of a statement take, in bytes.
const maxParameters = 256 << 10

// Parameters returns the values of one row, a parameter for each column. The
// error is a [StatementError].
func Parameters(row arrow.Record) ([]Parameter, error) {
	refuse := func(format string, args ...any) ([]Parameter, error) {
		return nil, &StatementError{Found: fmt.Sprintf(format, args...), hint: "bind one row of plain values, a column for each parameter"}
	}
	if n := row.NumRows(); n != 1 {
		return refuse("%d rows of parameters", n)
	}
	all, size := make([]Parameter, row.NumCols()), 0
	for i, column := range row.Columns() {
		p, err := parameter(column)
		if err != nil {
			return refuse("parameter %d: %v", i+1, err)
		}
		if size += 64 + len(p.Bytes); size > maxParameters {
			return refuse("parameters of more than %d KiB", maxParameters>>10)
		}
		all[i] = p
	}
	return all, nil
}

// parameter returns the first value of a column.
func parameter(column arrow.Array) (Parameter, error) {
	if column.IsNull(0) {
		return Parameter{Kind: kindNull}, nil
	}
	ints := func(kind string, ints ...int64) (Parameter, error) { return Parameter{Kind: kind, Ints: ints}, nil }
	text := func(s string) (Parameter, error) {
		if !utf8.ValidString(s) {
			return Parameter{}, fmt.Errorf("text that is not UTF-8")
		}
		return Parameter{Kind: kindText, Bytes: []byte(s)}, nil
	}
	switch c := column.(type) {
	case *array.Boolean:
		if c.Value(0) {
			return ints(kindBool, 1)
		}
		return ints(kindBool, 0)
	case *array.Int8:
		return ints(kindInt, int64(c.Value(0)))
	case *array.Int16:
		return ints(kindInt, int64(c.Value(0)))
	case *array.Int32:
		return ints(kindInt, int64(c.Value(0)))
	case *array.Int64:
		return ints(kindInt, c.Value(0))
	case *array.Uint8:
		return ints(kindUint, int64(c.Value(0)))
	case *array.Uint16:
		return ints(kindUint, int64(c.Value(0)))
	case *array.Uint32:
		return ints(kindUint, int64(c.Value(0)))
	case *array.Uint64:
		return ints(kindUint, int64(c.Value(0)))
	case *array.Float32:
		return ints(kindFloat, int64(math.Float64bits(float64(c.Value(0)))))
	case *array.Float64:
		return ints(kindFloat, int64(math.Float64bits(c.Value(0))))
	case *array.Decimal128:
		t, v := c.DataType().(*arrow.Decimal128Type), c.Value(0)
		if t.Precision < 1 || t.Precision > 38 || t.Scale < 0 || t.Scale > t.Precision || !v.FitsInPrecision(t.Precision) {
			return Parameter{}, fmt.Errorf("%s that is none", t)
		}
		return ints(kindDecimal, int64(t.Precision), int64(t.Scale), v.HighBits(), int64(v.LowBits()))
	case *array.String:
		return text(c.Value(0))
	case *array.LargeString:
		return text(c.Value(0))
	case *array.Binary:
		return Parameter{Kind: kindBlob, Bytes: append([]byte{}, c.Value(0)...)}, nil
	case *array.LargeBinary:
		return Parameter{Kind: kindBlob, Bytes: append([]byte{}, c.Value(0)...)}, nil
	case *array.FixedSizeBinary:
		return Parameter{Kind: kindBlob, Bytes: append([]byte{}, c.Value(0)...)}, nil
	default:
		return timeParameter(column)
	}
}

func timeParameter(column arrow.Array) (Parameter, error) {
	ints := func(kind string, ints ...int64) (Parameter, error) { return Parameter{Kind: kind, Ints: ints}, nil }
	switch c := column.(type) {
	case *array.Date32:
		return ints(kindDate, int64(c.Value(0)))
	case *array.Date64:
		return ints(kindDate, int64(c.Value(0))/86_400_000)
	case *array.Time32:
		return ints(kindTime, int64(c.Value(0))*int64(c.DataType().(*arrow.Time32Type).Unit.Multiplier()/1000))
	case *array.Time64:
		return ints(kindTime, int64(c.Value(0))*int64(c.DataType().(*arrow.Time64Type).Unit.Multiplier())/1000)
	case *array.Timestamp:
		t, v := c.DataType().(*arrow.TimestampType), int64(c.Value(0))
		if t.Unit == arrow.Nanosecond && t.TimeZone == "" {
			return ints(kindTimestampNS, v)
		}
		micros := v / 1000
		if by := int64(t.Unit.Multiplier() / 1000); by > 0 {
			if micros = v * by; micros/by != v {
				return Parameter{}, fmt.Errorf("a time too far away: %s", strconv.FormatInt(v, 10))
			}
		}
		if t.TimeZone != "" {
			return ints(kindTimestampTZ, micros)
		}
		return ints(kindTimestamp, micros)
	case *array.MonthDayNanoInterval:
		v := c.Value(0)
		return ints(kindInterval, int64(v.Months), int64(v.Days), v.Nanoseconds/1000)
	case *array.MonthInterval:
		return ints(kindInterval, int64(c.Value(0)), 0, 0)
	case *array.DayTimeInterval:
		v := c.Value(0)
		return ints(kindInterval, 0, int64(v.Days), int64(v.Milliseconds)*1000)
	}
	return Parameter{}, fmt.Errorf("a value of the type %s", column.DataType())
}
