// SPDX-License-Identifier: Apache-2.0

package follow

import "errors"

var (
	// ErrToken says that a resume token is none of this store: an [*TokenError].
	ErrToken = errors.New("not a resume token of this store")
	// ErrOptions says that options contradict each other.
	ErrOptions = errors.New("contradictory options")
	// ErrStopped ends subscribers when the hub stops. They can resume.
	ErrStopped = errors.New("the hub has stopped")
)

// A TokenError says why a resume token is refused.
type TokenError struct{ Reason string }

func (e *TokenError) Error() string { return ErrToken.Error() + ": " + e.Reason }
func (e *TokenError) Unwrap() error { return ErrToken }

// Hint returns what the subscriber can do.
func (e *TokenError) Hint() string { return "begin anew, with a time or a number of events" }
