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

// Why nobody knows who asks: the Reason of an [Error] that is
// [ErrUnauthenticated]. They are few and fixed, so that they can be counted.
const (
	ReasonMissing        = "no token"
	ReasonScheme         = "the scheme of authorization is not accepted"
	ReasonTooLarge       = "the token is too large"
	ReasonMalformed      = "the token is malformed"
	ReasonAlgorithm      = "the token's algorithm is not accepted"
	ReasonUnknownKey     = "the token's key is unknown"
	ReasonSignature      = "the token's signature does not hold"
	ReasonExpired        = "the token has expired"
	ReasonNotYet         = "the token is not valid yet"
	ReasonAudience       = "the token is for another audience"
	ReasonIssuer         = "the token is of another issuer"
	ReasonClaims         = "the token lacks a claim, or one is not what it must be"
	ReasonNoCertificates = "certificates are not accepted here"
	ReasonCertificate    = "the certificate is of no authority that is trusted, or not for clients"
	ReasonCertExpired    = "the certificate is not valid at this time"
	ReasonCertUnknown    = "nobody is known by the certificate"
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

// nobody makes the refusal of who could not be known.
func nobody(reason, advice string) *Error {
	return &Error{Err: ErrUnauthenticated, Reason: reason, Advice: advice}
}

// quoted makes a name from outside safe to print, at a length that is.
func quoted(name string) string {
	const most = 80
	if len(name) > most {
		name = name[:most] + "..."
	}
	return strconv.QuoteToASCII(name)
}
