// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"io"

	"github.com/docket-audit/docket/collector/sql"
)

// SQL returns the Query of a [Config]. For each query it asks scope what may be
// seen at that moment, so that an answer is of one state of the store and grants
// of one query are never those of another. done is called when the query has ended:
// until then the files of the scope must stay.
func SQL(processes *sql.Processes, scope func(Question) (s sql.Scope, done func(), err error)) func(context.Context, Question, func([]string) error, io.Writer) error {
	return func(ctx context.Context, q Question, columns func([]string) error, rows io.Writer) error {
		s, done, err := scope(q)
		if err != nil {
			return err
		}
		defer done()
		return queryError(processes.Query(ctx, s, q.SQL, columns, rows))
	}
}

// QueryError marks what another engine says, in the errors of package sql, as [SQL]
// does.
func QueryError(err error) error { return queryError(err) }

// queryError marks what the caller can do something about as such.
func queryError(err error) error {
	var (
		refused *sql.StatementError
		failed  *sql.QueryError
		greedy  *sql.MemoryError
		busy    *sql.BusyError
	)
	switch {
	case errors.As(err, &refused), errors.As(err, &failed):
		return &marked{&invalid{"sql", err}, ErrInvalid}
	case errors.As(err, &greedy):
		return &marked{err, ErrTooMuch}
	case errors.As(err, &busy):
		return &marked{err, ErrBusy}
	case errors.Is(err, sql.ErrUnavailable):
		return &marked{err, ErrUnsupported}
	}
	return faulty(err)
}

// marked is an error that is one of another too, in its own words.
type marked struct {
	error

	as error
}

func (e *marked) Unwrap() []error { return []error{e.error, e.as} }
