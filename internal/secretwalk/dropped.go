// SPDX-License-Identifier: Apache-2.0

package secretwalk

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Dropped returns where [Walk.Redact] leaves something out of m: the JSON
// Pointers, sorted, into m's protobuf JSON form, of the secret fields that are
// set. Nothing of their values is in them, except that a secret map or list
// counts as one.
func (w Walk) Dropped(m proto.Message) []string {
	if m == nil || !w.Reaches(m.ProtoReflect().Descriptor()) {
		return nil
	}
	var found []string
	w.drops(m.ProtoReflect(), "", &found)
	slices.Sort(found)
	return found
}

func (w Walk) drops(m protoreflect.Message, at string, found *[]string) {
	s := w.shapeOf(m.Descriptor())
	switch {
	case !s.reaches:
		return
	case s.isAny:
		// JSON has the fields of what an Any holds beside its type, but the
		// well-known types in a member of their own.
		if inner := w.inside(m); inner != nil {
			if WellKnown(inner.Descriptor()) {
				at += "/value"
			}
			w.drops(inner, at, found)
		}
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := fd.JSONName()
		if fd.IsExtension() {
			name = "[" + string(fd.FullName()) + "]"
		}
		at := at + "/" + escape(name)
		switch {
		case w.Secret(fd):
			*found = append(*found, at)
		case heldBy(fd) == nil:
		case fd.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				w.drops(v.Message(), at+"/"+escape(k.String()), found)
				return true
			})
		case fd.IsList():
			for i := range v.List().Len() {
				w.drops(v.List().Get(i).Message(), at+"/"+strconv.Itoa(i), found)
			}
		default:
			w.drops(v.Message(), at, found)
		}
		return true
	})
}

// pointerToken escapes a token of a JSON Pointer (RFC 6901). One serves all: what is
// made of it is made when it is first used.
var pointerToken = strings.NewReplacer("~", "~0", "/", "~1")

func escape(token string) string { return pointerToken.Replace(token) }
