// SPDX-License-Identifier: Apache-2.0

package secretwalk

import (
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	_ "google.golang.org/protobuf/types/descriptorpb" // without it a generated message's options are out of reach: Options panics
)

// Option is the number of the field option that marks a secret by default.
const Option protowire.Number = 50001

const anyName protoreflect.FullName = "google.protobuf.Any"

// Secret reports whether a field is marked secret.
func (w Walk) Secret(fd protoreflect.FieldDescriptor) bool {
	options := fd.Options()
	if options == nil {
		return false
	}
	// Encoding the options brings the extension to one form, be it known to
	// this binary, dynamic, or among the unknown fields.
	raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(options)
	if err != nil {
		// Options that cannot be read cannot say that the field is public.
		return true
	}
	return secretOption(raw, w.option())
}

// secretOption looks for the option in encoded FieldOptions. As everywhere in
// protobuf the last of several values holds.
func secretOption(raw []byte, option protowire.Number) bool {
	secret := false
	for len(raw) > 0 {
		num, typ, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return true
		}
		raw = raw[n:]
		if num == option && typ == protowire.VarintType {
			v, n := protowire.ConsumeVarint(raw)
			if n < 0 {
				return true
			}
			secret, raw = v != 0, raw[n:]
			continue
		}
		n = protowire.ConsumeFieldValue(num, typ, raw)
		if n < 0 {
			return true
		}
		raw = raw[n:]
	}
	return secret
}

// Reaches reports whether a message of the type can hold a secret, at any
// depth. A google.protobuf.Any can: what it will hold is not known.
func (w Walk) Reaches(md protoreflect.MessageDescriptor) bool { return w.shapeOf(md).reaches }

// A shape is what the walk needs to know of a message type.
type shape struct {
	reaches bool
	marked  bool                           // reaches a secret that the schema shows, not only an Any
	secrets []protoreflect.FieldDescriptor // marked themselves
	into    []protoreflect.FieldDescriptor // hold messages that reach a secret
	extends bool                           // has extension ranges: look at what is there
	isAny   bool
}

// shapes remembers the shape of each message type. It is a function's memory,
// not state: an entry never changes and depends on its key alone.
var shapes sync.Map // key -> *shape

// key is what the shape of a message type depends on. By the default option it
// is the type alone, which costs no allocation.
func (w Walk) key(md protoreflect.MessageDescriptor) any {
	if w.option() == Option {
		return md
	}
	return optionKey{md, w.option()}
}

type optionKey struct {
	md     protoreflect.MessageDescriptor
	option protowire.Number
}

func (w Walk) shapeOf(md protoreflect.MessageDescriptor) *shape {
	key := w.key(md)
	if s, ok := shapes.Load(key); ok {
		return s.(*shape)
	}
	s := &shape{isAny: md.FullName() == anyName, extends: md.ExtensionRanges().Len() > 0}
	s.reaches = w.reaches(md, true, map[protoreflect.FullName]bool{})
	s.marked = s.reaches && w.reaches(md, false, map[protoreflect.FullName]bool{})
	fields := md.Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		switch held := heldBy(fd); {
		case w.Secret(fd):
			s.secrets = append(s.secrets, fd)
		case held != nil && w.reaches(held, true, map[protoreflect.FullName]bool{}):
			s.into = append(s.into, fd)
		}
	}
	kept, _ := shapes.LoadOrStore(key, s)
	return kept.(*shape)
}

// reaches walks the types below md. Types may contain themselves, so seen cuts
// the walk; that is sound because one true anywhere is the answer. With boxes an
// Any counts.
func (w Walk) reaches(md protoreflect.MessageDescriptor, boxes bool, seen map[protoreflect.FullName]bool) bool {
	if seen[md.FullName()] {
		return false
	}
	seen[md.FullName()] = true
	if md.FullName() == anyName {
		return boxes
	}
	if md.ExtensionRanges().Len() > 0 {
		return true
	}
	fields := md.Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if w.Secret(fd) {
			return true
		}
		if held := heldBy(fd); held != nil && w.reaches(held, boxes, seen) {
			return true
		}
	}
	return false
}

// heldBy returns the type of the messages that a field holds, itself, as list
// items or as map values; nil when it holds none.
func heldBy(fd protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if fd.IsMap() {
		fd = fd.MapValue()
	}
	return fd.Message()
}
