// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
)

// connectTimeout is how long an interceptor's connection may take to be made at
// the load, perhaps while the interceptor itself starts.
const connectTimeout = 5 * time.Second

// describeTries is how often an interceptor is asked that does not answer in
// time: its first answer may be the slow one of a process that has just begun.
const describeTries = 3

// describe asks an interceptor for its manifest, under the timeout of its calls:
// one that cannot say in time what it judges would not judge in time either.
func (s *service) describe(ctx context.Context, impl interceptor.Interceptor) (*interceptor.Manifest, error) {
	if c, ok := impl.(interface{ Connect(context.Context) error }); ok {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		if err := c.Connect(ctx); err != nil {
			return nil, err
		}
	}
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		manifest, err := describeWithin(ctx, impl)
		late := ctx.Err() != nil
		cancel()
		if err == nil || !late || try == describeTries {
			return manifest, err
		}
	}
}

// describeWithin asks an interceptor once. One in process may not heed ctx: it is
// left behind, as in a call. One that panics has an error.
func describeWithin(ctx context.Context, impl interceptor.Interceptor) (*interceptor.Manifest, error) {
	type answer struct {
		manifest *interceptor.Manifest
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("describe ended its goroutine")}
		defer func() {
			if cause := recover(); cause != nil {
				a = answer{err: fmt.Errorf("describe panicked: %v", cause)}
			}
			answered <- a
		}()
		a.manifest, a.err = impl.Describe(ctx)
	}()
	select {
	case a := <-answered:
		return a.manifest, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// unreachable is the error of an interceptor that cannot be asked, or not usefully.
// It keeps the cause for errors.Is beside the place in the file.
func (s *service) unreachable(what, hint string, cause error) error {
	key, where := "grpc_endpoint", "at "+s.endpoint
	if s.endpoint == "" {
		key, where = "name", "in process"
	}
	return &reachError{place: s.table.Errorf(key, hint, "interceptor %q %s %s", s.name, where, what), cause: cause}
}

// undescribed is the error of an interceptor that did not describe itself: because
// nobody answered, or because of what the answer was.
func (s *service) undescribed(cause error) error {
	silent := errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, context.Canceled)
	switch code := status.Code(cause); {
	case silent && s.endpoint == "":
		return s.unreachable("does not answer", "its Describe has to come back within the timeout", cause)
	case silent, code == codes.Unavailable, code == codes.DeadlineExceeded, code == codes.Canceled:
		return s.unreachable("does not answer", "start it first, or correct grpc_endpoint", cause)
	case code == codes.Unauthenticated, code == codes.PermissionDenied:
		hint := "it may want a token: [tokens] has it called with one"
		if s.audience != "" {
			hint = fmt.Sprintf("its tokens are for the audience %q; see that it expects that, and knows the gateway and its keys", s.audience)
		}
		return s.unreachable("does not let docket ask", hint, cause)
	case code == codes.Unimplemented:
		return s.unreachable("is something else: what answers is no interceptor", "grpc_endpoint is where openshell.gateway_interceptor.v1 is served", cause)
	}
	return s.unreachable("answers with an error when it is to describe itself", "mend the interceptor, its log may tell more", cause)
}

type reachError struct {
	place interface {
		error
		Hint() string
	}
	cause error
}

func (e *reachError) Error() string { return e.place.Error() + ": " + e.cause.Error() }
func (e *reachError) Hint() string  { return e.place.Hint() }
func (e *reachError) Unwrap() error { return e.cause }
