// SPDX-License-Identifier: Apache-2.0

// Package jsonstruct has a google.protobuf.Struct that is known by its JSON.
//
// What is read back from a record is JSON, and mostly nobody asks for more than that:
// a payload is JSON to those who judge it. To make each a message, to be written as JSON
// once more, is most of what a replay would do.
package jsonstruct

import (
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// A Struct is a proto.Message, and to all who ask by ProtoReflect a *structpb.Struct,
// which is made when the first one asks. For concurrent use.
type Struct struct {
	json []byte
	once sync.Once
	made *structpb.Struct
}

// New returns the struct that canonical is the JSON of, in the form of RFC 8785, which
// the caller MUST make sure of. It MUST NOT change afterwards.
func New(canonical []byte) *Struct { return &Struct{json: canonical} }

// JSON returns the JSON that it was made of, which the caller MUST NOT change.
func (s *Struct) JSON() []byte { return s.json }

// Descriptor is that of every Struct; for it no message needs to be made.
func (*Struct) Descriptor() protoreflect.MessageDescriptor { return descriptor }

var descriptor = (*structpb.Struct)(nil).ProtoReflect().Descriptor()

// ProtoReflect implements proto.Message. It panics when the JSON is no object's.
func (s *Struct) ProtoReflect() protoreflect.Message {
	s.once.Do(func() {
		m := &structpb.Struct{}
		if err := protojson.Unmarshal(s.json, m); err != nil {
			panic("jsonstruct: a Struct of what is no JSON object: " + err.Error())
		}
		s.made = m
	})
	return s.made.ProtoReflect()
}
