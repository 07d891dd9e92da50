// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/serve"
)

// actions are what the running docket does with what is stored when it is asked.
func (d *daemon) actions() map[string]serve.Action {
	return map[string]serve.Action{"erase": d.erase, "expire": d.expire, "holds": d.changeHolds}
}

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
	if o.Add != nil {
		return book.Add(*o.Add, now)
	}
	return book.Remove(o.Remove, o.Reason, o.By, now)
}

func readOrder(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %w", serve.ErrInvalid, err)
	}
	return nil
}

// telling makes of what tells lines what tells of statements.
func telling(tell func(any) error) func(retention.Left) {
	return func(l retention.Left) { _ = tell(l) } // who does not listen any more gets no error either
}

func (d *daemon) erase(ctx context.Context, body []byte, tell func(any) error) error {
	var e retention.Erasure
	if err := readOrder(body, &e); err != nil {
		return err
	}
	all, err := d.record.Collector.Erase(ctx, e, telling(tell))
	if err != nil {
		return fmt.Errorf("%w: %w", serve.ErrRefused, err)
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
		return fmt.Errorf("%w: %w", serve.ErrRefused, err)
	}
	return tell(leftTotal{all, true})
}

func (d *daemon) changeHolds(ctx context.Context, body []byte, tell func(any) error) error {
	var o holdOrder
	if err := readOrder(body, &o); err != nil {
		return err
	}
	var changed retention.Hold
	err := d.record.Collector.Hold(ctx, func(book *retention.Book, now time.Time) (err error) {
		changed, err = o.do(book, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", serve.ErrRefused, err)
	}
	return tell(changed)
}

// A leftTotal is the last line of an answer: all that was done.
type leftTotal struct {
	retention.Left
	Total bool `json:"total"`
}
