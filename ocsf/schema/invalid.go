// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// An InvalidError says that what was read is no schema.
type InvalidError struct {
	// Path leads to the fault, as in "objects.file.attributes.name.type"; empty
	// when the whole is at fault.
	Path    string
	Problem string
}

func (e *InvalidError) Error() string {
	if e.Path == "" {
		return "read schema: " + e.Problem
	}
	return "read schema: " + e.Path + ": " + e.Problem
}

func invalid(path, format string, args ...any) error {
	return &InvalidError{Path: path, Problem: fmt.Sprintf(format, args...)}
}

// check is for what concerns more than one thing. Attributes are left out: a
// reader checks each as it meets it, because many are shared.
func (s *Schema) check() error {
	for _, name := range slices.Sorted(maps.Keys(s.Types)) {
		super := s.Types[name].Super
		if super == "" {
			continue
		}
		path := "dictionary.types.attributes." + name + ".type"
		switch t := s.Types[super]; {
		case t == nil:
			return invalid(path, "there is no type %q", super)
		case t.Super != "":
			return invalid(path, "%q is itself a kind of %q, not a primitive", super, t.Super)
		}
	}
	byUID := make(map[int]string, len(s.Classes))
	for _, name := range slices.Sorted(maps.Keys(s.Classes)) {
		c := s.Classes[name]
		if c.Category != "other" && s.Categories[c.Category] == nil {
			return invalid("classes."+name+".category", "there is no category %q", c.Category)
		}
		if other, taken := byUID[c.UID]; taken {
			return invalid("classes."+name+".uid", "%d is the uid of %s already", c.UID, other)
		}
		byUID[c.UID] = name
	}
	return nil
}

// checkAttribute needs the schema's types and the names of its objects.
func (s *Schema) checkAttribute(a *Attribute, isObject func(string) bool) error {
	switch {
	case a.Type == "":
		return invalid("type", "it is missing")
	case a.Type == objectType && a.ObjectType == "":
		return invalid("object_type", "it is missing")
	case a.Type == objectType && !isObject(a.ObjectType):
		return invalid("object_type", "there is no object %q", a.ObjectType)
	case a.Type != objectType && s.Types[a.Type] == nil:
		return invalid("type", "there is no type %q", a.Type)
	}
	switch a.Requirement {
	case Required, Recommended, Optional:
		return nil
	default:
		return invalid("requirement", "%q is none of required, recommended, optional", a.Requirement)
	}
}

// objectType is the type of attributes that hold an object.
const objectType = "object_t"

// checkWord refuses names that a catalog, which writes several names into one
// string, could not tell apart.
func checkWord(path, word string) error {
	bad := func(r rune) bool {
		return strings.ContainsRune(":=,", r) || r == unicode.ReplacementChar || unicode.IsSpace(r) || unicode.IsControl(r)
	}
	if word == "" || word[0] == '-' || strings.ContainsFunc(word, bad) {
		return invalid(path, "%q cannot be a name", word)
	}
	return nil
}

// within puts the place where an InvalidError was met before its path.
func within(path string, err error) error {
	if e, ok := err.(*InvalidError); ok { //nolint:errorlint // ours, made a line before, never wrapped
		if e.Path == "" {
			return &InvalidError{Path: path, Problem: e.Problem}
		}
		return &InvalidError{Path: path + "." + e.Path, Problem: e.Problem}
	}
	return err
}
