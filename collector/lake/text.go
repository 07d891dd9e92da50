// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"
)

// A text is JSON that is read without a library, from one end to the other. It
// judges nothing: what is no JSON is read as something, or as bad, and never
// beyond its end. White space, escapes and any order of names are as good as
// what is canonical.
type text struct {
	b  []byte
	at int // where the next token begins, or white space before it
	// bad says that what was found there cannot be; at is the end then.
	bad  bool
	room []byte // a name without its escapes
}

// errText says that a text is no JSON.
var errText = errors.New("no JSON")

func (t *text) open(b []byte) { t.b, t.at, t.bad = b, 0, false }

// err says whether all that was read can have been JSON.
func (t *text) err() error {
	if t.bad {
		return errText
	}
	return nil
}

func (t *text) fail() { t.at, t.bad = len(t.b), true }

// peek returns the first byte of the next token, 0 at the end.
func (t *text) peek() byte {
	for ; t.at < len(t.b); t.at++ {
		if c := t.b[t.at]; c > ' ' {
			return c
		}
	}
	return 0
}

// begin enters the object or array that is next, and says whether it has
// something.
func (t *text) begin(end byte) bool {
	t.at++
	if t.peek() != end {
		return true
	}
	t.at++
	return false
}

// more goes on to what follows a member or an element, and says whether that is
// another one.
func (t *text) more(end byte) bool {
	switch t.peek() {
	case ',':
		t.at++
		return true
	case end:
		t.at++
	default:
		t.fail()
	}
	return false
}

// name takes the name of a member, and its colon. It is gone with the next one.
func (t *text) name() (name []byte, ok bool) {
	if t.peek() != '"' {
		t.fail()
		return nil, false
	}
	start := t.at
	escaped := t.quoted()
	if t.bad {
		return nil, false
	}
	name = t.b[start+1 : t.at-1]
	if escaped {
		// What is wrong about a name makes it the name of nothing.
		t.room, _ = jsontext.AppendUnquote(t.room[:0], t.b[start:t.at])
		name = t.room
	}
	if t.peek() != ':' {
		t.fail()
		return nil, false
	}
	t.at++
	return name, true
}

// called takes the name of a member that is next, and its colon, if it is name
// and written as it is. A name with a quote or a backslash never is.
func (t *text) called(name string) bool {
	start, b := t.at+1, t.b
	end := start + len(name)
	if end+1 >= len(b) || b[end] != '"' || b[end+1] != ':' || string(b[start:end]) != name || b[t.at] != '"' {
		return false
	}
	t.at = end + 2
	return true
}

// value takes the value that is next and returns it as it is written.
func (t *text) value() []byte {
	c := t.peek()
	start := t.at
	switch c {
	case '"':
		t.quoted()
	case '{', '[':
		t.over()
	case 0, '}', ']', ',', ':':
		t.fail()
	default:
		t.plain()
	}
	return t.b[start:t.at]
}

// plain passes over a number or a literal.
func (t *text) plain() {
	b, i := t.b, t.at+1
	for ; i < len(b); i++ {
		if c := b[i]; c == ',' || c == '}' || c == ']' || c <= ' ' {
			break
		}
	}
	t.at = i
}

// over passes over an object or an array.
func (t *text) over() {
	b, depth := t.b, 0
	for i := t.at; i < len(b); i++ {
		switch b[i] {
		case '"':
			t.at = i
			if t.quoted(); t.bad {
				return
			}
			i = t.at - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				t.at = i + 1
				return
			}
		}
	}
	t.fail()
}

// quoted passes over a string, and says whether it has escapes.
func (t *text) quoted() (escaped bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	b, i := t.b, t.at+1
	for {
		// Eight bytes at a time: a byte is zero where it was a quote, or a backslash.
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			q, s := w^'"'*ones, w^'\\'*ones
			if found := ((q-ones)&^q | (s-ones)&^s) & highs; found != 0 {
				i += bits.TrailingZeros64(found) >> 3
				break
			}
			i += 8
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' {
			i++ // of the last few bytes
		}
		if i >= len(b) {
			t.fail()
			return escaped
		}
		if b[i] == '"' {
			t.at = i + 1
			return escaped
		}
		escaped = true
		i += 2
	}
}
