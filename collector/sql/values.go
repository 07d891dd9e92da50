// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/docket-audit/docket/ocsf"
)

// A Number is a decimal number of any precision, as its digits.
type Number string

// JSON is a value of DuckDB's type JSON, as its text.
type JSON string

// AppendJSON appends a value of [Rows.Values] to dst as JSON: a number with all
// its digits, bytes in base64, a float that JSON has no number for as a string.
func AppendJSON(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case uint64:
		return strconv.AppendUint(dst, v, 10), nil
	case *big.Int:
		return v.Append(dst, 10), nil
	case Number:
		return append(dst, v...), nil
	case JSON:
		b := bytes.NewBuffer(dst)
		if err := json.Compact(b, []byte(v)); err != nil {
			return AppendJSON(dst, string(v))
		}
		return b.Bytes(), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return AppendJSON(dst, strconv.FormatFloat(v, 'g', -1, 64))
		}
	case []byte:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v), '"'), nil
	case []any:
		return appendList(dst, v)
	case map[string]any:
		return appendObject(dst, v)
	}
	// What is left is strings and finite floats.
	b, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("encode SQL value: %w", err)
	}
	if b, err = ocsf.Canonicalize(b); err != nil { // without escapes for HTML
		return dst, fmt.Errorf("encode SQL value: %w", err)
	}
	return append(dst, b...), nil
}

func appendList(dst []byte, list []any) (_ []byte, err error) {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = AppendJSON(dst, v); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendObject(dst []byte, object map[string]any) (_ []byte, err error) {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = AppendJSON(dst, name); err != nil {
			return dst, err
		}
		dst = append(dst, ':')
		if dst, err = AppendJSON(dst, object[name]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// AppendRow appends a row as one JSON object, the columns in their order.
func AppendRow(dst []byte, columns []Column, values []any) (_ []byte, err error) {
	dst = append(dst, '{')
	for i, c := range columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = AppendJSON(dst, c.Name); err != nil {
			return dst, err
		}
		dst = append(dst, ':')
		if dst, err = AppendJSON(dst, values[i]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// Distinct returns names with _1, _2, ... behind those that were there before,
// so that a row can be an object.
func Distinct(names []string) []string {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		seen[name] = true
	}
	used := make(map[string]bool, len(names))
	out := make([]string, len(names))
	for i, name := range names {
		unique := name
		for n := 1; used[unique] || (unique != name && seen[unique]); n++ {
			unique = name + "_" + strconv.Itoa(n)
		}
		used[unique] = true
		out[i] = unique
	}
	return out
}
