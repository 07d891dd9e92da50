// SPDX-License-Identifier: Apache-2.0

//go:build !cgo

package sql

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow"
)

// A DB answers queries over one scope.
type DB struct{}

// Open fails with [ErrUnavailable].
func Open(context.Context, Scope) (*DB, error) { return nil, new(UnavailableError) }

// Query fails with [ErrUnavailable].
func (*DB) Query(context.Context, string) (*Rows, error) { return nil, new(UnavailableError) }

// Arrow fails with [ErrUnavailable].
func (*DB) Arrow(context.Context, Statement, func(*arrow.Schema) error, func(arrow.Record) error) error {
	return new(UnavailableError)
}

// Describe fails with [ErrUnavailable].
func (*DB) Describe(context.Context, string) (Description, error) {
	return Description{}, new(UnavailableError)
}

// Close does nothing.
func (*DB) Close() error { return nil }

// Rows is an answer; there is none.
type Rows struct{}

// Columns returns nil.
func (*Rows) Columns() []Column { return nil }

// Next returns false.
func (*Rows) Next() bool { return false }

// Values returns nil.
func (*Rows) Values() []any { return nil }

// Err returns nil.
func (*Rows) Err() error { return nil }

// Close does nothing.
func (*Rows) Close() error { return nil }
