// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"strconv"
)

// other is the enum value that says: see the sibling.
const other = 99

// caption writes the sibling of an enum value: text where the event has one,
// else the value's caption. written says whether the value is written though 0.
func (e *encoder) caption(k, text string, value int64, of *captions, written bool) {
	if text == "" {
		if e.verbatim || value == other || value == 0 && !written {
			return
		}
		if text = of.in(value, e.version); text == "" {
			return
		}
	}
	e.str(k, text)
}

// encodeCaptions is caption for attributes that are arrays.
func encodeCaptions[T ~int64](e *encoder, k string, texts []string, values []T, of *captions) {
	if texts != nil {
		encodeTexts(e, k, texts)
		return
	}
	if e.verbatim || values == nil {
		return
	}
	e.list(k)
	for _, v := range values {
		text := of.in(int64(v), e.version)
		if text == "" {
			text = strconv.FormatInt(int64(v), 10)
		}
		e.sign('"')
		e.text(text)
	}
	e.endList()
}

// name writes a caption that the class derives, unless the event has its own.
func (e *encoder) name(k, text, derived string) {
	if text == "" {
		text = derived
	}
	if text != "" {
		e.str(k, text)
	}
}

// uid writes a number that the class derives.
func (e *encoder) uid(k string, own, derived int64) {
	if !e.verbatim {
		own = derived
	} else if own == 0 {
		return
	}
	e.int(k, own)
}

// typed writes type_name, which consists of two captions.
func (e *encoder) typed(k, text string) {
	if text != "" {
		e.str(k, text)
		return
	}
	if e.derived.typeName == "" {
		return
	}
	// The generator takes no caption that needs escapes.
	e.key(k)
	e.b = append(append(append(append(e.b, e.derived.className...), ": "...), e.derived.typeName...), `",`...)
}

func (e *encoder) int(k string, n int64) {
	at := len(e.b)
	if len(e.extra) != 0 || cap(e.b)-at < maxKey+maxDigits || uint64(n) > 1<<53 {
		e.key(k)
		e.integer(n)
		e.sign(',')
		return
	}
	to := e.b[at:cap(e.b)]
	end := putKey(to, k)
	if n < 10 { // most enums
		to[end], to[end+1] = byte('0'+n), ','
		e.b = e.b[:at+end+2]
		return
	}
	e.b = e.b[:at+end+putDigits(to[end:], uint64(n))]
}

func (e *encoder) float(k string, f float64) {
	e.key(k)
	e.number(f)
	e.sign(',')
}

func (e *encoder) bool(k string, v bool) {
	e.key(k)
	e.b = strconv.AppendBool(e.b, v)
	e.sign(',')
}

// json writes a json_t or a free-form object.
func (e *encoder) json(k string, v any) {
	e.key(k)
	e.free(v)
	e.sign(',')
}

// text writes a string behind its opening quote, and a comma behind the string.
func (e *encoder) text(s string) {
	b, err := appendText(e.b, s)
	if err != nil {
		e.fail(err)
		return
	}
	e.b = b
	e.sign(',')
}

func (e *encoder) integer(n int64) {
	if !e.pure {
		e.b = strconv.AppendInt(e.b, n, 10)
		return
	}
	b, err := appendInt(e.b, n)
	if err != nil {
		e.fail(err)
		return
	}
	e.b = b
}

func (e *encoder) number(f float64) {
	start := len(e.b)
	b, err := appendFloat(e.b, f)
	if err != nil {
		e.fail(err)
		return
	}
	e.b = b
	if !e.pure && isInteger(b[start:]) {
		e.b = append(e.b, ".0"...)
	}
}

// isInteger says whether a number is written without fraction and exponent.
func isInteger(n []byte) bool {
	for _, c := range n {
		if c == '.' || c == 'e' {
			return false
		}
	}
	return true
}

func (e *encoder) free(v any) {
	b, err := appendAny(e.b, v, e.depth)
	if err != nil {
		e.fail(err)
		return
	}
	e.b = b
}

// An object is what every generated object type is, as a pointer.
type object[T any] interface {
	*T
	encode(e *encoder, key string)
	decode(*decoder)
}

// encodeInPlace writes a struct that is no pointer: of an event that is verbatim,
// an empty one was not there.
func encodeInPlace[T any, P object[T]](e *encoder, k string, o P) {
	if !e.verbatim {
		o.encode(e, k)
		return
	}
	start, extra := len(e.b), e.extra
	e.key(k)
	value := len(e.b)
	o.encode(e, noKey)
	if e.err == nil && len(e.b)-value == len("{},") {
		e.b, e.extra = e.b[:start], extra
	}
}

// list begins an array, endList ends it.
func (e *encoder) list(k string) {
	if e.depth++; e.depth > MaxDepth {
		e.fail(ErrDepth)
	}
	e.key(k)
	e.sign('[')
}

func (e *encoder) endList() {
	e.depth--
	e.b = append(closing(e.b, ']'), ',')
}

func encodeList[T any, P object[T]](e *encoder, k string, list []T) {
	e.list(k)
	for i := range list {
		P(&list[i]).encode(e, noKey)
	}
	e.endList()
}

func encodeTexts[T ~string](e *encoder, k string, list []T) {
	e.list(k)
	for _, s := range list {
		e.sign('"')
		e.text(string(s))
	}
	e.endList()
}

func encodeInts[T ~int64](e *encoder, k string, list []T) {
	e.list(k)
	for _, n := range list {
		e.integer(int64(n))
		e.sign(',')
	}
	e.endList()
}

func encodeFloats(e *encoder, k string, list []float64) {
	e.list(k)
	for _, f := range list {
		e.number(f)
		e.sign(',')
	}
	e.endList()
}
