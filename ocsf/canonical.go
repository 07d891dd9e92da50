// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Canonical is a JSON value that is in canonical form already, such as
// [Canonicalize] returns. In a free-form attribute [Encode] writes it as it is,
// without looking into it: large payloads are parsed once, not at every hop.
type Canonical []byte

// MarshalJSON implements json.Marshaler, for those who print events otherwise.
func (c Canonical) MarshalJSON() ([]byte, error) { return c, nil }

var errUTF8 = errors.New("invalid UTF-8")

// A plan is how the struct fields of one type are written: members in the order
// of the canonical form, those of embedded structs among them.
type plan []member

type member struct {
	name string // quoted, with the colon
	// The field, and the field in it when it is of an embedded struct; else -1.
	field, embedded int
	// Members that would be written as zero or as empty may be left out.
	omitZero, omitEmpty bool
	// sub is the plan of the struct that the field is, points to or lists.
	sub plan
}

var plans sync.Map // of the reflect.Type of an event to its plan

func planOf(t reflect.Type) plan {
	if p, ok := plans.Load(t); ok {
		if p, ok := p.(plan); ok {
			return p
		}
	}
	p := newPlan(t)
	plans.Store(t, p)
	return p
}

func newPlan(t reflect.Type) plan {
	var p plan
	for _, f := range reflect.VisibleFields(t) {
		tag, ok := f.Tag.Lookup("json")
		if !ok || f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		m := member{
			name: `"` + name + `":`, field: f.Index[0], embedded: -1,
			omitZero: options == "omitzero", omitEmpty: options == "omitempty",
		}
		if len(f.Index) > 1 {
			m.embedded = f.Index[1]
		}
		of := f.Type
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() == reflect.Struct {
			m.sub = newPlan(of)
		}
		p = append(p, m)
	}
	// Attribute names are plain ASCII, so that the order of bytes is that of RFC
	// 8785. The quote that ends a name sorts before every letter of a longer one.
	slices.SortFunc(p, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return p
}

func appendStruct(b []byte, v reflect.Value, p plan) ([]byte, error) {
	b = append(b, '{')
	for i := range p {
		m := &p[i]
		f := v.Field(m.field)
		if m.embedded >= 0 {
			f = f.Field(m.embedded)
		}
		if m.omitZero && f.IsZero() {
			continue
		}
		before := len(b)
		b = append(b, m.name...)
		start := len(b)
		var err error
		if b, err = appendField(b, f, m.sub); err != nil {
			return nil, fmt.Errorf("%s: %w", m.name[1:len(m.name)-2], err)
		}
		if m.omitEmpty && len(b)-start <= 4 {
			switch string(b[start:]) {
			case `null`, `""`, `{}`, `[]`:
				b = b[:before]
				continue
			}
		}
		b = append(b, ',')
	}
	return closing(b, '}'), nil
}

// closing puts the closing bracket in place of the last comma, if there is one.
func closing(b []byte, bracket byte) []byte {
	if b[len(b)-1] == ',' {
		b[len(b)-1] = bracket
		return b
	}
	return append(b, bracket)
}

// appendField writes a field of one of the types that this package's structs have.
func appendField(b []byte, v reflect.Value, sub plan) ([]byte, error) {
	switch v.Kind() {
	case reflect.String:
		return appendString(b, v.String())
	case reflect.Int32, reflect.Int64:
		return appendInt(b, v.Int())
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool()), nil
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		return appendField(b, v.Elem(), sub)
	case reflect.Struct:
		return appendStruct(b, v, sub)
	case reflect.Slice:
		b = append(b, '[')
		for i := range v.Len() {
			var err error
			if b, err = appendField(b, v.Index(i), sub); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			b = append(b, ',')
		}
		return closing(b, ']'), nil
	case reflect.Map, reflect.Interface:
		return appendAny(b, v.Interface())
	default:
		return nil, fmt.Errorf("no canonical form for a field of type %s", v.Type())
	}
}

// appendAny writes a value of a free-form attribute.
func appendAny(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case Canonical:
		if len(v) == 0 {
			return append(b, "null"...), nil
		}
		return append(b, v...), nil
	case string:
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return appendInt(b, int64(v))
	case int64:
		return appendInt(b, v)
	case float64:
		return appendFloat(b, v)
	case []any:
		return appendSlice(b, v, appendAny)
	case []string:
		return appendSlice(b, v, appendString)
	case map[string]any:
		return appendMap(b, v, appendAny)
	case map[string]string:
		return appendMap(b, v, appendString)
	}
	// Anything else takes the long way.
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if text, err = Canonicalize(text); err != nil {
		return nil, err
	}
	return append(b, text...), nil
}

func appendSlice[T any](b []byte, vs []T, one func([]byte, T) ([]byte, error)) ([]byte, error) {
	b = append(b, '[')
	for i, v := range vs {
		var err error
		if b, err = one(b, v); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		b = append(b, ',')
	}
	return closing(b, ']'), nil
}

func appendMap[T any](b []byte, m map[string]T, one func([]byte, T) ([]byte, error)) ([]byte, error) {
	var room [16]string
	names := room[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, compareUTF16)
	b = append(b, '{')
	for _, name := range names {
		var err error
		if b, err = appendString(b, name); err != nil {
			return nil, fmt.Errorf("name %q: %w", name, err)
		}
		b = append(b, ':')
		if b, err = one(b, m[name]); err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		b = append(b, ',')
	}
	return closing(b, '}'), nil
}

// compareUTF16 orders strings by their UTF-16 code units, as RFC 8785 does. It
// differs from the order of bytes for runes from U+E000 on, which surrogates
// sort before.
func compareUTF16(x, y string) int {
	for i := 0; i < len(x) && i < len(y); i++ {
		if x[i] == y[i] {
			continue
		}
		// Both differ first in byte i. The lead byte of a rune from U+E000 to
		// U+FFFF is 0xEE or 0xEF, that of one beyond is 0xF0 or more.
		a, b := x[i], y[i]
		if a >= 0xF0 && (b == 0xEE || b == 0xEF) {
			return -1
		}
		if b >= 0xF0 && (a == 0xEE || a == 0xEF) {
			return 1
		}
		return int(a) - int(b)
	}
	return len(x) - len(y)
}

func appendString(b []byte, s string) ([]byte, error) {
	const hex = "0123456789abcdef"
	if !utf8.ValidString(s) {
		return nil, errUTF8
	}
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		if at := strings.IndexByte("\"\\\b\f\n\r\t", c); at >= 0 {
			b = append(b, '\\', `"\bfnrt`[at])
		} else {
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"'), nil
}

func appendInt(b []byte, n int64) ([]byte, error) {
	start := len(b)
	b = strconv.AppendInt(b, n, 10)
	if (n > 1<<53 || n < -1<<53) && !isExact(b[start:]) {
		return nil, &InexactError{Literal: string(b[start:])}
	}
	return b, nil
}

// appendFloat writes f as ECMAScript does, which RFC 8785 prescribes.
func appendFloat(b []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("no JSON form for %v", f)
	}
	if f == 0 {
		return append(b, '0'), nil // minus zero too
	}
	if a := math.Abs(f); a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64), nil
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	// Go writes at least two digits of the exponent, ECMAScript no leading zero.
	if i := start + bytes.IndexByte(b[start:], 'e') + 2; b[i] == '0' {
		b = append(b[:i], b[i+1:]...)
	}
	return b, nil
}
