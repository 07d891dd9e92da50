// SPDX-License-Identifier: Apache-2.0

package rules

import "github.com/docket-audit/docket/ocsf/internal/jsontree"

// bundleAttrs are what an event bundle has.
var bundleAttrs = []struct {
	name, wants string
	ok          func(w *walk, n jsontree.Node) bool
}{
	{"events", "array of events", func(w *walk, n jsontree.Node) bool { return w.tree.Kind(n) == jsontree.Array }},
	{"start_time", "timestamp_t (long_t)", (*walk).isLong},
	{"end_time", "timestamp_t (long_t)", (*walk).isLong},
	{"start_time_dt", "datetime_t (string_t)", (*walk).isString},
	{"end_time_dt", "datetime_t (string_t)", (*walk).isString},
	{"count", "integer_t", (*walk).isInteger},
}

// Bundle validates an object that holds events, and the events. The first
// report is of the object, the others are of the events, in their order. The
// error is a *[jsontree.SyntaxError].
func (t *Tables) Bundle(text []byte, o Options) (Report, []Report, error) {
	w := newWalk(t, o)
	defer w.free()
	if err := w.tree.Parse(text); err != nil {
		return Report{}, nil, err
	}
	root := w.tree.Root()
	bundle := w.take(root, w.bundle)
	events := []Report{}
	if list := w.tree.Find(root, "events"); list != 0 && w.tree.Kind(list) == jsontree.Array {
		for e := w.tree.First(list); e != 0; e = w.tree.Next(e) {
			events = append(events, w.take(e, w.event))
		}
	}
	return bundle, events, nil
}

// bundle validates what n has beside its events.
func (w *walk) bundle(n jsontree.Node) {
	if w.tree.Kind(n) != jsontree.Object {
		w.wrongType(n, "", "an event bundle, which is an object")
		return
	}
	known := make(map[string]bool, len(bundleAttrs))
	for _, a := range bundleAttrs {
		known[a.name] = true
		switch m := w.tree.Find(n, a.name); {
		case m != 0 && !a.ok(w, m):
			w.wrongType(m, a.name, a.wants)
		case m == 0 && a.name == "events":
			w.fail("attribute_required_missing", a.name, "required of an event bundle, but missing")
		}
	}
	for m := w.tree.First(n); m != 0; m = w.tree.Next(m) {
		if name := w.tree.Key(m); !known[string(name)] {
			w.fail("attribute_unknown", w.at(string(name), -1), "an event bundle has no attribute %s", show(name))
		}
	}
}
