// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"errors"
	"regexp"
	"strings"
)

// ofNames is how protojson begins to say what is wrong with the name of a field.
// It does not always write the same space.
var ofNames = regexp.MustCompile(`^proto:[ \x{a0}](?:\(line \d+:\d+\):[ \x{a0}])?(?:unknown field|duplicate field|error parsing) `)

// unquoted returns what protojson has to say of JSON text without the value that it
// quotes: a failure's detail must not bring into the record what capture, or a
// rule of the record's, leaves out of it. Names of fields stay, also of those that
// are none: they are the words of a binding's author.
func unquoted(err error) error {
	const field, token = " field ", "unexpected token"
	s := err.Error()
	if ofNames.MatchString(s) {
		return errors.New(s)
	}
	if i := strings.Index(s, field); i >= 0 {
		if j := strings.IndexByte(s[i+len(field):], ':'); j >= 0 {
			s = s[:i+len(field)+j]
		}
	}
	if i := strings.Index(s, token); i >= 0 {
		s = s[:i+len(token)]
	}
	if i := strings.IndexByte(s, '"'); i >= 0 {
		s = s[:i]
	}
	return errors.New(strings.TrimRight(s, ": "))
}
