// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/store"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// service is docket.audit.v1.AuditService. Its methods are behind the
// interceptors of access.go, which know the caller.
type service struct {
	auditv1.UnimplementedAuditServiceServer
	*Server
}

// A selection is which events a request is about.
type selection struct {
	filter *filter.Filter
	view   authz.View
	query  store.Query
}

// selecting is what requests that select have in common.
type selecting interface {
	GetFilter() string
	GetTenants() []string
	GetExcludeTenants() []string
}

// spanning is a request that is bounded in time.
type spanning interface {
	GetSince() *timestamppb.Timestamp
	GetUntil() *timestamppb.Timestamp
}

// selectionOf reads what a request selects by, within what the caller may see.
func selectionOf(ctx context.Context, r selecting) (s selection, err error) {
	if s.view, err = authz.FromContext(ctx).View(r.GetTenants(), r.GetExcludeTenants()); err != nil {
		return s, err
	}
	if s.filter, err = parseFilter(r.GetFilter()); err != nil {
		return s, err
	}
	if r, ok := r.(spanning); ok {
		if s.query.Since, err = milliseconds("since", r.GetSince()); err != nil {
			return s, err
		}
		if s.query.Until, err = milliseconds("until", r.GetUntil()); err != nil {
			return s, err
		}
		if s.query.Until != 0 && s.query.Since >= s.query.Until {
			return s, invalidf("until", "it is not after since")
		}
	}
	return s, nil
}

// milliseconds returns a bound of events' time; 0 is open.
func milliseconds(field string, t *timestamppb.Timestamp) (int64, error) {
	if t == nil {
		return 0, nil
	}
	if err := t.CheckValid(); err != nil {
		return 0, invalidf(field, "%w", err)
	}
	// An instant within a millisecond is after the events of that millisecond's
	// beginning.
	ms := t.AsTime().Add(time.Millisecond - 1).UnixMilli()
	if ms <= 0 {
		return 0, invalidf(field, "%s is before 1970", t.AsTime().Format(time.RFC3339))
	}
	return ms, nil
}

// parseFilter reads what a caller selects by.
func parseFilter(expression string) (*filter.Filter, error) {
	f, err := filter.Parse(expression)
	return f, faulty(err)
}

// faulty marks an error of a filter as one of the request.
func faulty(err error) error {
	var wrong *filter.Error
	if errors.As(err, &wrong) {
		return &invalid{"filter", err}
	}
	return err
}

// errEnough ends a scan that has what it wanted.
var errEnough = errors.New("enough")

// scan is read for one answer: when it is its caller's turn.
func (s *Server) scan(ctx context.Context, sel selection, do func(*store.Entry) error) error {
	leave, err := s.scans.enter(ctx, authz.FromContext(ctx))
	if err != nil {
		return err
	}
	defer leave()
	return s.read(ctx, sel, do)
}

// read calls do for each entry that is selected. That the store was asked for
// less is not relied on: what the caller may see is judged of each event.
func (s *Server) read(ctx context.Context, sel selection, do func(*store.Entry) error) error {
	q := sel.query
	sel.filter.Narrow(&q)
	for e, err := range s.cfg.Store.Scan(ctx, q) {
		if err != nil {
			return err
		}
		if !sel.view.Sees(e.Header.Tenant) {
			continue
		}
		ok, err := sel.filter.Matches(&e.Header)
		if err != nil {
			return faulty(err)
		}
		if !ok {
			continue
		}
		if err := do(&e); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// named is a uid that a request must have.
func named(field, uid string) error {
	const most = 1024
	switch {
	case uid == "":
		return invalidf(field, "it is missing")
	case !utf8.ValidString(uid):
		return invalidf(field, "it is not UTF-8")
	case len(uid) > most:
		return invalidf(field, "it is longer than %d bytes", most)
	}
	return nil
}

func nothing(what, uid string) error {
	return fmt.Errorf("%w: no %s %.80q that you may see", store.ErrNotFound, what, uid)
}
