// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"github.com/docket-audit/docket/ocsf/internal/jsontree"
	"github.com/docket-audit/docket/ocsf/schema"
)

// A typ is a data type with what it inherits.
type typ struct {
	name      string
	wants     string // as messages call it: "port_t (integer_t)"
	primitive primitive
	bug       string // the code of what is wrong with the type itself; empty: nothing
	// What narrows the type. Each comes from the type itself or else, with
	// another code, from the primitive that it narrows; an empty code: no limit.
	rangeCode   string
	low, high   int64
	lenCode     string
	maxLen      int
	patternCode string
	pattern     *pattern
	valuesCode  string
	values      []string // as JSON
	plain       bool     // nothing narrows it, as is usual
}

// A primitive is a type that is not defined by another. Zero is none of them.
type primitive uint8

const (
	booleanType primitive = iota + 1
	integerType
	longType
	floatType
	stringType
	jsonType
)

var primitives = map[string]primitive{
	"boolean_t": booleanType, "integer_t": integerType, "long_t": longType,
	"float_t": floatType, "string_t": stringType, "json_t": jsonType,
}

func (c *compiler) typ(name string) *typ {
	if t := c.types[name]; t != nil {
		return t
	}
	t := &typ{name: name, wants: name}
	base := name
	c.types[name] = t
	own := c.schema.Types[name]
	if own == nil {
		t.bug = "schema_bug_type_missing"
		return t
	}
	if own.Super != "" {
		base = own.Super
		t.wants = name + " (" + own.Super + ")"
		if super := c.schema.Types[own.Super]; super != nil {
			t.narrow(super, false)
		}
	}
	t.narrow(own, true)
	if t.primitive = primitives[base]; t.primitive == 0 {
		t.bug = "schema_bug_primitive_type_unknown"
	}
	t.plain = t.lenCode == "" && t.patternCode == "" && t.valuesCode == ""
	return t
}

// narrow takes over the limits that s sets; own says that s is the type itself.
func (t *typ) narrow(s *schema.Type, own bool) {
	of, in := "", "type"
	if !own {
		of, in = "super_type_", "super_type"
	}
	if s.Range != nil {
		t.rangeCode, t.low, t.high = "attribute_value_exceeds_"+of+"range", s.Range[0], s.Range[1]
	}
	if s.MaxLen > 0 {
		t.lenCode, t.maxLen = "attribute_value_exceeds_"+of+"max_len", s.MaxLen
	}
	if s.Regex != "" {
		t.patternCode, t.pattern = "attribute_value_"+of+"regex_not_matched", compilePattern(s.Regex)
	}
	if s.Values != nil {
		t.valuesCode, t.values = "attribute_value_not_in_"+in+"_values", nil
		for _, v := range s.Values {
			if text, err := json.Marshal(v); err == nil {
				t.values = append(t.values, string(text))
			}
		}
	}
}

// easy returns the kinds of values that are all of the type, a bit each;
// integers, if they have at most easyDigits.
func (t *typ) easy() uint8 {
	unlimited := t.rangeCode == "" && t.valuesCode == ""
	switch {
	case t.primitive == stringType && t.plain:
		return 1 << jsontree.String
	case t.primitive == booleanType && t.valuesCode == "":
		return 1<<jsontree.True | 1<<jsontree.False
	case (t.primitive == integerType || t.primitive == longType) && unlimited:
		return 1 << jsontree.Integer
	case t.primitive == floatType && unlimited:
		return 1 << jsontree.Decimal
	case t.primitive == jsonType:
		return ^uint8(0)
	default:
		return 0
	}
}

// easyDigits is a length that integers of all types can have, a sign included.
const easyDigits = 18

// isEasy says whether there is nothing to check of a value of that kind and
// length but its enumeration.
func (a *attr) isEasy(kind jsontree.Kind, length int) bool {
	return a.easy>>kind&1 != 0 && (kind != jsontree.Integer || length <= easyDigits)
}

// scalar checks a value that is no object against its type.
func (w *walk) scalar(n jsontree.Node, a *attr, index int) {
	t := a.typ
	kind := w.tree.Kind(n)
	switch t.primitive {
	case stringType:
		if kind != jsontree.String {
			w.wrongType(n, w.at(a.name, index), t.wants)
		} else if !t.plain {
			w.text(n, a, index)
		}
	case integerType, longType:
		if text, ok := w.integer(n); ok && w.fits(text, t.primitive == longType) {
			w.number(n, text, a, index)
		} else {
			w.wrongType(n, w.at(a.name, index), t.wants)
		}
	case booleanType:
		if kind != jsontree.True && kind != jsontree.False {
			w.wrongType(n, w.at(a.name, index), t.wants)
			return
		}
		w.oneOf(n, w.tree.Text(n), a, index)
	case floatType:
		if kind != jsontree.Decimal {
			w.wrongType(n, w.at(a.name, index), t.wants)
			return
		}
		w.number(n, w.tree.Text(n), a, index)
	case jsonType:
	default:
		w.fail(t.bug, w.at(a.name, index), "the schema does not say what type %q is", t.name)
	}
}

// number checks the limits of a number that is of the right type.
func (w *walk) number(n jsontree.Node, text []byte, a *attr, index int) {
	t := a.typ
	if t.rangeCode != "" && !within(text, t.low, t.high) {
		w.fail(t.rangeCode, w.at(a.name, index), "%s is from %d to %d, found %s", t.name, t.low, t.high, w.describe(n))
	}
	w.oneOf(n, text, a, index)
}

// within compares a number, any number, with limits.
func within(text []byte, low, high int64) bool {
	if v, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return low <= v && v <= high
	}
	// A fraction, or beyond 64 bits. That it overflows does not matter here: it
	// is infinite then, and outside.
	v, _ := strconv.ParseFloat(string(text), 64)
	return float64(low) <= v && v <= float64(high)
}

// text checks the limits of a string.
func (w *walk) text(n jsontree.Node, a *attr, index int) {
	t, s := a.typ, w.tree.Text(n)
	if t.lenCode != "" && len(s) > t.maxLen && w.longer(s, t.maxLen) {
		w.fail(t.lenCode, w.at(a.name, index), "%s has at most %d characters, found more: %s", t.name, t.maxLen, w.describe(n))
	}
	if t.patternCode != "" {
		switch {
		case t.pattern == nil:
			w.fail("schema_bug_type_regex_invalid", w.at(a.name, index), "the schema's pattern of type %q is none", t.name)
		case !t.pattern.match(s):
			w.warn(t.patternCode, w.at(a.name, index), "%s has another form than %s", t.name, w.describe(n))
		}
	}
	w.oneOf(n, s, a, index)
}

// longer says whether s has more characters than limit. They are grapheme
// clusters to the server, of which there are never more than code points, and
// code points in strict mode.
func (w *walk) longer(s []byte, limit int) bool {
	if w.options.Strict || utf8.RuneCount(s) <= limit {
		return utf8.RuneCount(s) > limit
	}
	for state := -1; len(s) > 0 && limit >= 0; limit-- {
		_, s, _, state = uniseg.FirstGraphemeCluster(s, state)
	}
	return limit < 0
}

// oneOf checks a value against the list of its type's values.
func (w *walk) oneOf(n jsontree.Node, text []byte, a *attr, index int) {
	t := a.typ
	if t.valuesCode == "" {
		return
	}
	for _, v := range t.values {
		if w.tree.Kind(n) == jsontree.String {
			var s string
			if json.Unmarshal([]byte(v), &s) == nil && s == string(text) {
				return
			}
		} else if v == string(text) {
			return
		}
	}
	w.fail(t.valuesCode, w.at(a.name, index), "%s is none of the values of %s", w.describe(n), t.name)
}

// The greatest magnitudes of the integer types. To the server a long_t has 128
// bits, which strict mode takes for the mistake it is.
const (
	maxInt64, minInt64   = "9223372036854775807", "9223372036854775808"
	maxInt128, minInt128 = "170141183460469231731687303715884105727", "170141183460469231731687303715884105728"
)

// fits says whether an integer, given as its canonical text, is a value of
// integer_t or, if long is set, of long_t.
func (w *walk) fits(text []byte, long bool) bool {
	digits, negative := bytes.CutPrefix(text, []byte("-"))
	var limit string
	switch long = long && !w.options.Strict; {
	case long && negative:
		limit = minInt128
	case long:
		limit = maxInt128
	case negative:
		limit = minInt64
	default:
		limit = maxInt64
	}
	return len(digits) < len(limit) || len(digits) == len(limit) && string(digits) <= limit
}

func (w *walk) isInteger(n jsontree.Node) bool {
	text, ok := w.integer(n)
	return ok && w.fits(text, false)
}

func (w *walk) isLong(n jsontree.Node) bool {
	text, ok := w.integer(n)
	return ok && w.fits(text, true)
}

func (w *walk) isString(n jsontree.Node) bool { return w.tree.Kind(n) == jsontree.String }

// integer returns the canonical text of a number that counts as an integer: by
// its token to the server, by its value in strict mode. It is valid until the
// next call.
func (w *walk) integer(n jsontree.Node) (text []byte, ok bool) {
	switch w.tree.Kind(n) {
	case jsontree.Integer:
		if text = w.tree.Text(n); string(text) == "-0" {
			text = text[1:]
		}
		return text, true
	case jsontree.Decimal:
		if !w.options.Strict {
			return nil, false
		}
		w.digits, ok = appendIntegral(w.digits[:0], w.tree.Text(n))
		return w.digits, ok
	default:
		return nil, false
	}
}

// maxDigits is more than any integer type holds.
const maxDigits = 64

// appendIntegral appends the decimal digits of a number that was written with a
// fraction or an exponent, if its value is integral. Of one that has more than
// maxDigits it appends so many: enough to see that it is too large.
func appendIntegral(b, token []byte) ([]byte, bool) {
	mantissa, exponent := token, 0
	if i := bytes.IndexAny(token, "eE"); i >= 0 {
		// Out of range is as good as the end of the range.
		exponent, _ = strconv.Atoi(string(token[i+1:]))
		mantissa = token[:i]
	}
	digits, negative := bytes.CutPrefix(mantissa, []byte("-"))
	whole, fraction, _ := bytes.Cut(digits, []byte("."))
	digits = bytes.TrimLeft(append(append([]byte{}, whole...), fraction...), "0")
	trimmed := bytes.TrimRight(digits, "0")
	if len(trimmed) == 0 {
		return append(b, '0'), true
	}
	// The value is trimmed, with so many zeros after it.
	const far = 1 << 40
	zeros := min(max(exponent, -far), far) - len(fraction) + len(digits) - len(trimmed)
	if zeros < 0 {
		return b, false
	}
	if negative {
		b = append(b, '-')
	}
	b = append(b, trimmed[:min(len(trimmed), maxDigits)]...)
	for range min(zeros, maxDigits) {
		b = append(b, '0')
	}
	return b, true
}
