// SPDX-License-Identifier: Apache-2.0

package secretwalk

import (
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Guards reports whether a patch of m, a message of type md, must not address a
// JSON Pointer: it equals a field that is marked secret, lies under one or
// contains one, by the types of the schema, whether or not the field is set.
//
// Of a google.protobuf.Any the schema does not say what it holds, so m is asked:
// one whose contents are of a type that can hold a secret, or of one that is not
// known, is guarded like a secret field. The others may be replaced, but never
// changed within: a pointer into an Any is always guarded. A pointer into a list
// or a map counts as one to all of its items, since patches before it may have
// moved them.
//
// m may be nil; then every Any is empty.
func (w Walk) Guards(md protoreflect.MessageDescriptor, m protoreflect.Message, pointer []string) bool {
	return w.hides(md, pointer, w.marked) || m != nil && w.Reaches(md) && w.boxed(m, pointer)
}

// marked reports whether messages of a type can hold a secret that their schema
// shows: [Walk.Reaches] but for what an Any may hold.
func (w Walk) marked(md protoreflect.MessageDescriptor) bool { return w.shapeOf(md).marked }

// boxed reports whether there is an Any at or below a JSON Pointer into m that
// holds, or may hold, a secret.
func (w Walk) boxed(m protoreflect.Message, pointer []string) bool {
	md := m.Descriptor()
	switch {
	case md.FullName() == anyName:
		inner := w.inside(m)
		return inner == nil && !emptyAny(m) || inner != nil && (w.marked(inner.Descriptor()) || w.boxed(inner, nil))
	case WellKnown(md):
		return false
	}
	found := false
	look := func(fd protoreflect.FieldDescriptor, v protoreflect.Value, rest []string) {
		if fd.IsMap() || fd.IsList() {
			rest = rest[min(1, len(rest)):]
		}
		each(fd, v, func(held protoreflect.Message) { found = found || w.boxed(held, rest) })
	}
	if len(pointer) > 0 {
		for _, fd := range w.named(md, pointer[0]) {
			if m.Has(fd) {
				look(fd, m.Get(fd), pointer[1:])
			}
		}
		return found
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		look(fd, v, nil)
		return !found
	})
	return found
}

// emptyAny reports whether an Any holds nothing at all, which its JSON form
// allows.
func emptyAny(m protoreflect.Message) bool {
	fields := m.Descriptor().Fields()
	return !m.Has(fields.ByNumber(1)) && !m.Has(fields.ByNumber(2))
}

// Nested reports whether m has a google.protobuf.Any within more than most others.
// It takes no longer than it takes to decode m that many times.
func (w Walk) Nested(m protoreflect.Message, most int) bool {
	s := w.shapeOf(m.Descriptor())
	if !s.reaches {
		return false
	}
	if s.isAny {
		if most == 0 {
			return true
		}
		inner := w.inside(m)
		return inner != nil && w.Nested(inner, most-1)
	}
	found := false
	look := func(held protoreflect.Message) { found = found || w.Nested(held, most) }
	for _, fd := range s.into {
		if m.Has(fd) {
			each(fd, m.Get(fd), look)
		}
	}
	if s.extends {
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if fd.IsExtension() {
				each(fd, v, look)
			}
			return !found
		})
	}
	return found
}

// SecretBoxes returns each google.protobuf.Any in m that holds a secret that is
// set, but for those within another Any: its type URL and its bytes. A patch may
// put an Any where there was none; what comes out of patching must not have one
// of these that was not there before.
func (w Walk) SecretBoxes(m protoreflect.Message) map[[2]string]bool {
	found := map[[2]string]bool{}
	if w.Reaches(m.Descriptor()) {
		w.collectBoxes(m, found)
	}
	return found
}

func (w Walk) collectBoxes(m protoreflect.Message, found map[[2]string]bool) {
	s := w.shapeOf(m.Descriptor())
	if s.isAny {
		if w.holds(m) {
			fields := m.Descriptor().Fields()
			found[[2]string{m.Get(fields.ByNumber(1)).String(), string(m.Get(fields.ByNumber(2)).Bytes())}] = true
		}
		return
	}
	for _, fd := range s.into {
		if m.Has(fd) {
			each(fd, m.Get(fd), func(held protoreflect.Message) { w.collectBoxes(held, found) })
		}
	}
	if s.extends {
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if fd.IsExtension() {
				each(fd, v, func(held protoreflect.Message) { w.collectBoxes(held, found) })
			}
			return true
		})
	}
}
