// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"strconv"
	"unicode/utf8"

	"github.com/docket-audit/docket/ocsf/internal/jsontree"
)

// enum checks a value against an enumeration, and the caption that the event
// has beside it.
func (w *walk) enum(base int, it *item, a *attr, n jsontree.Node) {
	if w.options.Strict && w.tree.Kind(n) == jsontree.Null {
		return
	}
	text, ok := w.enumText(n)
	if !ok {
		return // of the wrong type already
	}
	v := a.enum.find(text)
	if v == nil {
		w.fail("attribute_enum_value_unknown", w.at(a.name, -1), "%s is none of the values", w.describe(n))
		return
	}
	if v.deprecation != "" {
		w.warn("attribute_enum_value_deprecated", w.at(a.name, -1), "%s (%q) is %s", w.describe(n), v.caption, v.deprecation)
	}
	sibling := w.sibling(base, a)
	if sibling == 0 {
		return
	}
	is := w.tree.Kind(sibling) == jsontree.String && string(w.tree.Text(sibling)) == v.caption
	switch other := w.isOther(n, text); {
	case other && is:
		w.warn("attribute_enum_sibling_suspicious_other", w.at(it.names.list[a.sibling], -1),
			"wants the source's own word beside %s 99, found the caption %q", a.name, v.caption)
	case !other && !is:
		w.warn("attribute_enum_sibling_incorrect", w.at(it.names.list[a.sibling], -1),
			"wants %q, the caption of %s %s, found %s", v.caption, a.name, text, w.describe(sibling))
	}
}

// enumArray is enum for an array of values, with an array of captions.
func (w *walk) enumArray(base int, it *item, a *attr, n jsontree.Node) {
	if w.tree.Kind(n) != jsontree.Array {
		// The server fails. What is not null is of the wrong type already.
		if w.tree.Kind(n) == jsontree.Null && !w.options.Strict {
			w.wrongType(n, w.at(a.name, -1), "array of "+a.wants())
		}
		return
	}
	c := captions{list: w.sibling(base, a)}
	if c.list != 0 {
		switch c.kind = w.tree.Kind(c.list); {
		case c.kind == jsontree.Array:
			c.next = w.tree.First(c.list)
		case c.kind == jsontree.Object && !w.options.Strict:
			c.members = w.distinct(c.list)
		}
	}
	for e := w.tree.First(n); e != 0; e = w.tree.Next(e) {
		w.enumElement(it, a, e, &c)
		c.index++
		if c.next != 0 {
			c.next = w.tree.Next(c.next)
		}
	}
}

// captions are what an event has as the captions of an array of values. The
// server takes the elements of an array, and those of an object, too, which are
// pairs to it and no caption. It fails on other values, but not before it needs
// a caption.
type captions struct {
	list    jsontree.Node // 0: the event has none
	kind    jsontree.Kind // of list
	index   int           // of the value at hand
	next    jsontree.Node // the element of that index if list is an array, 0 behind its end
	members int           // how many elements list has if it is an object
}

// distinct counts the members of an object, those of one name once.
func (w *walk) distinct(n jsontree.Node) int {
	names := make(map[string]struct{})
	for m := w.tree.First(n); m != 0; m = w.tree.Next(m) {
		names[string(w.tree.Key(m))] = struct{}{}
	}
	return len(names)
}

// enumElement checks one element and the caption of the same index.
func (w *walk) enumElement(it *item, a *attr, n jsontree.Node, c *captions) {
	text, ok := w.enumText(n)
	if !ok {
		return
	}
	v := a.enum.find(text)
	if v == nil {
		w.fail("attribute_enum_array_value_unknown", w.at(a.name, c.index), "%s is none of the values", w.describe(n))
		return
	}
	if v.deprecation != "" {
		w.warn("attribute_enum_array_value_deprecated", w.at(a.name, c.index), "%s (%q) is %s", w.describe(n), v.caption, v.deprecation)
	}
	if c.list == 0 || w.isOther(n, text) {
		return
	}
	found := c.next
	switch {
	case c.kind == jsontree.Array:
	case c.kind == jsontree.Null && !w.options.Strict:
		w.wrongType(c.list, w.at(it.names.list[a.sibling], -1), "array of captions")
		return
	case c.kind == jsontree.Object && !w.options.Strict:
		if c.index < c.members {
			found = c.list
		}
	default: // of the wrong type already, or absent
		return
	}
	switch {
	case found == 0 || w.tree.Kind(found) == jsontree.Null:
		w.fail("attribute_enum_array_sibling_missing", w.at(it.names.list[a.sibling], c.index),
			"wants %q, the caption of %s %s, found nothing", v.caption, a.name, text)
	case w.tree.Kind(found) != jsontree.String || string(w.tree.Text(found)) != v.caption:
		w.fail("attribute_enum_array_sibling_incorrect", w.at(it.names.list[a.sibling], c.index),
			"wants %q, the caption of %s %s, found %s", v.caption, a.name, text, w.describe(found))
	}
}

// sibling returns what the event has as the captions of a, 0 for nothing.
func (w *walk) sibling(base int, a *attr) jsontree.Node {
	if a.sibling < 0 {
		return 0
	}
	return w.slots[base+int(a.sibling)]
}

// enumText returns what Elixir's to_string makes of a value, valid until the
// next call; false if that fails, as it does for objects. Of numbers with a
// fraction or an exponent it makes another text than their token, but one that
// has a fraction, too, and no value of an enumeration has that.
func (w *walk) enumText(n jsontree.Node) (text []byte, ok bool) {
	if text, ok = w.integer(n); ok {
		return text, true
	}
	switch w.tree.Kind(n) {
	case jsontree.Null:
		return nil, true
	case jsontree.Object:
		return nil, false
	case jsontree.Array:
		if w.options.Strict {
			return nil, false
		}
		w.digits, ok = w.appendChars(w.digits[:0], n)
		return w.digits, ok
	default:
		return w.tree.Text(n), true
	}
}

// appendChars appends the text that an array is to Elixir: its integers are
// characters, its strings and arrays parts of the text. So ["1"] and [49] are
// the text of 1.
func (w *walk) appendChars(b []byte, list jsontree.Node) ([]byte, bool) {
	ok := true
	for e := w.tree.First(list); e != 0 && ok; e = w.tree.Next(e) {
		switch w.tree.Kind(e) {
		case jsontree.String:
			b = append(b, w.tree.Text(e)...)
		case jsontree.Array:
			b, ok = w.appendChars(b, e)
		case jsontree.Integer:
			c, err := strconv.ParseInt(string(w.tree.Text(e)), 10, 32)
			if ok = err == nil && utf8.ValidRune(rune(c)); ok {
				b = utf8.AppendRune(b, rune(c))
			}
		default:
			ok = false
		}
	}
	return b, ok
}

// isOther says whether a value of an enumeration, with its text, is the integer
// that stands for "something else". The string "99" is not.
func (w *walk) isOther(n jsontree.Node, text []byte) bool {
	kind := w.tree.Kind(n)
	return string(text) == "99" && kind != jsontree.String && kind != jsontree.Array
}
