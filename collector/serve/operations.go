// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// ListOperations implements [auditv1.AuditServiceServer].
func (s *service) ListOperations(ctx context.Context, r *auditv1.ListOperationsRequest) (*auditv1.ListOperationsResponse, error) {
	sel, err := selectionOf(ctx, r)
	if err != nil {
		return nil, err
	}
	sel.query.Kinds = []string{profile.KindOutcome}
	sel.query.Descending, sel.query.WithoutRaw = true, true
	question := proto.CloneOf(r)
	question.PageSize, question.PageToken = 0, ""
	resp := &auditv1.ListOperationsResponse{}
	resp.NextPageToken, err = s.page(ctx, sel, question, r, func(e *store.Entry) int {
		o := operation(&e.Header)
		resp.Operations = append(resp.Operations, o)
		return proto.Size(o)
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// operation is an outcome as an operation.
func operation(h *profile.Header) *auditv1.Operation {
	return &auditv1.Operation{
		Uid: h.OperationUID, Tenant: h.Tenant, Time: instant(h.Time),
		Service: h.Service, Method: h.Method, Principal: h.Principal, Source: h.Source,
		Decision: h.Decision, Interceptor: h.Interceptor, Binding: h.Binding,
		StatusCode: h.StatusCode, Reason: h.StatusDetail, Ran: h.Ran, Duration: durationpb.New(time.Duration(h.DurationMS) * time.Millisecond),
		PlanDigest: h.PlanDigest, TraceUid: h.TraceUID, Sentence: profile.Sentence(*h),
	}
}

// instant is the time of an event. What is beyond the year 9999, as far as
// timestamps go, is its end; the event itself says the rest.
func instant(ms int64) *timestamppb.Timestamp {
	const last = 253402300799999
	return timestamppb.New(time.UnixMilli(min(ms, last)))
}

// GetOperation implements [auditv1.AuditServiceServer].
func (s *service) GetOperation(ctx context.Context, r *auditv1.GetOperationRequest) (*auditv1.GetOperationResponse, error) {
	if err := named("uid", r.GetUid()); err != nil {
		return nil, err
	}
	view, err := authz.FromContext(ctx).View(nil, nil)
	if err != nil {
		return nil, err
	}
	var all []store.Entry
	bytes := 0
	err = s.scan(ctx, selection{filter: everything, view: view, query: store.Query{Operation: r.GetUid()}}, func(e *store.Entry) error {
		c := *e
		c.Raw = slices.Clone(e.Raw)
		if bytes += len(c.Raw); bytes > maxTimelineBytes {
			return tooLong
		}
		all = append(all, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, nothing("operation", r.GetUid())
	}
	sent(ctx, len(all))
	Chronologically(all, func(e store.Entry) profile.Header { return e.Header })
	resp := &auditv1.GetOperationResponse{}
	for i := range all {
		h := &all[i].Header
		if h.Kind == profile.KindOutcome {
			resp.Operation = operation(h)
		}
		resp.Moments = append(resp.Moments, &auditv1.Moment{Event: all[i].Raw, Sentence: profile.Sentence(*h)})
	}
	return resp, nil
}

const maxTimelineBytes = 64 << 20

var tooLong = &tooLongError{}

type tooLongError struct{}

func (*tooLongError) Error() string { return "the events of the operation take more than 64 MiB" }
func (*tooLongError) Unwrap() error { return ErrTooMuch }
func (*tooLongError) Hint() string  { return "search for events with filter operation_uid == \"...\"" }

// Chronologically sorts the events of one operation as they happened: one
// emitter writes all of an operation, in the order of its sequence; what others
// found out later has an epoch of its own.
func Chronologically[E any](events []E, header func(E) profile.Header) {
	slices.SortStableFunc(events, func(a, b E) int {
		x, y := header(a), header(b)
		if x.Epoch == y.Epoch {
			return cmp.Compare(x.Sequence, y.Sequence)
		}
		return cmp.Compare(x.Time, y.Time)
	})
}
