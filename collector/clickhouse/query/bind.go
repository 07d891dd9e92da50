// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"math"
	"strconv"

	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/sql"
)

// bind puts values in the places of ?. Each is written as a literal whose characters
// are in hex where they could mean anything, and cast, so that it is never read as SQL.
func bind(all []token, values []sql.Parameter) ([]token, error) {
	places := 0
	for _, t := range all {
		if t.is("?") {
			places++
		}
	}
	if len(values) == 0 { // a ? is then what ClickHouse takes it for
		return all, nil
	}
	if places != len(values) {
		return nil, sql.Refuse("bind one value for each ?", "%d values for %d parameters", len(values), places)
	}
	out := make([]token, 0, len(all))
	for _, t := range all {
		if t.is("?") {
			l, err := literal(values[0])
			if err != nil {
				return nil, err
			}
			values = values[1:]
			t = token{kind: text, text: l}
		}
		out = append(out, t)
	}
	return out, nil
}

// placesOf counts the parameters of a query.
func placesOf(all []token) (n int) {
	for _, t := range all {
		if t.is("?") {
			n++
		}
	}
	return n
}

func literal(p sql.Parameter) (string, error) {
	v, err := p.Value()
	if err != nil {
		return "", err
	}
	cast := func(of, as string) string { return "CAST(" + filter.ClickHouse.Text(of) + " AS " + as + ")" }
	switch v := v.(type) {
	case nil:
		return "NULL", nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return cast(strconv.FormatInt(v, 10), "Int64"), nil
	case uint64:
		return cast(strconv.FormatUint(v, 10), "UInt64"), nil
	case float64:
		switch {
		case math.IsNaN(v):
			return "nan", nil
		case math.IsInf(v, 0):
			return cast(strconv.FormatFloat(v, 'g', -1, 64), "Float64"), nil
		}
		return cast(strconv.FormatFloat(v, 'g', -1, 64), "Float64"), nil
	case string:
		return filter.ClickHouse.Text(v), nil
	case []byte:
		return filter.ClickHouse.Text(string(v)), nil
	case sql.Decimal:
		return cast(v.Text(), fmt.Sprintf("Decimal(%d, %d)", v.Digits, v.Scale)), nil
	case sql.Date:
		return cast(v.String(), "Date32"), nil
	case sql.Timestamp:
		return cast(v.String(), fmt.Sprintf("DateTime64(%d, 'UTC')", v.Digits())), nil
	}
	return "", sql.Refuse("bind a text, and convert it in the query", "a parameter of a type that ClickHouse has no value for")
}
