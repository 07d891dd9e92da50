// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/docket-audit/docket/collector/store"
)

// What a caller did wrong, or what this server cannot do.
var (
	ErrInvalid         = errors.New("invalid request")
	ErrUnauthenticated = errors.New("no valid token")
	ErrUnsupported     = errors.New("not supported by this binary")
	ErrTooMuch         = errors.New("the request needs more than it may have")
	ErrBusy            = errors.New("too many requests at a time")
	ErrRefused         = errors.New("refused")
)

// A RemoteError is an error that a server answered, as a client sees it.
type RemoteError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Advice  string `json:"hint,omitempty"`
}

func (e *RemoteError) Error() string { return e.Message }

// Hint returns the advice, for the command line to print.
func (e *RemoteError) Hint() string { return e.Advice }

// classify is the one mapping of errors to answers.
func classify(err error) (httpStatus int, code string) {
	switch {
	case errors.Is(err, ErrInvalid):
		return http.StatusBadRequest, "invalid_argument"
	case errors.Is(err, ErrUnauthenticated):
		return http.StatusUnauthorized, "unauthenticated"
	case errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound, "not_found"
	case errors.Is(err, ErrRefused):
		return http.StatusConflict, "failed_precondition" // of an error behind it: it is what was refused for
	case errors.Is(err, ErrUnsupported):
		return http.StatusNotImplemented, "unimplemented"
	case errors.Is(err, ErrTooMuch):
		return http.StatusUnprocessableEntity, "resource_exhausted" // to ask again is of no use
	case errors.Is(err, ErrBusy):
		return http.StatusTooManyRequests, "resource_exhausted"
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, "deadline_exceeded"
	case errors.Is(err, context.Canceled):
		return 499, "cancelled"
	default:
		return http.StatusInternalServerError, "internal"
	}
}

func remote(err error) (int, *RemoteError) {
	status, code := classify(err)
	e := &RemoteError{Code: code, Message: err.Error()}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		e.Advice = h.Hint()
	}
	return status, e
}

func writeError(w http.ResponseWriter, err error) {
	status, e := remote(err)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="docket"`)
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	writeJSON(w, status, map[string]any{"error": e})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, fmt.Appendf(nil, `{"error":{"code":"internal","message":%q}}`, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

// ErrorTrailer is the HTTP trailer that tells why a stream ended early.
const ErrorTrailer = "Docket-Error"

// fail ends a stream that has begun.
func fail(w http.ResponseWriter, err error) {
	_, e := remote(err)
	if b, jerr := json.Marshal(e); jerr == nil {
		w.Header().Set(ErrorTrailer, string(b))
	}
}
