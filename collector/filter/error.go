// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/common"
)

// An Error is what is wrong with a filter, in words for whoever wrote it.
type Error struct {
	Reason string
	Advice string
}

func (e *Error) Error() string { return "filter: " + e.Reason }

// Hint returns the advice, for the command line to print.
func (e *Error) Hint() string {
	if e.Advice != "" {
		return e.Advice
	}
	return `a filter is CEL over the columns of events, such as: tenant == "acme" && decision == "deny"`
}

// The complaints of the CEL library that people meet. What it says beside them
// is its grammar, which helps nobody who wants events.
var (
	celUnexpected = regexp.MustCompile(`^Syntax error: (?:mismatched input|extraneous input|missing .* at|token recognition error at:|no viable alternative at input) '(.*?)'`)
	celUndeclared = regexp.MustCompile(`^undeclared reference to '(.*?)'`)
	celOverload   = regexp.MustCompile(`^found no matching overload for '(.*?)' applied to '\((.*?)\)'`)
)

// refused says what the first of the library's complaints means.
func refused(complaints []*common.Error) *Error {
	if len(complaints) == 0 {
		return &Error{Reason: "it is no CEL expression"}
	}
	first := complaints[0]
	at := place(first.Location)
	if m := celUnexpected.FindStringSubmatch(first.Message); m != nil {
		if m[1] == "<EOF>" {
			return &Error{Reason: "it ends too early"}
		}
		return &Error{Reason: fmt.Sprintf("%q at %s was not expected there", strings.TrimSpace(m[1]), at)}
	}
	if m := celUndeclared.FindStringSubmatch(first.Message); m != nil {
		return &Error{
			Reason: fmt.Sprintf("there is no column or function %q", m[1]),
			Advice: "texts stand between quotation marks; the columns are " + strings.Join(slices.Sorted(maps.Keys(columns())), ", "),
		}
	}
	if m := celOverload.FindStringSubmatch(first.Message); m != nil {
		return &Error{Reason: fmt.Sprintf("%s at %s does not go with (%s)", strings.Trim(m[1], "_@"), at, m[2])}
	}
	message, _, _ := strings.Cut(first.Message, " expecting ")
	return &Error{Reason: fmt.Sprintf("%s, at %s", strings.TrimPrefix(message, "Syntax error: "), at)}
}

// place says where in an expression something stands.
func place(l common.Location) string {
	if l.Line() > 1 {
		return fmt.Sprintf("character %d of line %d", l.Column()+1, l.Line())
	}
	return fmt.Sprintf("character %d", l.Column()+1)
}
