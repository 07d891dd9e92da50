// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A replayCase is one recorded operation with what it is to be replayed through.
type replayCase struct {
	client *reading.Client
	events [][]byte // of the operation
	op     *activity.Operation
	plan   *interceptor.Plan // nil when noPlan says why it is not here
	noPlan error
	cast   *cast
	file   *chainfile.File // nil when the plan is the recorded one
}

// openCase finds the operation that has uid, or an event or evaluation that has,
// and the plan: that of a chain file, or the one that was in force.
func openCase(ctx context.Context, dir, uid, chain string, stderr io.Writer) (*replayCase, error) {
	if uid == "" {
		return nil, cli.Usage(cli.Hint(errors.New("an empty uid is of no operation"), "`docket search --kind outcome` prints the uids of operations"))
	}
	client, err := reading.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	c := &replayCase{client: client, cast: newCast(dir)}
	if err := c.open(ctx, dir, uid, chain, stderr); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *replayCase) open(ctx context.Context, dir, uid, chain string, stderr io.Writer) error {
	var err error
	if c.events, err = eventsOf(ctx, c.client, uid); err != nil {
		return err
	}
	for op, err := range activity.Operations(eachOf(c.events)) {
		if err != nil {
			return fmt.Errorf("read operation: %w", err)
		}
		c.op = op
	}
	if c.op == nil {
		return cli.Hint(fmt.Errorf("the store has no evaluation and no outcome of operation %s", uid), "events that left by retention or erasure cannot be replayed")
	}
	if chain != "" {
		if c.file, err = chainfile.Load(ctx, chain, c.cast.link(), c.cast.dialer()); err != nil {
			return err
		}
		for _, w := range c.file.Warnings {
			fmt.Fprintf(stderr, "docket: warning: %s\n", cli.Escape(w))
		}
		c.plan = c.file.Plan
	} else {
		c.plan, err = recordedPlan(dir, c.op.Plan, c.cast.link())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.noPlan = err
		case err != nil:
			return err
		default:
			c.cast.dial(ctx, c.plan)
		}
	}
	c.cast.say(stderr)
	return nil
}

func (c *replayCase) close() {
	if c.file != nil {
		_ = c.file.Close() // nothing is under way any more
	}
	c.cast.close()
	c.client.Close()
}

// eventsOf returns the events of an operation, by its uid or by that of one of
// its events or evaluations.
func eventsOf(ctx context.Context, client *reading.Client, uid string) ([][]byte, error) {
	timeline, err := timelineOf(ctx, client, uid)
	if err != nil {
		other, lookErr := operationWith(ctx, client, uid)
		if lookErr != nil {
			return nil, lookErr
		}
		if other == "" || other == uid {
			return nil, err
		}
		if timeline, err = timelineOf(ctx, client, other); err != nil {
			return nil, err
		}
	}
	events := make([][]byte, len(timeline))
	for i, m := range timeline {
		events[i] = m.raw
	}
	return events, nil
}

// operationWith returns the uid of the operation that an event or an evaluation
// is of; "" when there is none.
func operationWith(ctx context.Context, client *reading.Client, uid string) (string, error) {
	found, err := client.Audit.GetEvent(ctx, &auditv1.GetEventRequest{Uid: uid})
	raw := found.GetEvent()
	if status.Code(err) == codes.NotFound || status.Code(err) == codes.InvalidArgument {
		err = nil
		for event, failed := range client.Search(ctx, &auditv1.SearchEventsRequest{Filter: "evaluation_uid == " + strconv.Quote(uid)}, 1) {
			raw, err = event, failed
		}
	} else if err != nil {
		err = client.Answered(err)
	}
	if err != nil || raw == nil {
		return "", err
	}
	h, err := profile.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("read event: %w", err)
	}
	return h.OperationUID, nil
}

// How many events, and how much of them, are read for the values that others had.
const (
	maxHistory      = 4000
	maxHistoryBytes = 64 << 20
)

// allowedLike returns the newest operations of the same method and tenant that
// were allowed.
func (c *replayCase) allowedLike(ctx context.Context) ([]*activity.Operation, error) {
	request := &auditv1.SearchEventsRequest{
		NewestFirst: true,
		Filter: fmt.Sprintf(`kind in ["evaluation", "outcome"] && tenant == %s && service == %s && method == %s`,
			strconv.Quote(or(c.op.Tenant, defaultTenant)), strconv.Quote(c.op.Service), strconv.Quote(c.op.Method)),
	}
	var events [][]byte
	size := 0
	for raw, err := range c.client.Search(ctx, request, maxHistory) {
		if err != nil {
			return nil, err
		}
		if size += len(raw); size > maxHistoryBytes {
			break
		}
		events = append(events, slices.Clone(raw))
	}
	slices.Reverse(events)
	var ops []*activity.Operation
	for op, err := range activity.Operations(eachOf(events)) {
		if err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		ops = append(ops, op)
	}
	slices.Reverse(ops)
	return ops, nil
}

// defaultTenant is the tenant of operations that have none.
const defaultTenant = "default"

// planSince returns when the plan came into force for the operation, as RFC 3339;
// "" where the store does not say.
func (c *replayCase) planSince(ctx context.Context) (string, error) {
	request := &auditv1.SearchEventsRequest{
		NewestFirst: true, Filter: `kind == "lifecycle" && class_uid == 3004 && plan_digest == ` + strconv.Quote(c.op.Plan),
	}
	if !c.op.Start.IsZero() {
		request.Until = timestamppb.New(c.op.Start)
	}
	for raw, err := range c.client.Search(ctx, request, 1) {
		if err != nil {
			return "", err
		}
		h, err := profile.Parse(raw)
		if err != nil {
			return "", fmt.Errorf("read event: %w", err)
		}
		return csvTime(h.Time), nil
	}
	return "", nil
}

// eachOf yields events that are in memory.
func eachOf(events [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, raw := range events {
			if !yield(raw, nil) {
				return
			}
		}
	}
}
