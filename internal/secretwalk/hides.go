// SPDX-License-Identifier: Apache-2.0

package secretwalk

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Hides reports whether a JSON Pointer into the protobuf JSON form of a message
// of type md, given as its unescaped tokens, equals a field that may be secret,
// lies under one, or contains one. Fields are known by both names that the JSON
// form is read with, the JSON name and the one in the schema.
//
// A pointer at, into or above a google.protobuf.Any is hidden too: what the Any
// holds is not in the schema. [Walk.Guards] knows more, because it sees the
// message.
//
// A pointer to no field of the schema is not hidden; it is merely wrong.
func (w Walk) Hides(md protoreflect.MessageDescriptor, pointer []string) bool {
	return w.hides(md, pointer, w.Reaches)
}

// hides is Hides with what reaches a secret given.
func (w Walk) hides(md protoreflect.MessageDescriptor, pointer []string, reaches func(protoreflect.MessageDescriptor) bool) bool {
	switch {
	case len(pointer) == 0:
		return reaches(md)
	case md.FullName() == anyName:
		return true
	case WellKnown(md):
		// Struct, Timestamp and their like have JSON forms of their own.
		return false
	}
	for _, fd := range w.named(md, pointer[0]) {
		if w.fieldHides(fd, pointer[1:], reaches) {
			return true
		}
	}
	return false
}

func (w Walk) fieldHides(fd protoreflect.FieldDescriptor, rest []string, reaches func(protoreflect.MessageDescriptor) bool) bool {
	if w.Secret(fd) {
		return true
	}
	held := heldBy(fd)
	switch {
	case held == nil:
		return false
	case !fd.IsMap() && !fd.IsList():
		return w.hides(held, rest, reaches)
	case len(rest) == 0:
		return reaches(held)
	default:
		return w.hides(held, rest[1:], reaches) // rest[0] is an index or a key
	}
}

// Field returns the field of md that a name in the JSON form means, and whether
// that is its JSON name: protobuf JSON is also read with the names of the
// schema. It returns nil when the name means no field. An extension's name is
// its full name in brackets.
func (w Walk) Field(md protoreflect.MessageDescriptor, name string) (fd protoreflect.FieldDescriptor, byJSONName bool) {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		xt, err := w.Resolver().FindExtensionByName(protoreflect.FullName(inner))
		if err != nil || xt.TypeDescriptor().ContainingMessage().FullName() != md.FullName() {
			return nil, false
		}
		return xt.TypeDescriptor(), ok
	}
	fields := md.Fields()
	if fd := fields.ByJSONName(name); fd != nil {
		return fd, true
	}
	if fd := fields.ByTextName(name); fd != nil {
		return fd, false
	}
	if fd := fields.ByName(protoreflect.Name(name)); fd != nil {
		return fd, false
	}
	return nil, false
}

// named returns the fields that a name of the JSON form may mean. They are two
// only where one field's JSON name is the schema name of another.
func (w Walk) named(md protoreflect.MessageDescriptor, name string) []protoreflect.FieldDescriptor {
	fd, byJSONName := w.Field(md, name)
	if fd == nil {
		return nil
	}
	fds := []protoreflect.FieldDescriptor{fd}
	if !byJSONName || fd.IsExtension() {
		return fds
	}
	for _, other := range []protoreflect.FieldDescriptor{md.Fields().ByTextName(name), md.Fields().ByName(protoreflect.Name(name))} {
		if other != nil && other != fd {
			fds = append(fds, other)
		}
	}
	return fds
}
