// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/store"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

var everything = new(filter.Filter)

// Tail implements [auditv1.AuditServiceServer].
func (s *service) Tail(r *auditv1.TailRequest, to grpc.ServerStreamingServer[auditv1.TailResponse]) error {
	ctx := to.Context()
	sel, err := selectionOf(ctx, r)
	if err != nil {
		return err
	}
	sel.query.After, err = s.first(ctx, r, sel)
	if err != nil {
		return err
	}
	return s.follow(ctx, sel, r.GetFollow(), to)
}

// first returns the cursor behind which a tail begins.
func (s *service) first(ctx context.Context, r *auditv1.TailRequest, sel selection) (store.Cursor, error) {
	given := 0
	for _, is := range []bool{r.GetResumeToken() != "", r.GetAll(), r.GetLast() != 0, r.GetSince() != nil} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return store.Cursor{}, invalidf("resume_token", "resume_token, all, last and since exclude each other")
	case r.GetLast() < 0:
		return store.Cursor{}, invalidf("last", "%d is not a number of events", r.GetLast())
	case r.GetResumeToken() != "":
		return parseResumeToken(r.GetResumeToken())
	case r.GetAll():
		return store.Cursor{}, nil
	case r.GetSince() != nil:
		if err := r.GetSince().CheckValid(); err != nil {
			return store.Cursor{}, invalidf("since", "%w", err)
		}
		return s.storedBefore(ctx, r.GetSince().AsTime())
	}
	return s.before(ctx, int(r.GetLast()), sel)
}

// A resume token is the cursor of the last event that was sent.
func resumeToken(c store.Cursor) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "s1.%d.%d", c.Commit, c.Pos))
}

func parseResumeToken(t string) (store.Cursor, error) {
	var c store.Cursor
	b, err := base64.RawURLEncoding.DecodeString(t)
	if err == nil {
		_, err = fmt.Sscanf(string(b), "s1.%d.%d", &c.Commit, &c.Pos)
	}
	if err != nil || resumeToken(c) != t {
		return c, invalidf("resume_token", "it is none that this server gave")
	}
	return c, nil
}

// storedBefore returns the cursor of the last event that was stored before t.
func (s *Server) storedBefore(ctx context.Context, t time.Time) (store.Cursor, error) {
	var at store.Cursor
	q := store.Query{After: s.newest(), Descending: true, WithoutRaw: true}
	for e, err := range s.cfg.Store.Scan(ctx, q) {
		if err != nil {
			return at, err
		}
		if e.StoredTime.Before(t) {
			return store.Cursor{Commit: e.Commit, Pos: e.Pos}, nil
		}
	}
	return at, ctx.Err()
}

// before returns the cursor behind which the last n events are that are selected
// by now. It counts them and keeps none: they are sent as they are read again,
// and may be more than memory can hold.
func (s *Server) before(ctx context.Context, n int, sel selection) (store.Cursor, error) {
	head := s.cfg.Commits()
	if n == 0 || head == 0 {
		return store.Cursor{Commit: head, Pos: math.MaxUint32}, nil
	}
	var after store.Cursor
	sel.query = store.Query{After: store.Cursor{Commit: head + 1}, Descending: true, WithoutRaw: true}
	err := s.scan(ctx, sel, func(e *store.Entry) error {
		if n--; n > 0 {
			return nil
		}
		after = store.Cursor{Commit: e.Commit - 1, Pos: math.MaxUint32}
		if e.Pos > 0 {
			after = store.Cursor{Commit: e.Commit, Pos: e.Pos - 1}
		}
		return errEnough
	})
	return after, err // fewer than n are all of them
}

// follow sends what is behind the cursor of sel and then, if more shall come,
// each commit.
func (s *Server) follow(ctx context.Context, sel selection, more bool, to grpc.ServerStreamingServer[auditv1.TailResponse]) error {
	tick := time.NewTicker(s.cfg.Poll)
	defer tick.Stop()
	for last, caughtUp := !more, false; ; {
		now := s.cfg.Commits()
		if end := (store.Cursor{Commit: now, Pos: math.MaxUint32}); sel.query.After.Compare(end) < 0 {
			err := s.scan(ctx, sel, func(e *store.Entry) error {
				if e.Commit > now {
					return errEnough
				}
				sent(ctx, 1)
				return to.Send(&auditv1.TailResponse{
					Item:        &auditv1.TailResponse_Event{Event: slices.Clone(e.Raw)},
					ResumeToken: resumeToken(store.Cursor{Commit: e.Commit, Pos: e.Pos}),
				})
			})
			if err != nil {
				return err
			}
			sel.query.After = end
		}
		if !caughtUp && more {
			caughtUp = true
			if err := to.Send(&auditv1.TailResponse{Item: &auditv1.TailResponse_CaughtUp{CaughtUp: &auditv1.CaughtUp{}}, ResumeToken: resumeToken(sel.query.After)}); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.drain:
			last = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
