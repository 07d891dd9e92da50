// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Prefix is what the subjects of events begin with unless configured otherwise.
const Prefix = "docket.activity"

// ErrSubject says that a subject does not follow the grammar.
var ErrSubject = errors.New("not a subject of an event")

// Subject returns the subject of the event with header h:
//
//	<prefix>.<tenant>.<kind>.<decision>.<service>.<method>.<emitter>
//
// Each token after the prefix is escaped, one to one, so that different values
// have different tokens:
//
//   - letters, digits, '_' and '-' stand for themselves,
//   - '.' becomes '/', so that a service reads demo/sandbox/v1/Sandboxes,
//   - every other byte becomes '=' and two upper-case hex digits,
//   - the empty value is "-", the value "-" is "=2D",
//   - of a token that would exceed 160 bytes only the beginning stands, followed by
//     "=H" and half the SHA-256 of the value: a broker bounds its subjects.
func Subject(prefix string, h Header) string {
	var room [256]byte
	return string(AppendSubject(room[:0], prefix, &h))
}

// AppendSubject is [Subject] for who has room for it: it appends it to b.
func AppendSubject(b []byte, prefix string, h *Header) []byte {
	b = append(b, prefix...)
	for _, v := range [...]string{h.Tenant, h.Kind, h.Decision, h.Service, h.Method, h.Emitter} {
		b = appendToken(append(b, '.'), v)
	}
	return b
}

// Token returns v as one token of a subject; see [Subject].
func Token(v string) string { return string(appendToken(nil, v)) }

const (
	maxToken = 160
	upperHex = "0123456789ABCDEF"
)

func appendToken(b []byte, v string) []byte {
	if v == "" {
		return append(b, '-')
	}
	if v == "-" {
		return append(b, "=2D"...)
	}
	start := len(b)
	for i := range len(v) {
		if len(b)-start > maxToken-3 {
			sum := sha256.Sum256([]byte(v))
			return hex.AppendEncode(append(b, "=H"...), sum[:16])
		}
		switch c := v[i]; {
		case plain(c):
			b = append(b, c)
		case c == '.':
			b = append(b, '/')
		default:
			b = append(b, '=', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// ParseSubject returns the header fields that subject tells: Tenant, Kind,
// Decision, Service, Method and Emitter. It fails with [ErrSubject] on anything
// that [Subject] cannot have made with prefix, and on tokens that were cut for
// their length, whose value is not known: to judge a subject, compare it with
// that of the event's own header.
func ParseSubject(prefix, subject string) (Header, error) {
	rest, ok := strings.CutPrefix(subject, prefix+".")
	if !ok {
		return Header{}, fmt.Errorf("%w: %.80q does not begin with %q", ErrSubject, subject, prefix)
	}
	tokens := strings.Split(rest, ".")
	if len(tokens) != 6 {
		return Header{}, fmt.Errorf("%w: %.80q has %d tokens after the prefix, not 6", ErrSubject, subject, len(tokens))
	}
	var h Header
	for i, to := range []*string{&h.Tenant, &h.Kind, &h.Decision, &h.Service, &h.Method, &h.Emitter} {
		v, err := parseToken(tokens[i])
		if err != nil {
			return Header{}, err
		}
		*to = v
	}
	return h, nil
}

func parseToken(t string) (string, error) {
	if t == "-" {
		return "", nil
	}
	b := make([]byte, 0, len(t))
	for i := 0; i < len(t); i++ {
		switch c := t[i]; {
		case plain(c):
			b = append(b, c)
		case c == '/':
			b = append(b, '.')
		case c == '=' && i+2 < len(t) && strings.IndexByte(upperHex, t[i+1]) >= 0 && strings.IndexByte(upperHex, t[i+2]) >= 0:
			b = append(b, byte(strings.IndexByte(upperHex, t[i+1])<<4|strings.IndexByte(upperHex, t[i+2])))
			i += 2
		default:
			return "", fmt.Errorf("%w: token %.80q", ErrSubject, t)
		}
	}
	// What Subject would have written differently is another value's token.
	if v := string(b); len(t) > 0 && Token(v) == t {
		return v, nil
	}
	return "", fmt.Errorf("%w: token %.80q", ErrSubject, t)
}
