// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"math"
	"strings"

	"github.com/docket-audit/docket/internal/secretwalk"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// A maker draws messages of the schema.
type maker struct {
	*shapes
	rt *rapid.T
}

func (m maker) yes(label string) bool { return rapid.Bool().Draw(m.rt, label) }

// message fills m. Every message may come with unknown fields, the well-known
// types too.
func (m maker) message(into protoreflect.Message, depth int) protoreflect.Message {
	if m.yes("newer") {
		into.SetUnknown(unknown(rapid.StringMatching(`[a-z]{1,4}`).Draw(m.rt, "unknown")))
	}
	if secretwalk.WellKnown(into.Descriptor()) {
		m.wellKnown(into, depth)
		return into
	}
	fields := into.Descriptor().Fields()
	for i := range fields.Len() {
		if rapid.IntRange(0, 3).Draw(m.rt, "set") == 0 && depth < 4 {
			m.field(into, fields.Get(i), depth)
		}
	}
	if into.Descriptor().FullName() == "s.Two" && m.yes("extended") {
		for _, name := range []protoreflect.FullName{"s.ext_leaf", "s.ext_number"} {
			xt, err := m.types.FindExtensionByName(name)
			if err != nil {
				m.rt.Fatal(err)
			}
			m.field(into, xt.TypeDescriptor(), depth)
		}
	}
	return into
}

func (m maker) field(into protoreflect.Message, fd protoreflect.FieldDescriptor, depth int) {
	n := rapid.IntRange(0, 3).Draw(m.rt, "items")
	switch {
	case fd.IsMap():
		for range n {
			value := into.Mutable(fd).Map().NewValue()
			if fd.MapValue().Message() != nil {
				m.message(value.Message(), depth+1)
			} else {
				value = m.scalar(fd.MapValue())
			}
			into.Mutable(fd).Map().Set(m.scalar(fd.MapKey()).MapKey(), value)
		}
	case fd.IsList():
		for range n {
			if fd.Message() != nil {
				m.message(into.Mutable(fd).List().AppendMutable().Message(), depth+1)
			} else {
				into.Mutable(fd).List().Append(m.scalar(fd))
			}
		}
	case fd.Message() != nil:
		m.message(into.Mutable(fd).Message(), depth+1)
	default:
		into.Set(fd, m.scalar(fd))
	}
}

func (m maker) scalar(fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.Inf(-1), math.NaN(), math.Copysign(0, -1), math.MaxFloat64})).Draw(m.rt, "double"))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(rapid.Float32().Draw(m.rt, "float"))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, math.MinInt64, math.MaxInt64})).Draw(m.rt, "int64"))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1<<53 + 1, math.MaxUint64})).Draw(m.rt, "uint64"))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(m.rt, "int32"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(m.yes("bool"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(m.rt, "bytes"))
	case protoreflect.EnumKind:
		if fd.Enum().FullName() == "google.protobuf.NullValue" {
			return protoreflect.ValueOfEnum(0)
		}
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.Int32Range(-2, 3).Draw(m.rt, "enum")))
	}
	return protoreflect.ValueOfString(strings.ToValidUTF8(rapid.StringN(0, 6, 20).Draw(m.rt, "text"), "?"))
}

// wellKnown fills the well-known types with what has a JSON form.
func (m maker) wellKnown(into protoreflect.Message, depth int) {
	fields := into.Descriptor().Fields()
	set := func(name protoreflect.Name, v protoreflect.Value) { into.Set(fields.ByName(name), v) }
	switch into.Descriptor().Name() {
	case "Timestamp":
		set("seconds", protoreflect.ValueOfInt64(rapid.Int64Range(-62135596800, 253402300799).Draw(m.rt, "seconds")))
		set("nanos", protoreflect.ValueOfInt32(rapid.Int32Range(0, 999999999).Draw(m.rt, "nanos")))
	case "Duration":
		sign := rapid.SampledFrom([]int64{-1, 1}).Draw(m.rt, "sign")
		set("seconds", protoreflect.ValueOfInt64(sign*rapid.Int64Range(0, 315576000000-1).Draw(m.rt, "seconds")))
		set("nanos", protoreflect.ValueOfInt32(int32(sign)*rapid.Int32Range(0, 999999999).Draw(m.rt, "nanos")))
	case "FieldMask":
		for _, path := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b_c.d", "long_name"}), 0, 3).Draw(m.rt, "paths") {
			into.Mutable(fields.ByName("paths")).List().Append(protoreflect.ValueOfString(path))
		}
	case "Value":
		kinds := []protoreflect.Name{"null_value", "number_value", "string_value", "bool_value", "struct_value", "list_value"}
		switch kind := fields.ByName(rapid.SampledFrom(kinds).Draw(m.rt, "kind")); {
		case kind.Message() != nil:
			m.message(into.Mutable(kind).Message(), depth+1)
		case kind.Kind() == protoreflect.DoubleKind:
			into.Set(kind, protoreflect.ValueOfFloat64(rapid.Float64().Draw(m.rt, "number")))
		default:
			into.Set(kind, m.scalar(kind))
		}
	case "Struct", "ListValue":
		if depth < 6 {
			m.field(into, fields.Get(0), depth+1)
		}
	case "Any":
		raw, err := proto.Marshal(m.message(m.leaf.New(), depth+1).Interface())
		if err != nil {
			m.rt.Fatal(err)
		}
		set("type_url", protoreflect.ValueOfString("type.example.com/s.Leaf"))
		set("value", protoreflect.ValueOfBytes(raw))
	default: // wrappers
		m.field(into, fields.Get(0), depth)
	}
}
