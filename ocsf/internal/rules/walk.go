// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"strings"
	"sync"

	"github.com/docket-audit/docket/ocsf/internal/jsontree"
)

// Options choose among the rules.
type Options struct {
	// Strict adds corrections to the rules of the official server.
	Strict bool
	// MissingRecommended warns of recommended attributes that are not there.
	MissingRecommended bool
}

// A walk goes through one event beside its class. It is owned by one call, and
// handed on through the pool when that is done.
type walk struct {
	tables  *Tables
	options Options
	tree    jsontree.Tree

	// Of the event at hand.
	report              Report
	profiles            uint64 // those that it names
	findings, textBytes int    // what is in the report already
	steps               int    // taken to look for observed attributes

	// Stacks, of which an item uses the top, and scratch space.
	path    []byte          // of the item that the walk is in
	slots   []jsontree.Node // its members by attribute; 0: absent
	present []int32         // the attributes whose members are still to be looked at
	digits  []byte
}

var walks = sync.Pool{New: func() any { return new(walk) }}

func newWalk(t *Tables, o Options) *walk {
	w, _ := walks.Get().(*walk)
	w.tables, w.options = t, o
	return w
}

// free puts w back, unless an unusual event has made it large.
func (w *walk) free() {
	const large = 1 << 21 // bytes, which an event of about a megabyte takes
	if w.tree.Size() > large {
		return
	}
	w.tree.Release()
	w.report = Report{}
	walks.Put(w)
}

// item checks an object of the event against a class or an object of the
// schema.
func (w *walk) item(n jsontree.Node, it *item) {
	base, first := len(w.slots), len(w.present)
	open := !it.always && it.gates&w.profiles == 0
	w.slots = append(w.slots, w.tables.empty[:len(it.names.list)]...)
	slots := w.slots[base:]
	for m := w.tree.First(n); m != 0; {
		key, kind, length, next := w.tree.Member(m)
		i := it.names.find(key)
		switch {
		case w.active(it, i):
			if a := &it.attrs[i]; slots[i] == 0 {
				slots[i] = m
				if a.enum != nil || !a.isEasy(kind, length) {
					w.present = append(w.present, i)
				}
			}
		case !open:
			w.unknown(m, it)
			fallthrough
		default:
			if i >= 0 && slots[i] == 0 {
				slots[i] = m
			}
		}
		m = next
	}
	// What is walked below uses the stacks above these tops.
	for k, last := first, len(w.present); k < last; k++ {
		i := w.present[k]
		w.attribute(base, it, &it.attrs[i], w.slots[base+int(i)])
	}
	for _, i := range it.required {
		if w.missing(base, it, i) {
			w.fail("attribute_required_missing", w.at(it.attrs[i].name, -1), "required of %s, but missing", it.title)
		}
	}
	if w.options.MissingRecommended {
		for _, i := range it.recommended {
			if w.missing(base, it, i) {
				w.warn("attribute_recommended_missing", w.at(it.attrs[i].name, -1), "recommended for %s, but missing", it.title)
			}
		}
	}
	for i := range it.constraints {
		w.constraint(n, base, it, &it.constraints[i])
	}
	w.slots, w.present = w.slots[:base], w.present[:first]
}

// active says whether name i is an attribute, given the event's profiles; -1,
// which no name has, is not.
func (w *walk) active(it *item, i int32) bool {
	if uint(i) >= uint(len(it.attrs)) {
		return false
	}
	gate := it.attrs[i].gate
	return gate == 0 || gate&w.profiles != 0
}

func (w *walk) missing(base int, it *item, i int32) bool {
	m := w.slots[base+int(i)]
	return (m == 0 || w.tree.Kind(m) == jsontree.Null) && w.active(it, i)
}

func (w *walk) unknown(m jsontree.Node, it *item) {
	name := w.tree.Key(m)
	if w.full() {
		w.report.Truncated = true
		return
	}
	if i := it.names.find(name); uint(i) < uint(len(it.attrs)) {
		w.fail("attribute_unknown", w.at(string(name), -1), "%s has %s only with the profile %s", it.title, show(name), w.tables.gates(it.attrs[i].gate))
		return
	}
	w.fail("attribute_unknown", w.at(string(name), -1), "%s has no attribute %s", it.title, show(name))
}

// gates names profiles, for a message.
func (t *Tables) gates(gate uint64) string {
	var names []string
	for bit := uint64(1); bit != 0; bit <<= 1 {
		for i, b := range t.profiles.bits {
			if gate&bit&b != 0 {
				names = append(names, t.profiles.names.list[i])
			}
		}
	}
	return `"` + strings.Join(names, `" or "`) + `"`
}

// attribute checks what the event has as attribute a.
func (w *walk) attribute(base int, it *item, a *attr, n jsontree.Node) {
	if kind := w.tree.Kind(n); kind != jsontree.Null {
		if a.deprecation != "" {
			w.warn("attribute_deprecated", w.at(a.name, -1), "%s", a.deprecation)
		}
		switch {
		case a.isEasy(kind, w.tree.Len(n)):
		case !a.array:
			w.value(n, a, -1)
		case kind != jsontree.Array:
			w.wrongType(n, w.at(a.name, -1), "array of "+a.wants())
		default:
			index := 0
			for e := w.tree.First(n); e != 0; e = w.tree.Next(e) {
				w.value(e, a, index)
				index++
			}
		}
	}
	switch {
	case a.enum == nil:
	case a.array:
		w.enumArray(base, it, a, n)
	default:
		w.enum(base, it, a, n)
	}
}

// value checks one value: the attribute's, or that of element index if it is
// not negative.
func (w *walk) value(n jsontree.Node, a *attr, index int) {
	if a.object == nil {
		w.scalar(n, a, index)
		return
	}
	if w.tree.Kind(n) != jsontree.Object {
		w.wrongType(n, w.at(a.name, index), a.wants())
		return
	}
	mark := w.push(a.name, index)
	if a.object.deprecation != "" {
		w.warn("object_deprecated", string(w.path), "%s is %s", a.object.title, a.object.deprecation)
	}
	w.item(n, a.object)
	w.pop(mark)
}

// wants is what a value of the attribute should be, for a message.
func (a *attr) wants() string {
	if a.object != nil {
		return a.object.title
	}
	return a.typ.wants
}

func (w *walk) wrongType(n jsontree.Node, path, wants string) {
	w.fail("attribute_wrong_type", path, "wants %s, found %s", wants, w.describe(n))
}

// constraint checks how many of some attributes there are. To the server the
// name alone makes one present, be it null.
func (w *walk) constraint(n jsontree.Node, base int, it *item, c *constraint) {
	count := 0
	for k, slot := range c.slots {
		if c.least && count > 0 {
			return
		}
		if w.slots[base+int(slot)] != 0 || w.options.Strict && strings.Contains(c.names[k], ".") && w.reaches(n, c.names[k]) {
			count++
		}
	}
	switch c.keyword {
	case "at_least_one":
		if count == 0 {
			w.fail("constraint_failed", string(w.path), "%s wants at least one of %s, found none", it.title, quoteAll(c.names))
		}
	case "just_one":
		if count != 1 {
			w.fail("constraint_failed", string(w.path), "%s wants just one of %s, found %d", it.title, quoteAll(c.names), count)
		}
	default:
		w.fail("constraint_unknown", string(w.path), "the schema constrains %s by %q, which is not known", it.title, c.keyword)
	}
}

// reaches says whether a dotted path leads from n to an attribute.
func (w *walk) reaches(n jsontree.Node, path string) bool {
	for more := true; more; {
		var name string
		name, path, more = strings.Cut(path, ".")
		if n = w.tree.Find(n, name); n == 0 {
			return false
		}
	}
	return true
}
