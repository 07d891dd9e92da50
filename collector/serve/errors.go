// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/follow"
	"github.com/docket-audit/docket/collector/store"
)

// What a caller did wrong, or what this server cannot do.
var (
	ErrInvalid     = errors.New("invalid request")
	ErrUnsupported = errors.New("not supported by this binary")
	ErrTooMuch     = errors.New("the request needs more than it may have")
	ErrBusy        = errors.New("too many requests at a time")
	ErrRefused     = errors.New("refused")
	ErrExists      = errors.New("already there")
	ErrStalled     = errors.New("the caller did not take the answer")
)

// A RemoteError is an error that a server answered, as a client sees it.
type RemoteError struct {
	// Code is the name of the gRPC status code, in lower case: "not_found".
	Code    string `json:"code"`
	Message string `json:"message"`
	// Field is the field of the request that is at fault, if one is.
	Field  string `json:"field,omitempty"`
	Advice string `json:"hint,omitempty"`
}

func (e *RemoteError) Error() string { return e.Message }

// Hint returns the advice, for the command line to print.
func (e *RemoteError) Hint() string { return e.Advice }

// invalid is an error of one field of a request.
type invalid struct {
	field string
	err   error
}

func (e *invalid) Error() string   { return ErrInvalid.Error() + ": " + e.err.Error() }
func (e *invalid) Unwrap() []error { return []error{ErrInvalid, e.err} }

// Invalid returns an error of one field of a request, which is [ErrInvalid].
func Invalid(field string, err error) error { return &invalid{field, err} }

// invalidf says what is wrong with a field.
func invalidf(field, format string, args ...any) error {
	return &invalid{field, fmt.Errorf(format, args...)}
}

// classify is the one mapping of errors to status codes.
func classify(err error) codes.Code {
	for _, c := range []struct {
		is   error
		code codes.Code
	}{
		{authz.ErrUnauthenticated, codes.Unauthenticated},
		{authz.ErrDenied, codes.PermissionDenied},
		{ErrInvalid, codes.InvalidArgument},
		{store.ErrNotFound, codes.NotFound},
		{ErrExists, codes.AlreadyExists},
		{ErrRefused, codes.FailedPrecondition}, // of an error behind it: it is what was refused for
		{ErrUnsupported, codes.Unimplemented},
		{ErrTooMuch, codes.ResourceExhausted}, // to ask again is of no use
		{ErrBusy, codes.Unavailable},          // and here it is
		{ErrStalled, codes.Aborted},
		{follow.ErrStopped, codes.Unavailable},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{context.Canceled, codes.Canceled},
	} {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return codes.Internal
}

// domain is that of our [errdetails.ErrorInfo].
const domain = "docket"

// elsewhere is an error of a store that is a server of its own. What it says, where that
// server is among it, is for the log, and not for who asked.
type elsewhere interface {
	error
	Elsewhere()
}

// away is what they are told instead.
type away struct{}

func (away) Error() string { return "the store cannot be reached" }

// Hint is for who runs the store.
func (away) Hint() string {
	return "it is not the request; docket doctor says where the store is, and what of it works"
}

// told returns the code of err, and the error that is told for it.
func told(err error) (codes.Code, error) {
	code := classify(err)
	var e elsewhere
	if !errors.As(err, &e) || !strings.Contains(err.Error(), e.Error()) {
		return code, err
	}
	if code == codes.Internal {
		code = codes.Unavailable
	}
	return code, away{}
}

// toStatus makes of an error what goes over the wire.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return err // it came over a wire, or through the connection within the process
	}
	code, err := told(err)
	s := status.New(code, err.Error())
	var details []protoadapt.MessageV1
	var field *invalid
	if errors.As(err, &field) {
		details = append(details, protoadapt.MessageV1Of(&errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field.field, Description: field.err.Error()}},
		}))
	}
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		details = append(details, protoadapt.MessageV1Of(&errdetails.ErrorInfo{
			Reason: strings.ToUpper(codeName(s.Code())), Domain: domain, Metadata: map[string]string{"hint": h.Hint()},
		}))
	}
	if with, derr := s.WithDetails(details...); derr == nil {
		s = with
	}
	return s.Err()
}

// FromStatus returns the error that a server answered; of what is none of a
// server, err itself.
func FromStatus(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	return remote(s)
}

func remote(s *status.Status) *RemoteError {
	e := &RemoteError{Code: codeName(s.Code()), Message: s.Message()}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Field = v.GetField()
			}
		case *errdetails.ErrorInfo:
			e.Advice = d.GetMetadata()["hint"]
		}
	}
	return e
}

// codeName returns the name of a code as REST has it, such as "not_found".
func codeName(c codes.Code) string {
	if c == codes.OK {
		return "ok"
	}
	var name strings.Builder
	for i, r := range c.String() {
		if i > 0 && r >= 'A' && r <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteString(strings.ToLower(string(r)))
	}
	return name.String()
}

// writeError answers over HTTP.
func writeError(w http.ResponseWriter, err error) {
	s, _ := status.FromError(toStatus(err))
	switch s.Code() {
	case codes.Unauthenticated:
		w.Header().Set("WWW-Authenticate", `Bearer realm="docket"`)
	case codes.Unavailable:
		w.Header().Set("Retry-After", "5")
	default:
	}
	code := runtime.HTTPStatusFromCode(s.Code())
	if errors.Is(err, ErrRefused) {
		code = http.StatusConflict
	}
	writeJSON(w, code, map[string]any{"error": remote(s)})
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

// ErrorTrailer is the HTTP trailer that tells why an action ended early.
const ErrorTrailer = "Docket-Error"

// fail ends an answer that has begun.
func fail(w http.ResponseWriter, err error) {
	s, _ := status.FromError(toStatus(err))
	if b, jerr := json.Marshal(remote(s)); jerr == nil {
		w.Header().Set(ErrorTrailer, string(b))
	}
}

// marshalError is an error within a stream.
func marshalError(e *RemoteError) ([]byte, error) {
	return json.Marshal(map[string]any{"error": e})
}
