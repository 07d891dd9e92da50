// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/docket-audit/docket/internal/jsonstruct"
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

// Descriptor returns the type of the message, nil when there is none.
func (p *Payload) Descriptor() protoreflect.MessageDescriptor {
	switch m := p.msg.(type) {
	case nil:
		return nil
	case *jsonstruct.Struct:
		return m.Descriptor()
	}
	return p.msg.ProtoReflect().Descriptor()
}

var (
	errPanicked  = errors.New("write payload: it panicked before")
	errNoMessage = errors.New("write payload: no message")
)

// JSON returns the payload's bytes, which the caller MUST NOT change. It fails
// when the message has no JSON form, such as an Any of an unknown type.
func (p *Payload) JSON() ([]byte, error) {
	p.once.Do(func() {
		// Stays should what follows panic: a payload that was asked for once more
		// would else seem to be empty.
		p.err = errPanicked
		if p.msg == nil {
			p.err = errNoMessage
			return
		}
		if s, ok := p.msg.(*jsonstruct.Struct); ok {
			p.json, p.err = s.JSON(), nil
			return
		}
		w := writer{walk: p.walk, out: make([]byte, 0, 256)}
		if w.message(p.msg.ProtoReflect(), 0) {
			p.json, p.err = w.out, nil
			return
		}
		p.json, p.err = payloadJSON(p.msg, p.walk)
	})
	return p.json, p.err
}

// payloadJSON writes a payload in the way that knows every message.
func payloadJSON(m proto.Message, w secretwalk.Walk) ([]byte, error) {
	if w.Nested(m.ProtoReflect(), maxBoxes) {
		return nil, fmt.Errorf("write payload of %s: more than %d of google.protobuf.Any within one another", m.ProtoReflect().Descriptor().FullName(), maxBoxes)
	}
	shown := w.Redact(m)
	raw, err := canonicalJSON(shown, w)
	if err != nil {
		return nil, fmt.Errorf("write payload of %s: %w", m.ProtoReflect().Descriptor().FullName(), inWords(shown, w, err))
	}
	return raw, nil
}

// canonicalJSON is messageJSON in the form of RFC 8785.
func canonicalJSON(m proto.Message, w secretwalk.Walk) ([]byte, error) {
	raw, err := messageJSON(m, w)
	if err != nil {
		return nil, err
	}
	value := jsontext.Value(raw)
	if err := value.Canonicalize(); err != nil {
		return nil, err
	}
	return value, nil
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
func inWords(m proto.Message, w secretwalk.Walk, err error) (told error) {
	look := lookout{Resolver: w.Resolver()}
	defer func() {
		if recover() != nil {
			told = err
		}
	}()
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
// names, defaults left out, 64-bit integers as texts, enums by name. What the
// bytes of an Any hold may make the library panic; it has no JSON form then.
func messageJSON(m proto.Message, w secretwalk.Walk) (raw []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			raw, err = nil, fmt.Errorf("no JSON form: %v", cause)
		}
	}()
	return protojson.MarshalOptions{AllowPartial: true, Resolver: w.Resolver()}.Marshal(m)
}

// Patched returns the payload with patches applied, all or none, as a chain
// applies those of a binding in modify_operation.
func (p *Payload) Patched(patches []Patch) (*Payload, error) {
	if p.msg == nil {
		return nil, errors.New("patch payload: no message")
	}
	m, err := patched(p.msg, patches, p.walk)
	if err != nil {
		return nil, err
	}
	return newPayload(m, p.walk), nil
}
