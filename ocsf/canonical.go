// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Canonical is a JSON value that is in canonical form already, such as
// [Canonicalize] returns. In a free-form attribute [Append] writes it as it is,
// without looking into it: large payloads are parsed once, not at every hop. It
// takes the caller's word: what is not JSON makes an event that is not JSON.
type Canonical []byte

// MarshalJSON implements json.Marshaler, for those who print events otherwise.
func (c Canonical) MarshalJSON() ([]byte, error) { return Raw(c).MarshalJSON() }

// Canonicalize returns the canonical form (RFC 8785) of one JSON value. It fails
// with a [*SyntaxError] on what is not I-JSON (RFC 7493): duplicate names, invalid UTF-8
// and nesting deeper than [MaxDepth] among it; and with an [*InexactError] on an
// integer that the canonical form would change.
func Canonicalize(b []byte) ([]byte, error) {
	c, err := canonicalize(b, 0)
	if err != nil {
		return nil, fmt.Errorf("canonicalize JSON: %w", err)
	}
	return c, nil
}

// canonicalize returns the canonical form of a value that is depth levels down.
func canonicalize(b []byte, depth int) ([]byte, error) {
	// Before the library does it: it has no limit that we could set.
	if depth+depthOf(b) > MaxDepth {
		return nil, ErrDepth
	}
	v := jsontext.Value(slices.Clone(b))
	if err := v.Canonicalize(); err != nil {
		return nil, syntaxError(err, 0)
	}
	// Only now, when b is known to be JSON. A fraction or an exponent says that
	// the writer meant a double; digits alone say that he meant this integer.
	if err := exact(b); err != nil {
		return nil, err
	}
	return v, nil
}

// syntaxError makes our error of one of the library's, which was at work from
// byte start on.
func syntaxError(err error, start int) error {
	var s *jsontext.SyntacticError
	if errors.As(err, &s) {
		return &SyntaxError{Offset: int64(start) + s.ByteOffset, Reason: s.Err.Error()}
	}
	return &SyntaxError{Offset: int64(start), Reason: "unexpected end"}
}

// EncodeValue returns the canonical form of a free-form attribute's value.
func EncodeValue(v any) ([]byte, error) {
	b, err := appendAny(nil, v, 0)
	if err != nil {
		return nil, fmt.Errorf("encode value: %w", err)
	}
	return b, nil
}

// exact looks for integers in the valid JSON b that a double does not hold.
func exact(b []byte) error {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case c == '-' || '0' <= c && c <= '9':
			start := i
			for i < len(b) && strings.IndexByte("+-.0123456789Ee", b[i]) >= 0 {
				i++
			}
			if n := b[start:i]; !isExact(n) {
				return &InexactError{Literal: string(n)}
			}
			i--
		}
	}
	return nil
}

// isExact says whether the number n is within a double's range and, when it is
// an integer, comes out of the canonical form with the same digits.
func isExact(n []byte) bool {
	fraction := bytes.ContainsAny(n, ".eE")
	if len(n) < 16 && !fraction {
		return true
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || fraction {
		return err == nil
	}
	digits := strconv.FormatFloat(f, 'f', -1, 64) // the shortest digits, as in RFC 8785
	return digits == string(n)
}

// appendAny writes a value of a free-form attribute, depth levels below it.
func appendAny(b []byte, v any, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, ErrDepth
	}
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case Canonical:
		if len(v) == 0 {
			return append(b, "null"...), nil
		}
		return append(b, v...), nil
	case Raw:
		return appendRaw(b, v, depth)
	case string:
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return appendInt(b, int64(v))
	case int32:
		return appendInt(b, int64(v))
	case int64:
		return appendInt(b, v)
	case float64:
		return appendFloat(b, v)
	case float32:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, ErrNotFinite
		}
	case json.Number:
		return appendRaw(b, Raw(v), depth)
	case []any:
		return appendSlice(b, v, depth, appendAny)
	case []string:
		return appendSlice(b, v, depth, appendLeaf)
	case map[string]any:
		return appendMap(b, v, depth, appendAny)
	case map[string]string:
		return appendMap(b, v, depth, appendLeaf)
	}
	// Anything else takes the long way.
	text, err := jsonv2.Marshal(v)
	if err != nil {
		if s := (*jsontext.SyntacticError)(nil); errors.As(err, &s) {
			return nil, syntaxError(err, 0)
		}
		return nil, err
	}
	return appendRaw(b, text, depth)
}

// appendRaw writes the canonical form of a JSON text.
func appendRaw(b []byte, r Raw, depth int) ([]byte, error) {
	if len(r) == 0 {
		return append(b, "null"...), nil
	}
	text, err := canonicalize(r, depth)
	if err != nil {
		return nil, err
	}
	return append(b, text...), nil
}

func appendLeaf(b []byte, s string, _ int) ([]byte, error) { return appendString(b, s) }

// closing puts the closing bracket in place of the last comma, if there is one.
func closing(b []byte, bracket byte) []byte {
	if b[len(b)-1] == ',' {
		b[len(b)-1] = bracket
		return b
	}
	return append(b, bracket)
}

func appendSlice[T any](b []byte, vs []T, depth int, one func([]byte, T, int) ([]byte, error)) ([]byte, error) {
	b = append(b, '[')
	for i, v := range vs {
		var err error
		if b, err = one(b, v, depth+1); err != nil {
			return nil, within(fmt.Sprintf("[%d]", i), err)
		}
		b = append(b, ',')
	}
	return closing(b, ']'), nil
}

func appendMap[T any](b []byte, m map[string]T, depth int, one func([]byte, T, int) ([]byte, error)) ([]byte, error) {
	var room [16]entry[T]
	entries := room[:0]
	for name, v := range m {
		entries = append(entries, entry[T]{name, v})
	}
	sortEntries(entries)
	b = append(b, '{')
	for i := range entries {
		name := entries[i].name
		var err error
		if b, err = appendString(b, name); err != nil {
			return nil, fmt.Errorf("name %.40q: %w", name, err)
		}
		b = append(b, ':')
		if b, err = one(b, entries[i].value, depth+1); err != nil {
			return nil, within(fmt.Sprintf("%.40q", name), err)
		}
		b = append(b, ',')
	}
	return closing(b, '}'), nil
}

// An entry is what a map has under a name.
type entry[T any] struct {
	name  string
	value T
}

// sortEntries puts entries in canonical order. Most maps are small.
func sortEntries[T any](entries []entry[T]) {
	const small = 12
	if len(entries) > small {
		slices.SortFunc(entries, func(x, y entry[T]) int { return compareUTF16(x.name, y.name) })
		return
	}
	for i := 1; i < len(entries); i++ {
		for j := i; j > 0 && compareUTF16(entries[j].name, entries[j-1].name) < 0; j-- {
			entries[j], entries[j-1] = entries[j-1], entries[j]
		}
	}
}

// within says in which member of a free-form value an error is. Of what is too
// deep it says nothing: the way there is a thousand steps.
func within(step string, err error) error {
	if errors.Is(err, ErrDepth) {
		return err
	}
	return fmt.Errorf("%s: %w", step, err)
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
		return nil, ErrNotFinite
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
