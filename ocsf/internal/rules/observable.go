// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"strconv"

	"github.com/docket-audit/docket/ocsf/internal/jsontree"
)

// observables checks that the names of the event's observables are paths to
// attributes: of the schema and, in strict mode, of the event.
func (w *walk) observables(event jsontree.Node, class *item, list jsontree.Node) {
	if list == 0 || w.tree.Kind(list) != jsontree.Array {
		return
	}
	index := 0
	for o := w.tree.First(list); o != 0; o = w.tree.Next(o) {
		if w.tree.Kind(o) == jsontree.Object {
			w.observable(event, class, o, index)
		}
		index++
	}
}

func (w *walk) observable(event jsontree.Node, class *item, observable jsontree.Node, index int) {
	mark := w.push("observables", index)
	defer w.pop(mark)
	n := w.tree.Find(observable, "name")
	if n == 0 || w.tree.Kind(n) != jsontree.String {
		// What is not null is of the wrong type already.
		if w.options.Strict && (n == 0 || w.tree.Kind(n) == jsontree.Null) {
			w.warn("observable_name_missing", w.at("name", -1), "wants the path of the observed attribute, found nothing")
		}
		return
	}
	name := w.tree.Text(n)
	if w.options.Strict {
		name = bytes.TrimPrefix(name, []byte("$."))
	}
	if !w.refers(name, class) {
		w.fail("observable_name_invalid_reference", w.at("name", -1), "%s has no attribute %s", class.title, show(name))
		return
	}
	if !w.options.Strict {
		return
	}
	value := w.tree.Find(observable, "value")
	if value != 0 && w.tree.Kind(value) != jsontree.String {
		value = 0
	}
	switch w.look(event, newSteps(name), value) {
	case absent:
		w.fail("observable_path_not_found", w.at("name", -1), "the event has no %s", show(name))
	case blocked:
		w.fail("observable_path_not_object", w.at("name", -1), "%s leads through what is no object in the event", show(name))
	case other:
		w.fail("observable_value_not_found", w.at("value", -1), "wants the value of %s, found %s", show(name), w.describe(value))
	case met:
	}
}

// refers says whether a path leads to an attribute of the schema, given the
// event's profiles. Arrays may be passed with an index or without.
func (w *walk) refers(path []byte, it *item) bool {
	for s := newSteps(path); ; {
		s.next()
		i := it.names.find(s.name)
		if !w.active(it, i) {
			return false
		}
		a := &it.attrs[i]
		// The server does not look at the index of the last step.
		if s.indexed && !a.array && (s.more || w.options.Strict) {
			return false
		}
		if s.indexed && w.options.Strict && !isIndex(s.index) {
			return false
		}
		if !s.more {
			return true
		}
		if a.object == nil {
			return false
		}
		it = a.object
	}
}

// Steps are a path in the syntax of the server: a dot ends a step unless the
// next bracket after it is a closing one.
type steps struct {
	rest     []byte
	brackets int // bytes of rest up to its first bracket, or all

	// Of the step that next went to.
	name    []byte
	index   []byte // what is between its brackets
	indexed bool   // it has brackets
	more    bool   // it is not the last
}

func newSteps(path []byte) steps {
	return steps{rest: path, brackets: untilBracket(path)}
}

func untilBracket(path []byte) int {
	if i := bytes.IndexAny(path, "[]"); i >= 0 {
		return i
	}
	return len(path)
}

// next goes on by a step. It looks at each byte of a path once, and once more
// for brackets.
func (s *steps) next() {
	from := 0 // dots before do not end the step
	for {
		dot := bytes.IndexByte(s.rest[from:], '.')
		if s.more = dot >= 0; !s.more {
			s.take(s.rest)
			return
		}
		dot += from
		for s.brackets <= dot {
			s.brackets += 1 + untilBracket(s.rest[s.brackets+1:])
		}
		if s.brackets == len(s.rest) || s.rest[s.brackets] == '[' {
			step := s.rest[:dot]
			s.rest, s.brackets = s.rest[dot+1:], s.brackets-dot-1
			s.take(step)
			return
		}
		from = s.brackets
	}
}

// take splits a step into its name and its index. Brackets count as one if they
// end the step, but for a line feed, and have no line feed between them.
func (s *steps) take(step []byte) {
	s.name, s.index, s.indexed = step, nil, false
	open, end := bytes.IndexByte(step, '['), bytes.TrimSuffix(step, []byte("\n"))
	if open < 1 || len(end) == 0 || end[len(end)-1] != ']' {
		return
	}
	index := end[open+1 : len(end)-1]
	if bytes.IndexByte(index, '\n') >= 0 {
		return
	}
	s.name, s.index, s.indexed = step[:open], index, true
}

// isIndex says whether brackets hold the number of an element, or what stands
// for all of them: nothing or a star.
func isIndex(index []byte) bool {
	return string(index) == "*" || len(bytes.Trim(index, "0123456789")) == 0
}

// What looking for an observed attribute comes to, the better the greater.
type sight int

const (
	absent  sight = iota
	blocked       // by a value that is no object
	other         // it is there, with another value
	met
)

// maxSteps is how many values of one event are looked at for the sake of all
// its observables. Many observables of many elements would take too long.
const maxSteps = 1 << 20

// look follows a path, which w.refers, through the event. All that it leads to
// is looked at; value 0 stands for any.
func (w *walk) look(n jsontree.Node, path steps, value jsontree.Node) sight {
	path.next()
	child := jsontree.Node(0)
	for m := w.tree.First(n); m != 0 && child == 0; m = w.tree.Next(m) {
		w.steps++
		if string(w.tree.Key(m)) == string(path.name) {
			child = m
		}
	}
	if w.steps > maxSteps {
		w.report.Truncated = true
		return met
	}
	if child == 0 {
		return absent
	}
	if w.tree.Kind(child) != jsontree.Array {
		return w.lookAt(child, path, value)
	}
	only := -1
	if v, err := strconv.Atoi(string(path.index)); err == nil {
		only = v
	}
	best := absent
	if !path.more && only < 0 {
		// The array itself is what was meant, or any element of it.
		best = w.compare(child, value)
	}
	i := 0
	for e := w.tree.First(child); e != 0; e = w.tree.Next(e) {
		w.steps++
		if only < 0 || i == only {
			best = max(best, w.lookAt(e, path, value))
		}
		i++
	}
	return best
}

// lookAt goes on from a value that the path led to.
func (w *walk) lookAt(n jsontree.Node, path steps, value jsontree.Node) sight {
	switch {
	case w.tree.Kind(n) == jsontree.Null:
		return absent
	case !path.more:
		return w.compare(n, value)
	case w.tree.Kind(n) != jsontree.Object:
		return blocked
	default:
		return w.look(n, path, value)
	}
}

// compare compares a value with the text that the observable says it is.
func (w *walk) compare(n, value jsontree.Node) sight {
	switch kind := w.tree.Kind(n); {
	case value == 0:
		return met
	case kind == jsontree.Object || kind == jsontree.Array:
		return other
	case bytes.Equal(w.tree.Text(n), w.tree.Text(value)):
		return met
	default:
		return other
	}
}
