// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrUnknownClass says that an event's class_uid is none that this package knows.
var ErrUnknownClass = errors.New("unknown OCSF class")

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

// Encode derives what the schema derives (see the package comment), writes it
// to e, and returns e as canonical JSON (RFC 8785, no trailing newline).
//
// It fails on values that JSON cannot hold (invalid UTF-8, NaN, infinities),
// and with an [*InexactError] on an integer that the canonical form would change.
func Encode(e Event) ([]byte, error) {
	derive(e)
	v := reflect.ValueOf(e).Elem()
	b, err := appendStruct(make([]byte, 0, 2048), v, planOf(v.Type()))
	if err != nil {
		return nil, fmt.Errorf("encode OCSF event: %w", err)
	}
	return b, nil
}

// Canonicalize returns the canonical form (RFC 8785) of one JSON value. It
// fails on a value that is not valid I-JSON (duplicate names, invalid UTF-8), and
// with an [*InexactError] on an integer that the canonical form would change.
func Canonicalize(b []byte) ([]byte, error) {
	v := jsontext.Value(append([]byte(nil), b...))
	if err := v.Canonicalize(); err != nil {
		return nil, fmt.Errorf("canonicalize JSON: %w", err)
	}
	// Only now, when b is known to be JSON. A fraction or an exponent says that
	// the writer meant a double; digits alone say that he meant this integer.
	if err := exact(b); err != nil {
		return nil, fmt.Errorf("canonicalize JSON: %w", err)
	}
	return v, nil
}

// exact looks for integers in the valid JSON b that a double does not hold.
func exact(b []byte) error {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case c == '-' || '0' <= c && c <= '9':
			start := i
			for i < len(b) && strings.IndexByte("+-.0123456789Ee", b[i]) >= 0 {
				i++
			}
			if n := b[start:i]; !isExact(n) {
				return &InexactError{Literal: string(n)}
			}
			i--
		}
	}
	return nil
}

// isExact says whether the number n is within a double's range and, when it is
// an integer, comes out of the canonical form with the same digits.
func isExact(n []byte) bool {
	fraction := bytes.ContainsAny(n, ".eE")
	if len(n) < 16 && !fraction {
		return true
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || fraction {
		return err == nil
	}
	digits := strconv.FormatFloat(f, 'f', -1, 64) // the shortest digits, as in RFC 8785
	return digits == string(n)
}

// Decode reads one event. Free-form attributes (data, unmapped) become the
// values of encoding/json. An attribute that the class's type here does not
// have is left out, so keep the bytes where they are the evidence.
//
// It fails with [ErrUnknownClass] on a class that this package does not know.
func Decode(b []byte) (Event, error) {
	var head struct {
		ClassUID int32 `json:"class_uid"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("decode OCSF event: %w", err)
	}
	var e Event
	switch head.ClassUID {
	case classAPIActivity.uid:
		e = new(APIActivity)
	case classDetectionFinding.uid:
		e = new(DetectionFinding)
	case classApplicationLifecycle.uid:
		e = new(ApplicationLifecycle)
	case classEntityManagement.uid:
		e = new(EntityManagement)
	case classApplicationError.uid:
		e = new(ApplicationError)
	default:
		return nil, fmt.Errorf("decode OCSF event: %w: class_uid %d", ErrUnknownClass, head.ClassUID)
	}
	if err := json.Unmarshal(b, e); err != nil {
		return nil, fmt.Errorf("decode OCSF event of class %d: %w", head.ClassUID, err)
	}
	return e, nil
}

// EncodeValue returns the canonical form of a free-form attribute's value.
func EncodeValue(v any) ([]byte, error) {
	b, err := appendAny(nil, v)
	if err != nil {
		return nil, fmt.Errorf("encode value: %w", err)
	}
	return b, nil
}
