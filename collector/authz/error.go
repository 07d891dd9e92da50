// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"errors"
	"strconv"
)

// The two refusals.
var (
	ErrUnauthenticated = errors.New("unauthenticated")
	ErrDenied          = errors.New("permission denied")
)

// An Error says why somebody was refused. It holds nothing secret: no token, no
// signature, no key.
type Error struct {
	Err    error  // ErrUnauthenticated or ErrDenied
	Reason string // for the caller and for the event about it
	Advice string
}

func (e *Error) Error() string { return e.Err.Error() + ": " + e.Reason }
func (e *Error) Unwrap() error { return e.Err }

// Hint returns what the caller can do, for the command line to print.
func (e *Error) Hint() string { return e.Advice }

// quoted makes a name from outside safe to print, at a length that is.
func quoted(name string) string {
	const most = 80
	if len(name) > most {
		name = name[:most] + "..."
	}
	return strconv.QuoteToASCII(name)
}
