// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"bytes"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Not every message that can be decoded has a JSON form: an Any of a type that
// nobody knows has none, nor a Timestamp of the year 20000, nor a Value that is
// nothing. A caller who could send such a message past bindings that fail open
// would have a way around all of them. So it is refused before any binding is
// asked, as malformed, which it is to whoever has to judge it.

// maxShownDepth bounds the lists and objects within one another that a payload may
// have: a remote interceptor reads it as a google.protobuf.Struct, which takes up
// to three messages for each, and its limit is at times 10,000 of them.
const maxShownDepth = 1000

// maxForeignDepth is maxShownDepth where a remote interceptor that cannot read the
// payload lets the operation pass: the protobuf libraries of most languages take
// a hundred messages within one another, and a caller must not gain by one more.
const maxForeignDepth = 33

// deeper says whether sound JSON nests lists and objects more than so many deep. Most
// has fewer of them in all, which is found out at once.
func deeper(raw []byte, most int) bool {
	return bytes.Count(raw, []byte{'{'})+bytes.Count(raw, []byte{'['}) > most && depth(raw) > most
}

// depth returns how deep sound JSON nests lists and objects.
func depth(raw []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// mayLackJSON reports whether messages of a type, though well encoded, may have
// no JSON form. For types that always have one nothing needs to be written to
// know it.
func mayLackJSON(md protoreflect.MessageDescriptor) bool {
	if known, ok := lacking.Load(md); ok {
		return known.(bool)
	}
	lacks := lacksJSON(md, map[protoreflect.FullName]bool{})
	lacking.Store(md, lacks)
	return lacks
}

// lacking remembers mayLackJSON by type. An entry depends on its key alone.
var lacking sync.Map // protoreflect.MessageDescriptor -> bool

// partial are the well-known types some of whose values have no JSON form:
// ranges, NaN, a oneof that must be set, names that do not come back.
var partial = map[protoreflect.FullName]bool{
	"google.protobuf.Any": true, "google.protobuf.Timestamp": true, "google.protobuf.Duration": true,
	"google.protobuf.FieldMask": true, "google.protobuf.Struct": true, "google.protobuf.Value": true, "google.protobuf.ListValue": true,
}

// lacksJSON walks the types below md. under says of each type that it came to
// whether the walk is still below it.
func lacksJSON(md protoreflect.MessageDescriptor, under map[protoreflect.FullName]bool) bool {
	below, seen := under[md.FullName()]
	// A type that contains itself can be nested deeper than JSON is read. An
	// extension can be anything.
	if below || partial[md.FullName()] || md.ExtensionRanges().Len() > 0 {
		return true
	}
	if seen {
		return false // or the walk would have ended
	}
	under[md.FullName()] = true
	defer func() { under[md.FullName()] = false }()
	fields := md.Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.IsMap() {
			if uncheckedText(fd.MapKey()) {
				return true
			}
			fd = fd.MapValue()
		}
		if uncheckedText(fd) || fd.Message() != nil && lacksJSON(fd.Message(), under) {
			return true
		}
	}
	return false
}

// uncheckedText reports whether a field may hold text that is not UTF-8: only
// proto3 says that it must be.
func uncheckedText(fd protoreflect.FieldDescriptor) bool {
	return fd.Kind() == protoreflect.StringKind && fd.ParentFile().Syntax() != protoreflect.Proto3
}
