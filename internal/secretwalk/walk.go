// SPDX-License-Identifier: Apache-2.0

package secretwalk

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A Walk says which option marks secrets and where types are found that
// messages refer to by name. Its zero value is the default of both.
type Walk struct {
	// Option is the number of the field option that marks a secret; 0 is
	// [Option].
	Option protowire.Number

	// Types resolves what stands in messages by name only, the contents of a
	// google.protobuf.Any and extensions; nil is the types that are linked in.
	Types Resolver
}

// A Resolver finds message and extension types by name.
type Resolver interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// Resolver returns the types that the walk resolves names with, never nil.
func (w Walk) Resolver() Resolver {
	if w.Types == nil {
		return protoregistry.GlobalTypes
	}
	return w.Types
}

func (w Walk) option() protowire.Number {
	if w.Option == 0 {
		return Option
	}
	return w.Option
}

// plain are the well-known types whose protobuf JSON form is not an object of
// their fields.
var plain = map[protoreflect.FullName]bool{
	anyName:                     true,
	"google.protobuf.Timestamp": true, "google.protobuf.Duration": true, "google.protobuf.FieldMask": true,
	"google.protobuf.Struct": true, "google.protobuf.Value": true, "google.protobuf.ListValue": true,
	"google.protobuf.BoolValue": true, "google.protobuf.StringValue": true, "google.protobuf.BytesValue": true,
	"google.protobuf.Int32Value": true, "google.protobuf.Int64Value": true, "google.protobuf.UInt32Value": true,
	"google.protobuf.UInt64Value": true, "google.protobuf.FloatValue": true, "google.protobuf.DoubleValue": true,
}

// WellKnown reports whether messages of a type have a JSON form of their own,
// which is not an object with their fields: Any, Timestamp, Struct, wrappers.
func WellKnown(md protoreflect.MessageDescriptor) bool { return plain[md.FullName()] }
