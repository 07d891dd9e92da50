// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/docket-audit/docket/internal/secretwalk"
)

// tokensOf splits a JSON Pointer. What is no pointer is one all the same: a
// patch's path is what a binding wrote.
func tokensOf(pointer string) []string {
	if pointer == "" {
		return nil
	}
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, t := range tokens {
		tokens[i] = unescape.Replace(t)
	}
	return tokens
}

var (
	unescape = strings.NewReplacer("~1", "/", "~0", "~")
	escape   = strings.NewReplacer("~", "~0", "/", "~1")
)

// same says whether a token of a pattern is for a name, or an index.
func same(pattern, name string) bool {
	return pattern == "*" || name == "-" || fold(pattern) == fold(name)
}

func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// A spot is what the schema says of a value: that it is a message, or all of a
// field that is a list or a map. The zero spot is JSON of which it says nothing.
type spot struct {
	walk secretwalk.Walk
	md   protoreflect.MessageDescriptor
	many protoreflect.FieldDescriptor
}

// member returns the spot of a member or an item, and by which other names than
// its own a rule may speak of it: those of the schema, and of JSON.
func (s spot) member(name string) (_ spot, names []string) {
	switch {
	case s.many != nil && s.many.IsMap():
		return s.of(s.many.MapValue()), nil
	case s.many != nil:
		return s.of(s.many), nil
	case s.md == nil || secretwalk.WellKnown(s.md):
		return spot{}, nil
	}
	fd, _ := s.walk.Field(s.md, name)
	if fd == nil {
		return spot{}, nil
	}
	names = []string{fd.JSONName(), string(fd.Name())}
	if fd.IsExtension() {
		names = []string{"[" + string(fd.FullName()) + "]", string(fd.FullName()), string(fd.Name())}
	}
	if fd.IsMap() || fd.IsList() {
		return spot{walk: s.walk, many: fd}, names
	}
	return s.of(fd), names
}

func (s spot) of(fd protoreflect.FieldDescriptor) spot {
	if fd.Message() == nil {
		return spot{}
	}
	return spot{walk: s.walk, md: fd.Message()}
}

// inside returns the spot of what a google.protobuf.Any holds, whose JSON is v.
func (s spot) inside(v map[string]any) spot {
	if s.md == nil || s.md.FullName() != "google.protobuf.Any" {
		return s
	}
	url, _ := v["@type"].(string)
	t, err := s.walk.Resolver().FindMessageByURL(url)
	if err != nil {
		return spot{}
	}
	return spot{walk: s.walk, md: t.Descriptor()}
}

// match says whether a token of a pattern is for a member of s, which is called
// name; and returns the member's spot.
func (s spot) match(pattern, name string) (spot, bool) {
	within, names := s.member(name)
	if same(pattern, name) {
		return within, true
	}
	for _, n := range names {
		if same(pattern, n) {
			return within, true
		}
	}
	return within, false
}

// below returns what of a pattern is left below a place, which begins at s; false
// when they are of different places. Nothing is left where the place lies under the
// pattern.
func (s spot) below(pattern, place []string) ([]string, bool) {
	for i, name := range place {
		if i == len(pattern) {
			return nil, true
		}
		var ok bool
		if s, ok = s.match(pattern[i], name); !ok {
			return nil, false
		}
	}
	return pattern[len(place):], true
}

// at returns the spot of a place below s.
func (s spot) at(place []string) spot {
	for _, name := range place {
		s, _ = s.member(name)
	}
	return s
}

func pointerOf(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(escape.Replace(t))
	}
	return b.String()
}
