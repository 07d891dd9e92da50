// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/docket-audit/docket/internal/secretwalk"
)

// secrets says what the plan in force takes for a mark of secret fields.
func (c *Config) secrets() secretwalk.Walk {
	return secretwalk.Walk{Option: protowire.Number(c.Chain.Plan().SecretOption)}
}

// labelsOf are the labels of what a request is about: its own field "labels" of
// type map<string, string>, else that of its one field that is a message. Labels
// are recorded and select bindings: one that is marked secret is none.
func labelsOf(m protoreflect.Message, secrets secretwalk.Walk) map[string]string {
	if fd := labelsField(m.Descriptor(), secrets); fd != nil {
		return labelsIn(m, fd)
	}
	var inner protoreflect.FieldDescriptor
	for i := range m.Descriptor().Fields().Len() {
		switch fd := m.Descriptor().Fields().Get(i); {
		case fd.Message() == nil, fd.Cardinality() == protoreflect.Repeated:
		case inner != nil:
			return nil
		default:
			inner = fd
		}
	}
	if inner == nil || !m.Has(inner) || secrets.Secret(inner) {
		return nil
	}
	if fd := labelsField(inner.Message(), secrets); fd != nil {
		return labelsIn(m.Get(inner).Message(), fd)
	}
	return nil
}

func labelsField(d protoreflect.MessageDescriptor, secrets secretwalk.Walk) protoreflect.FieldDescriptor {
	fd := d.Fields().ByName("labels")
	if fd == nil || !fd.IsMap() || fd.MapKey().Kind() != protoreflect.StringKind || fd.MapValue().Kind() != protoreflect.StringKind || secrets.Secret(fd) {
		return nil
	}
	return fd
}

func labelsIn(m protoreflect.Message, fd protoreflect.FieldDescriptor) map[string]string {
	if !m.Has(fd) {
		return nil
	}
	out := map[string]string{}
	m.Get(fd).Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		out[k.String()] = v.String()
		return true
	})
	return out
}
