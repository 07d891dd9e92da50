// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// JSON has no room for a message's unknown fields, those of a newer client. So
// before patching each object of the tree remembers the message that it was
// written from, and afterwards each message of the result is given the unknown
// fields of the message that its object remembers. Moved objects and shifted
// list items keep theirs, because objects keep their identity; a value that
// takes the place of another inherits from it. The contents of an Any, whose
// own unknown fields JSON hides as well, are put back whole: patches cannot
// touch them (see package secretwalk).

// needsGraft reports whether m holds what JSON cannot.
func needsGraft(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 || isAny(m) {
		return true
	}
	found := false
	eachMessage(m, nil, func(_ tree, held protoreflect.Message) {
		found = found || needsGraft(held)
	})
	return found
}

// remember ties the objects of a tree to the messages that they were written
// from.
func remember(t tree, m protoreflect.Message) {
	o, ok := t.(*object)
	if !ok {
		return
	}
	o.origin = m
	if !isAny(m) {
		eachMessage(m, o, remember)
	}
}

// graft gives m, which was read from t, what the objects of t remember.
func graft(t tree, m protoreflect.Message) {
	o, ok := t.(*object)
	if !ok {
		return
	}
	if from := o.origin; from != nil && from.Descriptor().FullName() == m.Descriptor().FullName() {
		if isAny(m) {
			from.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
				m.Set(fd, v)
				return true
			})
		}
		m.SetUnknown(slices.Clone(from.GetUnknown()))
	}
	if !isAny(m) {
		eachMessage(m, o, graft)
	}
}

// inherit makes a value that takes old's place remember what old does.
func inherit(old, value tree) {
	switch value := value.(type) {
	case *object:
		if old, ok := old.(*object); ok {
			if value.origin == nil {
				value.origin = old.origin
			}
			for name, member := range value.members {
				inherit(old.members[name], member)
			}
		}
	case *array:
		if old, ok := old.(*array); ok {
			for i := range min(len(old.items), len(value.items)) {
				inherit(old.items[i], value.items[i])
			}
		}
	}
}

// eachMessage calls f for each message that a field of m holds, with its part
// of the tree o; with a nil tree when o is nil.
func eachMessage(m protoreflect.Message, o *object, f func(tree, protoreflect.Message)) {
	if m.Descriptor().FullName().Parent() == "google.protobuf" {
		return // their JSON forms are not objects of their fields
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() == nil || fd.IsMap() && fd.MapValue().Message() == nil {
			return true
		}
		part := memberOf(o, fd)
		switch {
		case fd.IsMap():
			entries, _ := part.(*object)
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				var entry tree
				if entries != nil {
					entry = entries.members[k.String()]
				}
				f(entry, v.Message())
				return true
			})
		case fd.IsList():
			items, _ := part.(*array)
			for i := range v.List().Len() {
				var item tree
				if items != nil && i < len(items.items) {
					item = items.items[i]
				}
				f(item, v.List().Get(i).Message())
			}
		default:
			f(part, v.Message())
		}
		return true
	})
}

// memberOf finds a field's value in the object of its message, under any of the
// names that the field may be read by.
func memberOf(o *object, fd protoreflect.FieldDescriptor) tree {
	if o == nil {
		return nil
	}
	if fd.IsExtension() {
		return o.members["["+string(fd.FullName())+"]"]
	}
	for _, name := range []string{fd.JSONName(), fd.TextName(), string(fd.Name())} {
		if member, ok := o.members[name]; ok {
			return member
		}
	}
	return nil
}

func isAny(m protoreflect.Message) bool {
	return m.Descriptor().FullName() == "google.protobuf.Any"
}
