// SPDX-License-Identifier: Apache-2.0

package rules

import "github.com/docket-audit/docket/ocsf/internal/jsontree"

// enum checks a value against an enumeration, and the caption that the event
// has beside it. An object or an array, on which the server fails, is of the
// wrong type already.
func (w *walk) enum(base int, it *item, a *attr, n jsontree.Node) {
	switch w.tree.Kind(n) {
	case jsontree.Array, jsontree.Object:
		return
	case jsontree.Null:
		if w.options.Strict {
			return
		}
	default:
	}
	text := w.enumText(n)
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
	captions, caption := w.sibling(base, a), jsontree.Node(0)
	if captions != 0 {
		switch w.tree.Kind(captions) {
		case jsontree.Array:
			caption = w.tree.First(captions)
		case jsontree.Null:
			if !w.options.Strict {
				w.wrongType(captions, w.at(it.names.list[a.sibling], -1), "array of captions")
			}
			captions = 0
		default: // as above
			captions = 0
		}
	}
	index := 0
	for e := w.tree.First(n); e != 0; e = w.tree.Next(e) {
		w.enumElement(it, a, e, index, captions != 0, caption)
		index++
		if caption != 0 {
			caption = w.tree.Next(caption)
		}
	}
}

// enumElement checks one element and the caption of the same index, which is 0
// if the array of captions, where there is one, is shorter.
func (w *walk) enumElement(it *item, a *attr, n jsontree.Node, index int, captions bool, caption jsontree.Node) {
	switch w.tree.Kind(n) {
	case jsontree.Array, jsontree.Object:
		return
	default:
	}
	text := w.enumText(n)
	v := a.enum.find(text)
	if v == nil {
		w.fail("attribute_enum_array_value_unknown", w.at(a.name, index), "%s is none of the values", w.describe(n))
		return
	}
	if v.deprecation != "" {
		w.warn("attribute_enum_array_value_deprecated", w.at(a.name, index), "%s (%q) is %s", w.describe(n), v.caption, v.deprecation)
	}
	switch {
	case !captions || w.isOther(n, text):
	case caption == 0 || w.tree.Kind(caption) == jsontree.Null:
		w.fail("attribute_enum_array_sibling_missing", w.at(it.names.list[a.sibling], index),
			"wants %q, the caption of %s %s, found nothing", v.caption, a.name, text)
	case w.tree.Kind(caption) != jsontree.String || string(w.tree.Text(caption)) != v.caption:
		w.fail("attribute_enum_array_sibling_incorrect", w.at(it.names.list[a.sibling], index),
			"wants %q, the caption of %s %s, found %s", v.caption, a.name, text, w.describe(caption))
	}
}

// sibling returns what the event has as the captions of a, 0 for nothing.
func (w *walk) sibling(base int, a *attr) jsontree.Node {
	if a.sibling < 0 {
		return 0
	}
	return w.slots[base+int(a.sibling)]
}

// enumText returns what Elixir's to_string makes of a value that is neither
// object nor array. Of numbers with a fraction or an exponent it makes another
// text than their token, but one that has a fraction, too, and no value of an
// enumeration has that.
func (w *walk) enumText(n jsontree.Node) []byte {
	if text, ok := w.integer(n); ok {
		return text
	}
	if w.tree.Kind(n) == jsontree.Null {
		return nil
	}
	return w.tree.Text(n)
}

// isOther says whether a value of an enumeration, with its text, is the integer
// that stands for "something else". The string "99" is not.
func (w *walk) isOther(n jsontree.Node, text []byte) bool {
	return string(text) == "99" && w.tree.Kind(n) != jsontree.String
}
