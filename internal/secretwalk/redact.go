// SPDX-License-Identifier: Apache-2.0

package secretwalk

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Redact returns the message without its secret fields, also those inside
// lists, maps and google.protobuf.Any. When there are none it is m itself, else
// a copy; m never changes.
//
// Unknown fields are dropped from the copy, because nothing says that they are
// public. The contents of an Any whose type is not known stay as they are: such
// a message has no JSON form, so nothing of it is shown.
func (w Walk) Redact(m proto.Message) proto.Message {
	if m == nil || !w.holds(m.ProtoReflect()) {
		return m
	}
	c := proto.Clone(m)
	w.wipe(c.ProtoReflect())
	return c
}

// holds reports whether there is anything to take out of m.
func (w Walk) holds(m protoreflect.Message) bool {
	s := w.shapeOf(m.Descriptor())
	if !s.reaches {
		return false
	}
	if s.isAny {
		inner := w.inside(m)
		return inner != nil && w.holds(inner)
	}
	for _, fd := range s.secrets {
		if m.Has(fd) {
			return true
		}
	}
	found := false
	for _, fd := range s.into {
		if m.Has(fd) {
			each(fd, m.Get(fd), func(held protoreflect.Message) { found = found || w.holds(held) })
		}
	}
	if s.extends {
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if fd.IsExtension() {
				found = found || w.Secret(fd)
				each(fd, v, func(held protoreflect.Message) { found = found || w.holds(held) })
			}
			return !found
		})
	}
	return found
}

// wipe takes the secrets out of m, which belongs to us.
func (w Walk) wipe(m protoreflect.Message) {
	m.SetUnknown(nil)
	s := w.shapeOf(m.Descriptor())
	if !s.reaches {
		return
	}
	if s.isAny {
		w.wipeAny(m)
		return
	}
	for _, fd := range s.secrets {
		m.Clear(fd)
	}
	for _, fd := range s.into {
		if m.Has(fd) {
			each(fd, m.Get(fd), w.wipe)
		}
	}
	if s.extends {
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case !fd.IsExtension():
			case w.Secret(fd):
				m.Clear(fd)
			default:
				each(fd, v, w.wipe)
			}
			return true
		})
	}
}

// each calls f for each message that a field's value holds.
func each(fd protoreflect.FieldDescriptor, v protoreflect.Value, f func(protoreflect.Message)) {
	switch {
	case heldBy(fd) == nil:
	case fd.IsMap():
		v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { f(v.Message()); return true })
	case fd.IsList():
		for i := range v.List().Len() {
			f(v.List().Get(i).Message())
		}
	default:
		f(v.Message())
	}
}

// inside returns a copy of what an Any holds; nil when its type is not known or
// its bytes are not of that type. Some that are not make the library panic.
func (w Walk) inside(box protoreflect.Message) (held protoreflect.Message) {
	defer func() {
		if recover() != nil {
			held = nil
		}
	}()
	fields := box.Descriptor().Fields()
	url, value := box.Get(fields.ByNumber(1)).String(), box.Get(fields.ByNumber(2)).Bytes()
	mt, err := w.Resolver().FindMessageByURL(url)
	if err != nil {
		return nil
	}
	inner := mt.New()
	if (proto.UnmarshalOptions{AllowPartial: true, Resolver: w.Resolver()}).Unmarshal(value, inner.Interface()) != nil {
		return nil
	}
	return inner
}

func (w Walk) wipeAny(box protoreflect.Message) {
	inner := w.inside(box)
	if inner == nil || !w.holds(inner) {
		return
	}
	w.wipe(inner)
	raw, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(inner.Interface())
	if err != nil {
		raw = nil // better nothing than a secret
	}
	box.Set(box.Descriptor().Fields().ByNumber(2), protoreflect.ValueOfBytes(raw))
}
