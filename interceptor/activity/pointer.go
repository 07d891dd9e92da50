// SPDX-License-Identifier: Apache-2.0

package activity

import "strings"

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

// below returns what of a pattern is left below a place; false when they are of
// different places. Nothing is left where the place lies under the pattern.
func below(pattern, place []string) ([]string, bool) {
	for i, name := range place {
		if i == len(pattern) {
			return nil, true
		}
		if !same(pattern[i], name) {
			return nil, false
		}
	}
	return pattern[len(place):], true
}

func pointerOf(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(escape.Replace(t))
	}
	return b.String()
}
