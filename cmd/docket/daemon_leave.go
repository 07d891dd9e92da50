// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/store"
)

// actions are what the running docket does with what is stored when it is asked.
func (d *daemon) actions() map[string]serve.Action {
	if d.record.ClickHouse != nil {
		no := func(context.Context, []byte, func(any) error) error {
			return fmt.Errorf("%w: %w", serve.ErrRefused, cli.Hint(errOwnTTL, "%s", noOrders))
		}
		return map[string]serve.Action{"erase": no, "expire": no, "holds": no}
	}
	return map[string]serve.Action{"erase": d.erase, "expire": d.expire, "holds": d.changeHolds}
}

// noOrders is what there is where nothing leaves by order.
const noOrders = "[lake] retention and retention_rules say how long a server keeps events; to erase for a reason is for who owns the server. docs/clickhouse.md"

var errOwnTTL = errors.New("the events are in ClickHouse, which lets go of them by itself, and knows no holds and no erasures")

// An expireOrder is the body of POST /v1/expire.
type expireOrder struct {
	TrustClock bool `json:"trust_clock"`
}

// A holdOrder is the body of POST /v1/holds: a hold to place, or the name of one
// to take away.
type holdOrder struct {
	Add    *retention.Hold `json:"add,omitempty"`
	Remove string          `json:"remove,omitempty"`
	Reason string          `json:"reason,omitempty"` // of a removal
	By     string          `json:"by,omitempty"`
}

// do changes the book.
func (o *holdOrder) do(book *retention.Book, now time.Time) (h retention.Hold, err error) {
	if (o.Add != nil) == (o.Remove != "") {
		return h, &retention.OrderError{Err: errors.New(`change holds: give "add" with a hold, or "remove" with the ID of one`)}
	}
	if o.Add != nil {
		return book.Add(*o.Add, now)
	}
	return book.Remove(o.Remove, o.Reason, o.By, now)
}

// readOrder refuses what it does not know: an order to erase that lost a condition
// to a misspelling would erase more than was meant.
func readOrder(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", serve.ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is something behind the order", serve.ErrInvalid)
	}
	return nil
}

// refused is the answer to an order that was not carried out: for what it says, for
// what there is and is not, or for the state of things.
func refused(err error) error {
	var order *retention.OrderError
	switch {
	case errors.As(err, &order):
		return serve.Invalid(order.Field, err)
	case errors.Is(err, retention.ErrNoHold):
		return fmt.Errorf("%w: %w", store.ErrNotFound, err)
	case errors.Is(err, retention.ErrHoldExists):
		return fmt.Errorf("%w: %w", serve.ErrExists, err)
	}
	return fmt.Errorf("%w: %w", serve.ErrRefused, err)
}

// telling makes of what tells lines what tells of statements.
func telling(tell func(any) error) func(retention.Left) {
	return func(l retention.Left) { _ = tell(l) } // who does not listen any more gets no error either
}

// orderedBy names who gives an order, which the record keeps: over the socket whom
// they say, as the user of this machine may, and else who they are known to be. An
// order that names nobody, as of who erases their own events, stays so.
func orderedBy(ctx context.Context, said string) string {
	if g := authz.FromContext(ctx); said != "" && g.By != authz.BySocket {
		return g.Subject
	}
	return said
}

func (d *daemon) erase(ctx context.Context, body []byte, tell func(any) error) error {
	var e retention.Erasure
	if err := readOrder(body, &e); err != nil {
		return err
	}
	e.By = orderedBy(ctx, e.By)
	all, err := d.record.Collector.Erase(ctx, e, telling(tell))
	if err != nil {
		return refused(err)
	}
	return tell(leftTotal{all, true})
}

func (d *daemon) expire(ctx context.Context, body []byte, tell func(any) error) error {
	var o expireOrder
	if err := readOrder(body, &o); err != nil {
		return err
	}
	all, err := d.record.Collector.Expire(ctx, o.TrustClock, telling(tell))
	if err != nil {
		return refused(err)
	}
	return tell(leftTotal{all, true})
}

func (d *daemon) changeHolds(ctx context.Context, body []byte, tell func(any) error) error {
	var o holdOrder
	if err := readOrder(body, &o); err != nil {
		return err
	}
	o.By = orderedBy(ctx, o.By)
	if o.Add != nil {
		o.Add.By = orderedBy(ctx, o.Add.By)
	}
	var changed retention.Hold
	err := d.record.Collector.Hold(ctx, func(book *retention.Book, now time.Time) (err error) {
		changed, err = o.do(book, now)
		return err
	})
	if err != nil {
		return refused(err)
	}
	return tell(changed)
}

// A leftTotal is the last line of an answer: all that was done.
type leftTotal struct {
	retention.Left
	Total bool `json:"total"`
}
