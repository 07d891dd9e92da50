// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"bytes"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/jsonstruct"
	"github.com/docket-audit/docket/ocsf"
)

// Payloads are the larger part of a history, and mostly nobody asks for more of one
// than its JSON, which is what stands in the event. So where that is canonical, it is
// kept as it is; what else it may be is decoded, and written again.

// payload returns the payload that w is, called name, and its message; nil when it is
// not there.
func (r *reading) payload(name string, w wanted) (*interceptor.Payload, proto.Message, error) {
	if !r.has(w) {
		return nil, nil, nil
	}
	m, err := r.message(r.place(w))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return interceptor.NewPayload(m), m, nil
}

// message returns the message that stands for a JSON value: a Struct for an object, a
// Value for the well-known types that JSON writes otherwise.
func (r *reading) message(n int) (proto.Message, error) {
	if r.Kind(n) == '{' && r.isCanonical(n) {
		return jsonstruct.New(bytes.Clone(r.Raw(n))), nil
	}
	v, err := r.free(n)
	if err != nil {
		return nil, err
	}
	if m, ok := v.(map[string]any); ok {
		return structpb.NewStruct(m)
	}
	return structpb.NewValue(v)
}

// canonicalAt returns the canonical text of a value.
func (r *reading) canonicalAt(n int) ([]byte, error) {
	if r.isCanonical(n) {
		return bytes.Clone(r.Raw(n)), nil
	}
	v, err := r.free(n)
	if err != nil {
		return nil, err
	}
	return ocsf.EncodeValue(v)
}

// isCanonical says whether the text of a value is that of RFC 8785. Where it is not
// sure it says no: of names that are not ASCII, and of long numbers.
func (l *look) isCanonical(n int) bool {
	if l.Loose || l.Depth > maxUsualDepth {
		return false
	}
	switch raw := l.Raw(n); raw[0] {
	case '"':
		return !l.Escapes || isShortest(raw)
	case '{':
		var before []byte
		for c, end := n+1, l.After(n); c < end; c = l.After(c) {
			name := l.Name(c)
			if !isPlainName(name) || c > n+1 && bytes.Compare(before, name) >= 0 || !l.isCanonical(c) {
				return false
			}
			before = name
		}
	case '[':
		for c, end := n+1, l.After(n); c < end; c = l.After(c) {
			if !l.isCanonical(c) {
				return false
			}
		}
	case 't', 'f', 'n':
	default:
		return isCanonicalNumber(raw)
	}
	return true
}

// isPlainName says whether a name is written as it is, and sorts like its bytes.
func isPlainName(name []byte) bool {
	for _, c := range name {
		if c < ' ' || c >= 0x80 || c == '\\' {
			return false
		}
	}
	return true
}

// isShortest says whether a string has no escapes but those that it must have, each
// in its short form.
func isShortest(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return true
		}
		if strings.IndexByte(`"\bfnrt`, raw[i+1]) < 0 {
			return false
		}
		raw = raw[i+2:]
	}
}

// isCanonicalNumber says whether a number is written as RFC 8785 has it: in digits
// that are all of the shortest which mean it. With 15 significant digits every one of
// them is, and no two of these mean the same number.
func isCanonicalNumber(raw []byte) bool {
	digits := bytes.TrimPrefix(raw, []byte("-"))
	if len(digits) > 16 {
		return false
	}
	whole, fraction, dotted := bytes.Cut(digits, []byte("."))
	for _, part := range [][]byte{whole, fraction} {
		for _, c := range part {
			if c < '0' || c > '9' {
				return false // of an exponent
			}
		}
	}
	if !dotted {
		return len(whole) <= 15 && (whole[0] != '0' || len(raw) == 1) // not -0
	}
	// Numbers below a millionth have an exponent.
	return len(whole)+len(fraction) <= 15 && fraction[len(fraction)-1] != '0' && (whole[0] != '0' || len(fraction) <= 6)
}
