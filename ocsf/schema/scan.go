// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"strconv"
	"strings"
)

// A scanner reads JSON of a known shape from front to back. It is there because
// a catalog is read at the start of a program, and encoding/json takes three
// times as long. Strings without escapes are pieces of text, not copies.
type scanner struct {
	text string
	at   int // text before it was read
}

func (s *scanner) expected(what string) error {
	return invalid("", "expected %s at byte %d", what, s.at)
}

// next skips white space and returns the next byte, 0 at the end.
func (s *scanner) next() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\n', '\t', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take skips white space and c, if that is next.
func (s *scanner) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.at++
	return true
}

// end is nil when nothing but white space is left.
func (s *scanner) end() error {
	if s.next() != 0 || s.at < len(s.text) {
		return s.expected("the end")
	}
	return nil
}

// object calls member for each member, to read its value.
func (s *scanner) object(member func(key string) error) error {
	if !s.take('{') {
		return s.expected("an object")
	}
	for first := true; !s.take('}'); first = false {
		if !first && !s.take(',') {
			return s.expected("a comma")
		}
		key, err := s.string()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return s.expected("a colon")
		}
		if err := member(key); err != nil {
			return within(key, err)
		}
	}
	return nil
}

// strings appends the members of an array of strings to list.
func (s *scanner) strings(list []string) ([]string, error) {
	if !s.take('[') {
		return nil, s.expected("an array")
	}
	for first := true; !s.take(']'); first = false {
		if !first && !s.take(',') {
			return nil, s.expected("a comma")
		}
		item, err := s.string()
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

func (s *scanner) string() (string, error) {
	if s.next() != '"' {
		return "", s.expected("a string")
	}
	start, plain := s.at, true
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			plain = false
			s.at++ // what is escaped, a quote perhaps
		case '"':
			s.at++
			if plain {
				return s.text[start+1 : s.at-1], nil
			}
			var out string
			err := decode("", []byte(s.text[start:s.at]), &out)
			return out, err
		}
	}
	return "", s.expected("the end of a string")
}

func (s *scanner) int() (int, error) {
	s.next()
	start := s.at
	for s.at < len(s.text) && (s.text[s.at] == '-' || '0' <= s.text[s.at] && s.text[s.at] <= '9') {
		s.at++
	}
	n, err := strconv.Atoi(s.text[start:s.at])
	if err != nil {
		s.at = start
		return 0, s.expected("a whole number")
	}
	return n, nil
}

// value decodes an object of any shape, the slow way.
func (s *scanner) value(v any) error {
	s.next()
	d := json.NewDecoder(strings.NewReader(s.text[s.at:]))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return invalid("", "at byte %d: %v", s.at, err)
	}
	s.at += int(d.InputOffset())
	return nil
}
