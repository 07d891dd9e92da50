// SPDX-License-Identifier: Apache-2.0

// Package served has the sources of a replay that a server has: what it holds,
// and what comes. Both are asked by docket.audit.v1, with what the connection
// says of who asks: they need the capabilities list and read, and give what these
// cover.
//
//	conn, err := grpc.NewClient("audit.example:443", grpc.WithTransportCredentials(...), grpc.WithPerRPCCredentials(...))
//	...
//	replay.Test(t, plan, served.History(auditv1.NewAuditServiceClient(conn)), replay.Sample(100, 1))
//
// A server cannot prove to a caller that its history is whole, so these sources
// are refused by [replay.RequireVerified].
package served

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/interceptor/replay"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// History is all that the server holds now, or of it what happened since a time;
// the zero time is no bound. Conditions are CEL over the columns of an event, and
// SHOULD select whole operations.
func History(c auditv1.AuditServiceClient, since time.Time) replay.Source {
	return &source{client: c, since: since}
}

// Live is what comes from now on, until stop is closed: what it then has of
// operations under way is replayed as what was cut off, or not at all. It can be
// read once.
func Live(c auditv1.AuditServiceClient, stop <-chan struct{}) replay.Source {
	return &source{client: c, stop: stop, live: true}
}

// A MissedError says that the server did not send all that there is: a report on
// the rest would look like one on all of it.
type MissedError struct {
	Events int64  // not sent
	Reason string // in words of the server
}

// Error implements error.
func (e *MissedError) Error() string {
	return fmt.Sprintf("the server left out %d events: %s", e.Events, e.Reason)
}

type source struct {
	client auditv1.AuditServiceClient
	since  time.Time
	live   bool
	stop   <-chan struct{}
}

// Events implements [replay.Source]. A nil event says that what comes from now on
// is new, or that nothing has come for some seconds.
func (s *source) Events(ctx context.Context, where string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ctx, enough := context.WithCancel(ctx)
		defer enough()
		ended := make(chan struct{})
		defer close(ended)
		if s.live {
			go func() {
				select {
				case <-s.stop:
					enough()
				case <-ended:
				}
			}()
		}
		r := &auditv1.TailRequest{Filter: where, Whole: true, Follow: s.live}
		switch {
		case s.live:
		case s.since.IsZero():
			r.All = true
		default:
			r.Since = timestamppb.New(s.since)
		}
		stream, err := s.client.Tail(ctx, r)
		for err == nil {
			var item *auditv1.TailResponse
			if item, err = stream.Recv(); err != nil {
				break
			}
			switch what := item.GetItem().(type) {
			case *auditv1.TailResponse_Event:
				if !yield(what.Event, nil) {
					return
				}
			case *auditv1.TailResponse_CaughtUp, *auditv1.TailResponse_Position:
				if !yield(nil, nil) {
					return
				}
			case *auditv1.TailResponse_Missed:
				err = &MissedError{Events: what.Missed.GetEvents(), Reason: what.Missed.GetReason()}
			}
		}
		if errors.Is(err, io.EOF) && !s.live || s.stopped() {
			return
		}
		yield(nil, fmt.Errorf("read served events: %w", err))
	}
}

func (s *source) stopped() bool {
	select {
	case <-s.stop:
		return s.live
	default:
		return false
	}
}
