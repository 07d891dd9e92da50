// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"slices"

	"github.com/docket-audit/docket/internal/secretwalk"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// JSON has no room for a message's unknown fields, those of a newer client. So
// before patching each object of the tree remembers the message that it was
// written from, and afterwards each message of the result is given the unknown
// fields of the message that its object remembers. Moved objects and shifted
// list items keep theirs, because objects keep their identity; those of a value
// that a patch replaces are gone with it. The contents of an Any, whose own
// unknown fields JSON hides as well, are put back whole: patches cannot touch
// them (see package secretwalk).

// needsGraft reports whether m holds what JSON cannot.
func needsGraft(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 || isAny(m) {
		return true
	}
	found := false
	eachMessage(m, nil, func(t tree, held protoreflect.Message) tree {
		found = found || needsGraft(held)
		return t
	})
	return found
}

// remember ties the values of a tree to the messages that they were written
// from, and returns the tree.
func remember(t tree, m protoreflect.Message) tree {
	if !isAny(m) {
		t = eachMessage(m, t, remember)
		if secretwalk.WellKnown(m.Descriptor()) {
			// Its value may be of any kind, or stand for two messages.
			if needsGraft(m) {
				return &kept{value: t, origin: m}
			}
			return t
		}
	}
	if o, ok := t.(*object); ok {
		o.origin = m
	}
	return t
}

// graft gives m, which was read from t, what the values of t remember.
func graft(t tree, m protoreflect.Message) tree {
	switch t := t.(type) {
	case *kept:
		switch {
		case sameType(t.origin, m):
			m.SetUnknown(slices.Clone(t.origin.GetUnknown()))
			eachMessage(m, t.value, graft)
		case m.Descriptor().FullName() == valueName: // of one that was a Struct before it was moved
			eachMessage(m, t, graft)
		default:
			graft(t.value, m)
		}
		return t
	case *object:
		if from := t.origin; from != nil && sameType(from, m) {
			if isAny(m) {
				from.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
					m.Set(fd, v)
					return true
				})
			}
			m.SetUnknown(slices.Clone(from.GetUnknown()))
		}
	}
	if !isAny(m) {
		eachMessage(m, t, graft)
	}
	return t
}

func sameType(a, b protoreflect.Message) bool {
	return a.Descriptor().FullName() == b.Descriptor().FullName()
}

const (
	valueName  protoreflect.FullName = "google.protobuf.Value"
	structName protoreflect.FullName = "google.protobuf.Struct"
	listName   protoreflect.FullName = "google.protobuf.ListValue"
)

// eachMessage calls f for each message that a field of m holds, with its part
// of the tree t, in whose place it puts what f returns; with a nil part when it
// has none. It returns the tree.
func eachMessage(m protoreflect.Message, t tree, f func(tree, protoreflect.Message) tree) tree {
	switch name := m.Descriptor().FullName(); {
	case name == valueName, name == structName, name == listName:
		// The JSON form of the one field that they hold is theirs.
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			t = eachHeld(fd, v, t, f)
			return true
		})
		return t
	case secretwalk.WellKnown(m.Descriptor()):
		return t // they hold none
	}
	o, _ := unkept(t).(*object)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if name, ok := o.memberOf(fd); ok {
			o.members[name] = eachHeld(fd, v, o.members[name], f)
		} else {
			eachHeld(fd, v, nil, f)
		}
		return true
	})
	return t
}

// eachHeld does the same for the messages of one field, whose JSON is t.
func eachHeld(fd protoreflect.FieldDescriptor, v protoreflect.Value, t tree, f func(tree, protoreflect.Message) tree) tree {
	switch {
	case fd.Message() == nil || fd.IsMap() && fd.MapValue().Message() == nil:
	case fd.IsMap():
		entries, _ := unkept(t).(*object)
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			if entries == nil {
				f(nil, v.Message())
			} else if entry, ok := entries.members[k.String()]; ok {
				entries.members[k.String()] = f(entry, v.Message())
			}
			return true
		})
	case fd.IsList():
		items, _ := unkept(t).(*array)
		for i := range v.List().Len() {
			if items != nil && i < len(items.items) {
				items.items[i] = f(items.items[i], v.List().Get(i).Message())
			} else {
				f(nil, v.List().Get(i).Message())
			}
		}
	default:
		return f(t, v.Message())
	}
	return t
}

// memberOf returns the name of a field's value in the object of its message:
// any of those that the field may be read by.
func (o *object) memberOf(fd protoreflect.FieldDescriptor) (string, bool) {
	if o == nil {
		return "", false
	}
	for _, name := range []string{jsonName(fd), fd.TextName(), string(fd.Name())} {
		if _, ok := o.members[name]; ok {
			return name, true
		}
	}
	return "", false
}

func isAny(m protoreflect.Message) bool {
	return m.Descriptor().FullName() == "google.protobuf.Any"
}
