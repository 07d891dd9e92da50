// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"errors"
	"fmt"
	"strings"
)

// Why an event cannot be encoded or decoded. [EncodeError] and [DecodeError]
// wrap them.
var (
	// ErrUnknownClass says that class_uid is missing or that of no class which
	// this package knows.
	ErrUnknownClass = errors.New("unknown OCSF class")
	// ErrUTF8 says that a string is not valid UTF-8.
	ErrUTF8 = errors.New("invalid UTF-8")
	// ErrNotFinite says that a number is NaN or infinite.
	ErrNotFinite = errors.New("NaN and infinities have no JSON form")
	// ErrDepth says that values are nested deeper than [MaxDepth].
	ErrDepth = errors.New("nested too deeply")
)

// MaxDepth is how deep objects and arrays may be nested.
const MaxDepth = 1000

// An EncodeError says which attribute could not be encoded.
type EncodeError struct {
	Path string // such as api.request.data
	Err  error
}

// Error implements error.
func (e *EncodeError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("encode OCSF event: %v", e.Err)
	}
	return fmt.Sprintf("encode OCSF event: %s: %v", e.Path, e.Err)
}

// Unwrap returns the reason.
func (e *EncodeError) Unwrap() error { return e.Err }

// A DecodeError says which attribute could not be decoded.
type DecodeError struct {
	Path   string // such as metadata.loggers[0].uid
	Offset int64  // in bytes, of where reading stopped
	Err    error
}

// Error implements error.
func (e *DecodeError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("decode OCSF event: %v", e.Err)
	}
	return fmt.Sprintf("decode OCSF event: %s: %v", e.Path, e.Err)
}

// Unwrap returns the reason.
func (e *DecodeError) Unwrap() error { return e.Err }

// A TypeError says that a JSON value is not of the kind that an attribute holds.
type TypeError struct {
	Want string // such as "a string"
	Got  string // such as "an object"
}

// Error implements error.
func (e *TypeError) Error() string { return fmt.Sprintf("want %s, got %s", e.Want, e.Got) }

// An InexactError says that a number has no canonical form: RFC 8785 writes
// numbers as IEEE 754 doubles, which would make another number of an integer
// beyond 2^53, and cannot hold one beyond 1e308.
type InexactError struct{ Literal string }

// Error implements error.
func (e *InexactError) Error() string {
	return fmt.Sprintf("number %.40s has no exact canonical form", e.Literal)
}

// Hint says what to do instead.
func (e *InexactError) Hint() string { return "write integers beyond 2^53 as strings" }

// An UnknownVersionError says that metadata.version is none that this package
// can encode for.
type UnknownVersionError struct{ Version string }

// Error implements error.
func (e *UnknownVersionError) Error() string {
	return fmt.Sprintf("unknown OCSF version %.40q", e.Version)
}

// Hint says which versions are known.
func (e *UnknownVersionError) Hint() string {
	return "metadata.version is one of " + strings.Join(knownVersions[:], ", ")
}

// A VersionError says that an event has what its version of the schema lacks.
type VersionError struct {
	Name     string   // of the attribute, or what the class is called
	Class    ClassUID // 0 for an attribute
	Version  string   // the event's
	Versions []string // those that have it
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("%s is not in OCSF %s", e.Name, e.Version)
}

// Hint says where it is.
func (e *VersionError) Hint() string {
	leave := "leave it out, or "
	if e.Class != 0 {
		leave = ""
	}
	if len(e.Versions) == 1 {
		return leave + "set metadata.version to " + e.Versions[0]
	}
	return leave + "set metadata.version to one of " + strings.Join(e.Versions, ", ")
}
