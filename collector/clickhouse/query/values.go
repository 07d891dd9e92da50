// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"math/big"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	rowsof "github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/docket-audit/docket/collector/sql"
)

// A typ is a type of ClickHouse. Nullable and LowCardinality are taken off: whether a
// value is NULL shows in the value.
type typ struct {
	name  string // without parameters, such as Array
	text  string // as it is written
	of    []typ
	names []string // of the elements of a Tuple that have some
	// digits and scale are those of a Decimal, scale that of a DateTime64.
	digits, scale int
}

// parseType reads a type.
func parseType(s string) typ {
	s = strings.TrimSpace(s)
	head, rest, parameters := strings.Cut(s, "(")
	t := typ{name: strings.TrimSpace(head), text: s}
	if !parameters {
		return t
	}
	arguments := split(strings.TrimSuffix(rest, ")"))
	switch t.name {
	case "Nullable", "LowCardinality", "SimpleAggregateFunction":
		return parseType(arguments[len(arguments)-1])
	case "Array", "Map":
		for _, a := range arguments {
			t.of = append(t.of, parseType(a))
		}
	case "Tuple", "Nested":
		for i, a := range arguments {
			n, of, named := element(a)
			if !named {
				n = strconv.Itoa(i + 1)
			}
			t.names, t.of = append(t.names, n), append(t.of, parseType(of))
		}
	case "Decimal":
		t.digits, _ = strconv.Atoi(strings.TrimSpace(arguments[0]))
		if len(arguments) > 1 {
			t.scale, _ = strconv.Atoi(strings.TrimSpace(arguments[1]))
		}
	case "DateTime": // the driver says no zone, where the server does
		t.text = t.name
	case "DateTime64":
		t.scale, _ = strconv.Atoi(strings.TrimSpace(arguments[0]))
	}
	return t
}

// element splits an element of a Tuple into its name, if it has one, and its type.
func element(s string) (name, of string, named bool) {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "`"); ok {
		if n, of, ok := strings.Cut(rest, "` "); ok {
			return n, of, true
		}
	}
	n, of, ok := strings.Cut(s, " ")
	if !ok || strings.ContainsAny(n, "(,'") {
		return "", s, false
	}
	return n, of, true
}

// split cuts at the commas that stand in no parentheses and no quotes.
func split(s string) (parts []string) {
	depth, begun, quote := 0, 0, byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '`':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			parts = append(parts, s[begun:i])
			begun = i + 1
		}
	}
	return append(parts, s[begun:])
}

// describe returns names and types of columns. No two have the same name: a repeated
// one gets _1, _2, ... behind it.
func describe(all []rowsof.ColumnType) (names []string, types []typ) {
	for _, c := range all {
		names, types = append(names, c.Name()), append(types, parseType(c.DatabaseTypeName()))
	}
	return sql.Distinct(names), types
}

// targets returns what rows are scanned into: one variable for each column, of the
// type that the driver makes of it.
func targets(all []rowsof.ColumnType) []any {
	to := make([]any, len(all))
	for i, c := range all {
		to[i] = reflect.New(c.ScanType()).Interface()
	}
	return to
}

// plain makes of a value one of those of [sql.Rows.Values].
func (t *typ) plain(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return strings.ToValidUTF8(v, "\uFFFD")
	case []byte:
		return strings.ToValidUTF8(string(v), "\uFFFD")
	case time.Time:
		if t.name == "Date" || t.name == "Date32" {
			return v.UTC().Format(time.DateOnly)
		}
		return v.UTC().Format(time.RFC3339Nano)
	case interface{ StringFixed(places int32) string }: // a decimal of the driver's
		return sql.Number(v.StringFixed(int32(t.scale)))
	case uuid.UUID:
		return v.String()
	case net.IP:
		return v.String()
	case big.Int:
		return &v
	case *big.Int:
		if v == nil {
			return nil
		}
		return v
	}
	return t.reflected(reflect.ValueOf(v))
}

func (t *typ) reflected(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return t.plain(v.Elem().Interface())
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if s, ok := v.Interface().(fmt.Stringer); ok && v.Type().PkgPath() != "" {
			return s.String()
		}
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint()
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Slice, reflect.Array:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = t.at(i).plain(v.Index(i).Interface())
		}
		return list
	case reflect.Map:
		m := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			of := new(typ)
			k := it.Key().Interface()
			switch {
			case t.name == "Map" && len(t.of) == 2:
				k, of = t.of[0].plain(k), &t.of[1]
			case len(t.names) > 0:
				if i := slices.Index(t.names, fmt.Sprint(k)); i >= 0 {
					of = &t.of[i]
				}
			}
			m[fmt.Sprint(k)] = of.plain(it.Value().Interface())
		}
		return m
	case reflect.String:
		return strings.ToValidUTF8(v.String(), "\uFFFD")
	}
	if !v.IsValid() {
		return nil
	}
	return fmt.Sprint(v.Interface())
}

// at is the type of an element of a list.
func (t *typ) at(i int) *typ {
	switch {
	case t.name == "Array" && len(t.of) == 1:
		return &t.of[0]
	case i < len(t.of):
		return &t.of[i]
	}
	return new(typ)
}
