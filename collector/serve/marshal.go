// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// Fields have their names of the .proto, and values that are not there are there:
// an empty page has events, none of them.
var plain = protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}

// appendJSON appends a message as JSON in one line. Fields with the option
// (docket.audit.v1.json) hold JSON already and are written as it is; all else is
// the JSON mapping of protobuf.
func appendJSON(b []byte, m protoreflect.Message) ([]byte, error) {
	if !holdsJSON(m.Descriptor()) {
		one, err := plain.Marshal(m.Interface())
		if err != nil {
			return nil, err
		}
		return appendCompact(b, one) // protojson puts spaces where it likes
	}
	b = append(b, '{')
	fields, first := m.Descriptor().Fields(), true
	for i := range fields.Len() {
		fd := fields.Get(i)
		if (fd.HasPresence() || isJSON(fd) && !fd.IsList()) && !m.Has(fd) {
			continue // no JSON is no value of JSON either
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(strconv.AppendQuote(b, string(fd.Name())), ':')
		var err error
		if b, err = appendField(b, fd, m.Get(fd)); err != nil {
			return nil, fmt.Errorf("%s: %w", fd.FullName(), err)
		}
	}
	return append(b, '}'), nil
}

func appendField(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) (_ []byte, err error) {
	if !fd.IsList() {
		return appendValue(b, fd, v)
	}
	b = append(b, '[')
	for i := range v.List().Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(b, fd, v.List().Get(i)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendValue(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) ([]byte, error) {
	switch fd.Kind() {
	case protoreflect.BytesKind:
		if !isJSON(fd) {
			return append(base64.StdEncoding.AppendEncode(append(b, '"'), v.Bytes()), '"'), nil
		}
		if len(v.Bytes()) == 0 {
			return append(b, "null"...), nil
		}
		return appendCompact(b, v.Bytes())
	case protoreflect.MessageKind:
		return appendJSON(b, v.Message())
	case protoreflect.StringKind:
		return jsontext.AppendQuote(b, v.String())
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.Bool()), nil
	case protoreflect.Int32Kind:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case protoreflect.Uint32Kind:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case protoreflect.Int64Kind:
		return append(strconv.AppendInt(append(b, '"'), v.Int(), 10), '"'), nil
	case protoreflect.Uint64Kind:
		return append(strconv.AppendUint(append(b, '"'), v.Uint(), 10), '"'), nil
	default:
		return nil, fmt.Errorf("there is no JSON for %s beside JSON", fd.Kind())
	}
}

// appendCompact appends JSON, in one line: what others sent may have several.
func appendCompact(b, value []byte) ([]byte, error) {
	if !bytes.ContainsAny(value, " \n\r\t") {
		return append(b, value...), nil
	}
	out := bytes.NewBuffer(b)
	err := json.Compact(out, value)
	return out.Bytes(), err
}

func isJSON(fd protoreflect.FieldDescriptor) bool {
	is, ok := proto.GetExtension(fd.Options(), auditv1.E_Json).(bool)
	return ok && is
}

// holdsJSON reports whether a message, or one within it, has such a field.
func holdsJSON(md protoreflect.MessageDescriptor) bool {
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if isJSON(fd) || fd.Kind() == protoreflect.MessageKind && !fd.IsMap() && fd.Message() != md && holdsJSON(fd.Message()) {
			return true
		}
	}
	return false
}
