// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"regexp"
	"strings"

	catalog "github.com/docket-audit/docket/ocsf/schema"
)

// A Keep is how long something is kept: whole days, as in "400d", or "forever".
// Package retention, which takes it, is not one that a gateway has.
type Keep string

var keep = regexp.MustCompile(`^([1-9][0-9]{0,4}d|forever)$`)

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Keep) UnmarshalText(b []byte) error {
	if !keep.Match(b) {
		return fmt.Errorf("%q is not a time to keep events, such as \"400d\" or \"forever\"", b)
	}
	*k = Keep(b)
	return nil
}

// Rules are how long events of some tenants and classes are kept, one a line, or
// with semicolons between them: "tenant=acme class=api_activity 30d".
type Rules struct{ List []string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rules) UnmarshalText(b []byte) error {
	r.List = nil
	for text := range strings.FieldsFuncSeq(string(b), func(c rune) bool { return c == '\n' || c == ';' }) {
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		if len(words) < 2 || !keep.MatchString(words[len(words)-1]) {
			return fmt.Errorf("%q is not a rule such as \"tenant=acme class=api_activity 30d\"", text)
		}
		for _, w := range words[:len(words)-1] {
			key, value, _ := strings.Cut(w, "=")
			if value == "" || key != "tenant" && key != "class" {
				return fmt.Errorf("%q in the rule %q is neither tenant=NAME nor class=NAME", w, text)
			}
			if key == "class" && !isClass(value) {
				return fmt.Errorf("%q is no class of OCSF; docket schema lists them", value)
			}
		}
		r.List = append(r.List, strings.Join(words, " "))
	}
	return nil
}

// isClass knows the classes of all versions, without their extension.
func isClass(name string) bool {
	for _, version := range catalog.Versions() {
		s, err := catalog.Load(version)
		if err != nil {
			continue // one of the versions that Versions names
		}
		for class := range s.Classes {
			if class == name || strings.HasSuffix(class, "/"+name) {
				return true
			}
		}
	}
	return false
}
