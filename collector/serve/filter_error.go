// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/common"
)

// A FilterError is what is wrong with a filter, in words for whoever wrote it.
type FilterError struct {
	Reason string
	Advice string
}

func (e *FilterError) Error() string { return ErrInvalid.Error() + ": filter: " + e.Reason }

// Unwrap says that the request is at fault.
func (*FilterError) Unwrap() error { return ErrInvalid }

// Hint returns the advice, for the command line to print.
func (e *FilterError) Hint() string {
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
func refused(complaints []*common.Error) *FilterError {
	if len(complaints) == 0 {
		return &FilterError{Reason: "it is no CEL expression"}
	}
	first := complaints[0]
	at := first.Location.Column() + 1
	if m := celUnexpected.FindStringSubmatch(first.Message); m != nil {
		if m[1] == "<EOF>" {
			return &FilterError{Reason: "it ends too early"}
		}
		return &FilterError{Reason: fmt.Sprintf("%q at character %d was not expected there", strings.TrimSpace(m[1]), at)}
	}
	if m := celUndeclared.FindStringSubmatch(first.Message); m != nil {
		return &FilterError{
			Reason: fmt.Sprintf("there is no column or function %q", m[1]),
			Advice: "texts stand between quotation marks; the columns are " + strings.Join(slices.Sorted(maps.Keys(columns())), ", "),
		}
	}
	if m := celOverload.FindStringSubmatch(first.Message); m != nil {
		return &FilterError{Reason: fmt.Sprintf("%s at character %d does not go with (%s)", strings.Trim(m[1], "_@"), at, m[2])}
	}
	message, _, _ := strings.Cut(first.Message, " expecting ")
	return &FilterError{Reason: fmt.Sprintf("%s, at character %d", strings.TrimPrefix(message, "Syntax error: "), at)}
}
