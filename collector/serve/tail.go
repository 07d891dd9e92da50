// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/follow"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

var everything = new(filter.Filter)

// Tail implements [auditv1.AuditServiceServer]. What a tail promises is promised
// by package follow.
func (s *service) Tail(r *auditv1.TailRequest, to grpc.ServerStreamingServer[auditv1.TailResponse]) error {
	o, err := tailOptions(to.Context(), r)
	if err != nil {
		return err
	}
	leave, err := s.tails.enter(authz.FromContext(to.Context()))
	if err != nil {
		return err
	}
	defer leave()
	hub, err := s.hub()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(to.Context())
	defer cancel(nil)
	var watching <-chan struct{}
	if !o.Stored {
		watching = s.drain
	}
	go func() { // ends with ctx
		select {
		case <-watching:
			cancel(errDrained)
		case <-ctx.Done():
		}
	}()
	t := tail{to: to}
	err = t.send(ctx, hub, o)
	if errors.Is(err, errDrained) {
		// What is stored by now is sent yet.
		err = t.send(to.Context(), hub, follow.Options{After: t.token, View: o.View, Filter: o.Filter, Stored: true, Whole: true})
	}
	return err
}

// errDrained ends a tail that follows when the server stops.
var errDrained = errors.New("the server stops")

func tailOptions(ctx context.Context, r *auditv1.TailRequest) (o follow.Options, err error) {
	sel, err := selectionOf(ctx, r)
	if err != nil {
		return o, err
	}
	given := 0
	for _, is := range []bool{r.GetResumeToken() != "", r.GetAll(), r.GetLast() != 0, r.GetSince() != nil} {
		if is {
			given++
		}
	}
	o = follow.Options{
		After: r.GetResumeToken(), All: r.GetAll(), Last: int(r.GetLast()),
		View: sel.view, Filter: sel.filter, Stored: !r.GetFollow(), Whole: r.GetWhole() || !r.GetFollow(),
	}
	switch {
	case given > 1:
		return o, invalidf("resume_token", "resume_token, all, last and since exclude each other")
	case r.GetLast() < 0:
		return o, invalidf("last", "%d is not a number of events", r.GetLast())
	case r.GetSince() != nil:
		if err := r.GetSince().CheckValid(); err != nil {
			return o, invalidf("since", "%w", err)
		}
		o.Since = r.GetSince().AsTime()
	}
	return o, nil
}

// A tail is what one caller gets.
type tail struct {
	to     grpc.ServerStreamingServer[auditv1.TailResponse]
	token  string // of what was sent last
	caught bool   // it was said that what follows is new
}

// send sends what the hub gives.
func (t *tail) send(ctx context.Context, hub *follow.Hub, o follow.Options) error {
	for item, err := range hub.Follow(ctx, o) {
		var refused *follow.TokenError
		switch {
		case errors.As(err, &refused):
			return &invalid{"resume_token", err}
		case err != nil:
			return faulty(err)
		}
		t.token = item.Token()
		resp := &auditv1.TailResponse{ResumeToken: t.token}
		if !t.put(item, resp, o.Stored) {
			continue
		}
		if item.Entry != nil {
			sent(ctx, 1)
		}
		if err := t.to.Send(resp); err != nil {
			return err
		}
	}
	return nil
}

// put makes an item what is sent of it; there may be nothing to send.
func (t *tail) put(item follow.Item, resp *auditv1.TailResponse, stored bool) bool {
	switch {
	case item.Entry != nil:
		resp.Item = &auditv1.TailResponse_Event{Event: item.Entry.Raw} // nobody changes it
	case item.Gap != nil:
		g := &auditv1.Gap{Reason: item.Gap.Reason, Tenant: item.Gap.Tenant, Emitter: item.Gap.Emitter, Epoch: item.Gap.Epoch, Count: item.Gap.Count}
		for _, r := range item.Gap.Ranges {
			g.Ranges = append(g.Ranges, &auditv1.Range{First: r.First, Last: r.Last})
		}
		resp.Item = &auditv1.TailResponse_Gap{Gap: g}
	case item.Missed != nil:
		m := &auditv1.Missed{Events: item.Missed.Events, ResumeToken: item.Missed.From, Reason: fmt.Sprintf("too slow for %d events and %d gaps", item.Missed.Events, item.Missed.Gaps)}
		if item.Missed.Events > 0 {
			m.First, m.Last = timestamppb.New(time.UnixMilli(item.Missed.First)), timestamppb.New(time.UnixMilli(item.Missed.Last))
		}
		resp.Item = &auditv1.TailResponse_Missed{Missed: m}
	case stored:
		return false // there is nothing new
	case !t.caught:
		t.caught = true
		resp.Item = &auditv1.TailResponse_CaughtUp{CaughtUp: &auditv1.CaughtUp{Live: item.Position.Live, Reason: item.Position.Reason}}
	default:
		resp.Item = &auditv1.TailResponse_Position{Position: &auditv1.Position{Live: item.Position.Live, Reason: item.Position.Reason}}
	}
	return true
}
