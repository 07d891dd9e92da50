// SPDX-License-Identifier: Apache-2.0

package secretwalk

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Hides reports whether a JSON Pointer into the protobuf JSON form of a message
// of type md, given as its unescaped tokens, equals a secret field, lies under
// one, or contains one. Fields are known by both names that the JSON form is
// read with, the JSON name and the one in the schema.
//
// A pointer at, into or above a google.protobuf.Any is hidden too: what the Any
// holds is not in the schema.
//
// A pointer to no field of the schema is not hidden; it is merely wrong.
func Hides(md protoreflect.MessageDescriptor, pointer []string) bool {
	switch {
	case md.FullName() == anyName:
		return true
	case len(pointer) == 0:
		return Reaches(md)
	case md.FullName().Parent() == "google.protobuf":
		// Struct, Timestamp and their like have JSON forms of their own.
		return false
	}
	for _, fd := range named(md, pointer[0]) {
		if fieldHides(fd, pointer[1:]) {
			return true
		}
	}
	return false
}

func fieldHides(fd protoreflect.FieldDescriptor, rest []string) bool {
	if Secret(fd) {
		return true
	}
	held := heldBy(fd)
	switch {
	case held == nil:
		return false
	case !fd.IsMap() && !fd.IsList():
		return Hides(held, rest)
	case len(rest) == 0:
		return Reaches(held)
	default:
		return Hides(held, rest[1:]) // rest[0] is an index or a key
	}
}

// named returns the fields that a name of the JSON form may mean. They are two
// only where one field's JSON name is the schema name of another.
func named(md protoreflect.MessageDescriptor, name string) []protoreflect.FieldDescriptor {
	var fds []protoreflect.FieldDescriptor
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, _ = strings.CutSuffix(inner, "]")
		xt, err := protoregistry.GlobalTypes.FindExtensionByName(protoreflect.FullName(inner))
		if err == nil && xt.TypeDescriptor().ContainingMessage().FullName() == md.FullName() {
			fds = append(fds, xt.TypeDescriptor())
		}
		return fds
	}
	byJSON := md.Fields().ByJSONName(name)
	if byJSON != nil {
		fds = append(fds, byJSON)
	}
	for _, fd := range []protoreflect.FieldDescriptor{md.Fields().ByTextName(name), md.Fields().ByName(protoreflect.Name(name))} {
		if fd != nil && fd != byJSON {
			fds = append(fds, fd)
		}
	}
	return fds
}
