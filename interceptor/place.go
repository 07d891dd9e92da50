// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"fmt"

	"github.com/docket-audit/docket/internal/secretwalk"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A place is what the schema says of one value of a payload's JSON: that it is
// a message, one value of a field, or, when whole is set, all of a field that is
// a list or a map. The zero place is free JSON, of which the schema says nothing.
type place struct {
	md    protoreflect.MessageDescriptor
	fd    protoreflect.FieldDescriptor
	whole bool
}

// member returns the place of a member of an object or of an item of an array;
// the field too, if the token means one, and whether by its JSON name.
func (p place) member(w secretwalk.Walk, token string) (_ place, fd protoreflect.FieldDescriptor, byJSONName bool) {
	switch {
	case p.whole && p.fd.IsMap():
		return placeOf(p.fd.MapValue(), false), nil, false
	case p.whole:
		return placeOf(p.fd, false), nil, false
	case p.md == nil || secretwalk.WellKnown(p.md):
		return place{}, nil, false
	}
	if fd, byJSONName = w.Field(p.md, token); fd == nil {
		return place{}, nil, false
	}
	return placeOf(fd, fd.IsMap() || fd.IsList()), fd, byJSONName
}

func placeOf(fd protoreflect.FieldDescriptor, whole bool) place {
	if !whole && fd.Message() != nil {
		return place{md: fd.Message()}
	}
	return place{fd: fd, whole: whole}
}

// is64 reports whether values here are 64-bit integers, which JSON may write as
// numbers or as strings.
func (p place) is64() bool {
	if p.md != nil {
		return p.md.FullName() == "google.protobuf.Int64Value" || p.md.FullName() == "google.protobuf.UInt64Value"
	}
	if p.fd == nil || p.whole {
		return false
	}
	switch p.fd.Kind() {
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return true
	}
	return false
}

// A schema is the type of the message that patches are for, and the message.
type schema struct {
	md   protoreflect.MessageDescriptor
	msg  protoreflect.Message // as it was before the patches; nil asks the type alone
	walk secretwalk.Walk
}

// at follows the tokens of a JSON Pointer. It is an error to address a field by
// the name that it has in the schema, though protobuf JSON is read with both:
// two patches could then write one value as two members.
func (s schema) at(pointer []string) (place, error) {
	p := place{md: s.md}
	for i, token := range pointer {
		next, fd, byJSONName := p.member(s.walk, token)
		if fd != nil && !byJSONName {
			return place{}, fmt.Errorf("%s: %q is not the JSON name of the field, which is %q", joinPointer(pointer[:i+1]), token, jsonName(fd))
		}
		p = next
	}
	return p, nil
}

// hides reports whether a JSON Pointer reaches a secret.
func (s schema) hides(pointer []string) bool { return s.walk.Guards(s.md, s.msg, pointer) }

func jsonName(fd protoreflect.FieldDescriptor) string {
	if fd.IsExtension() {
		return "[" + string(fd.FullName()) + "]"
	}
	return fd.JSONName()
}
