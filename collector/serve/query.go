// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/docket-audit/docket/collector/authz"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A Question is one SELECT, and over what.
type Question struct {
	SQL string
	// View is whose events are seen.
	View authz.View
	// Filter is CEL over columns: the events that are seen are those that it
	// selects, in all views.
	Filter string
	// At is the number of a commit: what is seen is the store as it was then, less
	// what has been deleted since; 0 is now.
	At uint64
}

// Query implements [auditv1.AuditServiceServer].
func (s *service) Query(r *auditv1.QueryRequest, to grpc.ServerStreamingServer[auditv1.QueryResponse]) error {
	if s.cfg.Query == nil {
		err := s.cfg.Unsupported
		if err == nil {
			err = ErrUnsupported
		}
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	ctx, cancel := context.WithCancelCause(to.Context())
	defer cancel(nil)
	view, err := authz.FromContext(ctx).View(r.GetTenants(), r.GetExcludeTenants())
	if err != nil {
		return err
	}
	if r.GetSql() == "" {
		return invalidf("sql", "it is missing")
	}
	rows := &rowSender{ctx: ctx, stall: s.cfg.Stall, cancel: cancel, to: to}
	err = s.cfg.Query(ctx, Question{SQL: r.GetSql(), View: view, Filter: r.GetFilter(), At: r.GetAt()}, func(columns []string) error {
		return rows.send(&auditv1.QueryResponse{Columns: columns})
	}, rows)
	if err != nil && errors.Is(context.Cause(ctx), ErrStalled) {
		return ErrStalled
	}
	if err == nil && len(rows.part) > 0 {
		return fmt.Errorf("the answer ends within a row")
	}
	return err
}

// A rowSender sends rows, and fails when they are not taken for too long: the
// process that makes them is one of few.
type rowSender struct {
	ctx    context.Context
	cancel context.CancelCauseFunc // ends the query
	stall  time.Duration
	to     grpc.ServerStreamingServer[auditv1.QueryResponse]
	part   []byte // of a row whose end has not come
}

const maxRows = 256 << 10 // bytes of rows in a message; a longer row goes alone

// Write takes lines, however they are cut.
func (r *rowSender) Write(b []byte) (int, error) {
	resp := &auditv1.QueryResponse{}
	bytesOf := 0
	for rest := b; ; {
		line, behind, whole := bytes.Cut(rest, []byte{'\n'})
		if !whole {
			r.part = append(r.part, line...)
			break
		}
		row := append(r.part, line...) //nolint:gocritic // part ends here
		r.part, rest = nil, behind
		if len(row) == 0 {
			continue
		}
		if bytesOf += len(row); bytesOf > maxRows && len(resp.GetRows()) > 0 {
			if err := r.send(resp); err != nil {
				return 0, err
			}
			resp, bytesOf = &auditv1.QueryResponse{}, len(row)
		}
		resp.Rows = append(resp.Rows, row)
	}
	if len(resp.GetRows()) == 0 {
		return len(b), nil
	}
	return len(b), r.send(resp)
}

func (r *rowSender) send(resp *auditv1.QueryResponse) error {
	if r.stall > 0 {
		// A caller who is gone ends the send by itself, one who sits there does not.
		defer time.AfterFunc(r.stall, func() {
			r.cancel(ErrStalled)
			hangUp(r.ctx)
		}).Stop()
	}
	sent(r.ctx, len(resp.GetRows()))
	err := r.to.Send(resp)
	if errors.Is(context.Cause(r.ctx), ErrStalled) {
		return ErrStalled
	}
	return err
}

type hangUpKey struct{}

// withHangUp says what ends a send to the caller of a stream.
func withHangUp(ctx context.Context, end func()) context.Context {
	return context.WithValue(ctx, hangUpKey{}, end)
}

func hangUp(ctx context.Context) {
	if end, ok := ctx.Value(hangUpKey{}).(func()); ok {
		end()
	}
}
