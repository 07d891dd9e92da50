// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/docket-audit/docket/internal/secretwalk"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A Payload is one protobuf message as bindings see it: canonical JSON of its
// protobuf JSON form, fields marked secret left out. It is computed when it is
// first asked for and shared by all who ask.
type Payload struct {
	msg  proto.Message
	walk secretwalk.Walk
	once sync.Once
	json []byte
	err  error
}

// NewPayload returns the payload of m, which MUST NOT change afterwards. A
// google.protobuf.Struct stands for the JSON object that it holds.
func NewPayload(m proto.Message) *Payload { return newPayload(m, secretwalk.Walk{}) }

// newPayload returns the payload of m with the secrets that w finds left out.
func newPayload(m proto.Message, w secretwalk.Walk) *Payload { return &Payload{msg: m, walk: w} }

// secretsOf returns how the secrets of an operation's messages are found.
func secretsOf(plan *Plan, op *Operation) secretwalk.Walk {
	return secretwalk.Walk{Option: protowire.Number(plan.SecretOption), Types: op.Types}
}

// JSON returns the payload's bytes, which the caller MUST NOT change. It fails
// when the message has no JSON form, such as an Any of an unknown type.
func (p *Payload) JSON() ([]byte, error) {
	p.once.Do(func() {
		if p.msg == nil {
			p.err = errors.New("write payload: no message")
			return
		}
		shown := p.walk.Redact(p.msg)
		raw, err := messageJSON(shown, p.walk)
		if err == nil {
			value := jsontext.Value(raw)
			err = value.Canonicalize()
			raw = value
		}
		if err != nil {
			p.err = fmt.Errorf("write payload of %s: %w", p.msg.ProtoReflect().Descriptor().FullName(), inWords(shown, p.walk, err))
			return
		}
		p.json = raw
	})
	return p.json, p.err
}

// Lookup returns the value at a JSON Pointer (RFC 6901) such as "/spec/image",
// as encoding/json reads it into an any, with numbers as [json.Number]. It is
// false when nothing is there; absent is how protobuf JSON writes a default.
func (p *Payload) Lookup(pointer string) (any, bool) {
	raw, err := p.JSON()
	if err != nil {
		return nil, false
	}
	tokens, err := splitPointer(pointer)
	if err != nil {
		return nil, false
	}
	var v any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if decoder.Decode(&v) != nil {
		return nil, false
	}
	for _, token := range tokens {
		switch in := v.(type) {
		case map[string]any:
			item, ok := in[token]
			if !ok {
				return nil, false
			}
			v = item
		case []any:
			i, err := strconv.ParseUint(token, 10, 31)
			if err != nil || int(i) >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// inWords says more of an error of messageJSON, when the cause is an Any: JSON
// has the fields of the message inside one, which takes its type.
func inWords(m proto.Message, w secretwalk.Walk, err error) error {
	look := lookout{Resolver: w.Resolver()}
	_, _ = protojson.MarshalOptions{AllowPartial: true, Resolver: &look}.Marshal(m)
	if look.missing == "" {
		return err
	}
	return fmt.Errorf("no JSON form: it holds a google.protobuf.Any of type %q, which is not known here", look.missing)
}

// A lookout finds types and notes which it could not find.
type lookout struct {
	secretwalk.Resolver
	missing string
}

// FindMessageByURL implements the resolver of protojson.
func (l *lookout) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	t, err := l.Resolver.FindMessageByURL(url)
	if err != nil {
		l.missing = url
	}
	return t, err
}

// messageJSON returns the protobuf JSON form of a message: lowerCamelCase
// names, defaults left out, 64-bit integers as texts, enums by name.
func messageJSON(m proto.Message, w secretwalk.Walk) ([]byte, error) {
	return protojson.MarshalOptions{AllowPartial: true, Resolver: w.Resolver()}.Marshal(m)
}
