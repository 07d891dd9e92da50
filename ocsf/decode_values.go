// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// null reads a null in place of a value and keeps it.
func (d *decoder) null(m *members) bool {
	if d.peek() != 'n' {
		return false
	}
	start := d.i
	d.literal("null")
	d.keep(m, start)
	return true
}

func (d *decoder) literal(l string) bool {
	if !strings.HasPrefix(d.s[d.i:], l) {
		d.syntax("invalid literal")
		return false
	}
	d.i += len(l)
	return true
}

func (d *decoder) str(m *members, i uint, p *string) {
	d.once(m, i)
	if d.peek() == '"' {
		start := d.i
		if *p = d.string(); *p == "" {
			d.keep(m, start)
		}
		return
	}
	if !d.null(m) {
		d.mismatch("a string", d.peek())
	}
}

func (d *decoder) int(m *members, i uint, p *int64) {
	d.once(m, i)
	if d.null(m) {
		return
	}
	start := d.i
	if *p = d.integer(); *p == 0 {
		d.keep(m, start)
	}
}

func (d *decoder) intp(m *members, i uint, p **int64) {
	d.once(m, i)
	if !d.null(m) {
		*p = new(d.integer())
	}
}

func (d *decoder) floatp(m *members, i uint, p **float64) {
	d.once(m, i)
	if !d.null(m) {
		*p = new(d.number())
	}
}

func (d *decoder) bool(m *members, i uint, p *bool) {
	d.once(m, i)
	if d.null(m) {
		return
	}
	start := d.i
	if *p = d.boolean(); !*p {
		d.keep(m, start)
	}
}

func (d *decoder) boolp(m *members, i uint, p **bool) {
	d.once(m, i)
	if !d.null(m) {
		*p = new(d.boolean())
	}
}

func (d *decoder) json(m *members, i uint, p *any) {
	d.once(m, i)
	if value := d.raw(); d.err == nil {
		*p = value
	}
}

// free reads a free-form object, whose members' values are left as they are.
func (d *decoder) free(m *members, i uint, p *map[string]any) {
	d.once(m, i)
	if d.null(m) {
		return
	}
	var inner members
	d.open()
	o := make(map[string]any)
	for d.next(&inner) {
		if _, ok := o[d.name]; ok {
			d.duplicate()
		}
		name, value := d.name, d.raw()
		if d.err == nil {
			o[name] = value
		}
	}
	*p = o
}

func decodeObject[T any, P object[T]](d *decoder, m *members, i uint, p **T) {
	d.once(m, i)
	if !d.null(m) {
		*p = new(T)
		P(*p).decode(d)
	}
}

// decodeInPlace is decodeObject for a struct that is no pointer.
func decodeInPlace[T any, P object[T]](d *decoder, m *members, i uint, p *T) {
	d.once(m, i)
	if d.null(m) {
		return
	}
	name, start := d.name, d.i
	P(p).decode(d)
	if d.err == nil && len(strings.Trim(d.s[start:d.i], "{} \t\r\n")) == 0 {
		d.name = name
		d.keep(m, start)
	}
}

// list reads an array, calling element for each of its elements.
func (d *decoder) list(m *members, i uint, element func()) bool {
	d.once(m, i)
	if d.null(m) {
		return false
	}
	if d.depth++; d.depth > MaxDepth {
		d.fail(ErrDepth)
	}
	if !d.want('[', "an array") {
		return false
	}
	if d.peek() == ']' {
		d.i++
		d.depth--
		return true
	}
	for d.err == nil {
		element()
		if d.err != nil {
			break
		}
		switch d.peek() {
		case ',':
			d.i++
		case ']':
			d.i++
			d.depth--
			return true
		default:
			d.syntax("want , or ]")
		}
	}
	return false
}

func decodeList[T any, P object[T]](d *decoder, m *members, i uint, p *[]T) {
	list := []T{}
	if d.list(m, i, func() {
		var zero T
		list = append(list, zero)
		P(&list[len(list)-1]).decode(d)
	}) {
		*p = list
	}
}

func decodeTexts[T ~string](d *decoder, m *members, i uint, p *[]T) {
	list := []T{}
	if d.list(m, i, func() {
		if c := d.peek(); c != '"' {
			d.mismatch("a string", c)
			return
		}
		list = append(list, T(d.string()))
	}) {
		*p = list
	}
}

func decodeInts[T ~int64](d *decoder, m *members, i uint, p *[]T) {
	list := []T{}
	if d.list(m, i, func() { list = append(list, T(d.integer())) }) {
		*p = list
	}
}

func decodeFloats(d *decoder, m *members, i uint, p *[]float64) {
	list := []float64{}
	if d.list(m, i, func() { list = append(list, d.number()) }) {
		*p = list
	}
}

func (d *decoder) boolean() bool {
	switch c := d.peek(); c {
	case 't':
		return d.literal("true")
	case 'f':
		d.literal("false")
	default:
		d.mismatch("a boolean", c)
	}
	return false
}

// integer reads an integer that is written as one: 5.0 is none.
func (d *decoder) integer() int64 {
	n, whole := d.digits("an integer")
	if d.err != nil {
		return 0
	}
	if !whole {
		d.fail(&TypeError{Want: "an integer", Got: "the fraction " + clip(n)})
		return 0
	}
	v, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		d.fail(&TypeError{Want: "an integer of 64 bits", Got: clip(n)})
	}
	return v
}

func (d *decoder) number() float64 {
	n, _ := d.digits("a number")
	if d.err != nil {
		return 0
	}
	v, err := strconv.ParseFloat(n, 64)
	if err != nil || math.IsInf(v, 0) {
		d.fail(&TypeError{Want: "a number within the range of a double", Got: clip(n)})
	}
	return v
}

func clip(s string) string { return s[:min(len(s), 40)] }

// digits reads a number and says whether it is a whole one, of digits only.
func (d *decoder) digits(what string) (n string, whole bool) {
	c := d.peek()
	if c != '-' && (c < '0' || c > '9') {
		d.mismatch(what, c)
		return "", false
	}
	start := d.i
	for d.i < len(d.s) && !delimits(d.s[d.i]) {
		d.i++
	}
	n = d.s[start:d.i]
	whole, ok := isNumber(n)
	if !ok {
		d.i = start
		d.syntax("invalid number")
	}
	return n, whole
}

// isNumber checks s against the number grammar of RFC 8259.
func isNumber(s string) (whole, ok bool) {
	run := func() bool { // a run of digits
		n := 0
		for n < len(s) && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	s = strings.TrimPrefix(s, "-")
	if strings.HasPrefix(s, "0") {
		s = s[1:]
	} else if !run() {
		return false, false
	}
	whole = s == ""
	if strings.HasPrefix(s, ".") {
		if s = s[1:]; !run() {
			return false, false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		if s = s[1:]; s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !run() {
			return false, false
		}
	}
	return whole, s == ""
}

// string reads a string; the next byte is its quote.
func (d *decoder) string() string {
	d.i++
	start := d.i
	ascii := true
	for d.i = skipPlain(d.s, d.i); d.i < len(d.s); d.i = skipPlain(d.s, d.i+1) {
		c := d.s[d.i]
		switch {
		case c == '"':
			s := d.s[start:d.i]
			if !ascii && !utf8.ValidString(s) {
				d.syntax(ErrUTF8.Error())
				return ""
			}
			d.i++
			return s
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			d.syntax("control character in a string")
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	d.syntax("unexpected end in a string")
	return ""
}

// skipPlain returns the index, from i on, up to which s is ASCII that needs no
// escape: that of the first byte which is not, or the end.
func skipPlain(s string, i int) int {
	rest := s[min(i, len(s)):]
	for ; len(rest) >= 8; rest = rest[8:] {
		if at := special(load(rest)); at != 0 {
			return len(s) - len(rest) + bits.TrailingZeros64(at)/8
		}
	}
	i = max(i, len(s)-len(rest))
	for i < len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
		i++
	}
	return i
}

// escaped reads a string that has escapes; start is behind its quote.
func (d *decoder) escaped(start int) string {
	for d.i < len(d.s) && d.s[d.i] != '"' {
		if d.s[d.i] == '\\' {
			d.i++
		}
		d.i++
	}
	if d.i >= len(d.s) {
		d.i = len(d.s)
		d.syntax("unexpected end in a string")
		return ""
	}
	d.i++
	b, err := jsontext.AppendUnquote(nil, d.s[start-1:d.i])
	if err != nil {
		d.i = start
		d.syntax("invalid escape, control character or UTF-8 in a string")
		return ""
	}
	return string(b)
}

// raw reads a free-form value: nothing of it is decoded, all of it is checked.
func (d *decoder) raw() Raw {
	if d.err != nil {
		return nil
	}
	c, start := d.peek(), d.i
	switch c {
	case '"':
		d.string()
	case '{', '[':
		d.pass()
		value := Raw(d.s[start:d.i])
		d.check(value, start)
		return value
	case 't':
		d.literal("true")
	case 'f':
		d.literal("false")
	case 'n':
		d.literal("null")
	default:
		d.digits("a value")
	}
	return Raw(d.s[start:d.i])
}

// check checks the object or array that has been passed since start.
func (d *decoder) check(value Raw, start int) {
	if depthOf(value)+d.depth > MaxDepth {
		d.fail(ErrDepth)
		return
	}
	if jsontext.Value(value).IsValid() {
		return
	}
	dec := jsontext.NewDecoder(bytes.NewReader(value))
	_, err := dec.ReadValue()
	if err == nil {
		_, err = dec.ReadToken()
	}
	d.fail(syntaxError(err, start))
}

// depthOf returns how deep the JSON value s is nested.
func depthOf[T ~string | ~[]byte](s T) int {
	depth, deepest := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}
