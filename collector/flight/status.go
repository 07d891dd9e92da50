// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/sql"
)

// Why a stream ends before its answer does.
var (
	errExpired  = &authz.Error{Err: authz.ErrUnauthenticated, Reason: "the token has expired", Advice: "ask again with a new one"}
	errStalled  = errors.New("no batch was taken for too long; the query has ended")
	errCanceled = errors.New("the query was cancelled")
)

// refusal is what a caller is told who is not let in.
func (d *Door) refusal(err error) error {
	var refused *authz.Error
	if errors.As(err, &refused) {
		return status.Error(code(err), words(err))
	}
	d.cfg.Log.Error("authorize a call", "error", err)
	return status.Error(codes.Unauthenticated, "it could not be found out who calls")
}

// status is err as a caller is told it. ctx is that of the call.
func (d *Door) status(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && (errors.Is(cause, errExpired) || errors.Is(cause, errStalled)) {
		err = cause // whatever it has led to
	}
	if s, ok := status.FromError(err); ok {
		return s.Err()
	}
	c := code(err)
	if c == codes.Internal {
		d.cfg.Log.Error("answer a call", "error", err)
	}
	return status.Error(c, words(err))
}

// words are an error's, with what to do about it.
func words(err error) string {
	text := err.Error()
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		text += " (" + h.Hint() + ")"
	}
	return text
}

// code is the one mapping of errors to codes.
func code(err error) codes.Code {
	var (
		refused *sql.StatementError
		failed  *sql.QueryError
		greedy  *sql.MemoryError
		busy    *sql.BusyError
	)
	switch {
	case errors.Is(err, authz.ErrUnauthenticated):
		return codes.Unauthenticated
	case errors.Is(err, authz.ErrDenied):
		return codes.PermissionDenied
	case errors.As(err, &refused), errors.As(err, &failed):
		return codes.InvalidArgument
	case errors.As(err, &greedy), errors.As(err, &busy):
		return codes.ResourceExhausted
	case errors.Is(err, sql.ErrUnavailable):
		return codes.Unimplemented
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errStalled):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled), errors.Is(err, errCanceled):
		return codes.Canceled
	}
	return codes.Internal
}
