// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"strings"
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
	if s := d.plain(); s != "" {
		*p = s
		return
	}
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
	if v, end := shortInteger(d.s, d.i); v != 0 {
		*p, d.i = v, end
		return
	}
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
	if d.err == nil && d.s[blank(d.s, start+len("{"))] == '}' {
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
	var few [4]T // room for most lists, so that what is kept is not too large
	list := few[:0]
	if d.list(m, i, func() {
		if s := d.plain(); s != "" {
			list = append(list, T(s))
			return
		}
		if c := d.peek(); c != '"' {
			d.mismatch("a string", c)
			return
		}
		list = append(list, T(d.string()))
	}) {
		*p = append(make([]T, 0, len(list)), list...)
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
