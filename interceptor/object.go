// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// An Object is a google.protobuf.Struct that is known by its JSON. What is read
// back from a record is JSON, and mostly nobody asks for more: the message itself
// is made when somebody does. As a [Payload] it is that JSON, as it is.
//
// It is a proto.Message like the Struct that it stands for, which ProtoReflect gives.
type Object struct {
	json []byte
	once sync.Once
	made *structpb.Struct
}

var structDescriptor = (*structpb.Struct)(nil).ProtoReflect().Descriptor()

// NewObject returns the object that canonical is the JSON of, in the form of RFC
// 8785, which the caller MUST make sure of. It MUST NOT change afterwards.
func NewObject(canonical []byte) *Object { return &Object{json: canonical} }

// ProtoReflect implements proto.Message.
func (o *Object) ProtoReflect() protoreflect.Message { return o.Struct().ProtoReflect() }

// Struct returns the message, which the caller MUST NOT change. It panics when the
// JSON is that of no object.
func (o *Object) Struct() *structpb.Struct {
	o.once.Do(func() {
		m := &structpb.Struct{}
		if err := protojson.Unmarshal(o.json, m); err != nil {
			panic("interceptor: an Object that is none: " + err.Error())
		}
		o.made = m
	})
	return o.made
}
