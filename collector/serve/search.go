// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/store"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// SearchEvents implements [auditv1.AuditServiceServer].
func (s *service) SearchEvents(ctx context.Context, r *auditv1.SearchEventsRequest) (*auditv1.SearchEventsResponse, error) {
	sel, err := selectionOf(ctx, r)
	if err != nil {
		return nil, err
	}
	sel.query.Descending = r.GetNewestFirst()
	question := proto.CloneOf(r)
	question.PageSize, question.PageToken = 0, ""
	resp := &auditv1.SearchEventsResponse{}
	resp.NextPageToken, err = s.page(ctx, sel, question, r, func(e *store.Entry) int {
		resp.Events = append(resp.Events, slices.Clone(e.Raw))
		return len(e.Raw)
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// paged is a request for a page.
type paged interface {
	GetPageSize() int32
	GetPageToken() string
}

// page puts one page of what is selected and returns the token of the next one.
// put returns how many bytes it took.
func (s *Server) page(ctx context.Context, sel selection, question proto.Message, r paged, put func(*store.Entry) int) (next string, err error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return "", err
	}
	of, err := questionOf(question)
	if err != nil {
		return "", err
	}
	if t := r.GetPageToken(); t != "" {
		if sel.query.After, err = parsePageToken(t, of); err != nil {
			return "", err
		}
	} else if sel.query.Descending {
		sel.query.After = s.newest()
	}
	// One more than the page tells whether there is a next one.
	var last store.Cursor
	n, bytes := 0, 0
	err = s.scan(ctx, sel, func(e *store.Entry) error {
		if n == size || n > 0 && bytes+len(e.Raw) > maxPageBytes {
			next = pageToken(last, of)
			return errEnough
		}
		bytes += put(e)
		n++
		last = store.Cursor{Commit: e.Commit, Pos: e.Pos}
		return nil
	})
	sent(ctx, n)
	return next, err
}

// newest is behind everything that is stored by now.
func (s *Server) newest() store.Cursor { return store.Cursor{Commit: s.cfg.Commits() + 1} }

// GetEvent implements [auditv1.AuditServiceServer].
func (s *service) GetEvent(ctx context.Context, r *auditv1.GetEventRequest) (*auditv1.GetEventResponse, error) {
	e, err := s.event(ctx, "uid", r.GetUid())
	if err != nil {
		return nil, err
	}
	sent(ctx, 1)
	return &auditv1.GetEventResponse{
		Event: e.Raw, Commit: e.Commit, Position: e.Pos, StreamSequence: e.StreamSeq, StoredTime: timestamppb.New(e.StoredTime),
	}, nil
}

// event returns the event with a uid, the one that was stored first. One that
// the caller may not see is not there.
func (s *Server) event(ctx context.Context, field, uid string) (*store.Entry, error) {
	if err := named(field, uid); err != nil {
		return nil, err
	}
	view, err := authz.FromContext(ctx).View(nil, nil)
	if err != nil {
		return nil, err
	}
	var found *store.Entry
	err = s.scan(ctx, selection{filter: everything, view: view, query: store.Query{Event: uid}}, func(e *store.Entry) error {
		c := *e
		c.Raw = slices.Clone(e.Raw)
		found = &c
		return errEnough
	})
	if err == nil && found == nil {
		err = nothing("event", uid)
	}
	return found, err
}
