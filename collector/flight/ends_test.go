// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package flight

import (
	"context"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/collector/sql"
)

const endless = "SELECT range AS n, repeat('x', 100) AS s FROM range(100000000000)"

// Whoever leaves, cancels, or is not entitled any more in the midst of a large
// answer leaves nothing running.
func TestEnds(t *testing.T) {
	begin := func(t *testing.T, h *house, ctx context.Context) (*flightsql.Client, *flight.FlightInfo, *flight.Reader) {
		t.Helper()
		c := h.client()
		info, err := c.Execute(ctx, endless)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.DoGet(ctx, info.Endpoint[0].Ticket)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Next() {
			t.Fatal(r.Err())
		}
		return c, info, r
	}
	// end reads to the end of a stream.
	end := func(r *flight.Reader) error {
		defer r.Release()
		for r.Next() {
		}
		return r.Err()
	}
	t.Run("context", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		ctx, cancel := context.WithCancel(as(t.Context(), "acme"))
		_, _, r := begin(t, h, ctx)
		cancel()
		wantCode(t, "read on", end(r), codes.Canceled, "")
		if err := h.door.Shutdown(t.Context()); err != nil { // which waits
			t.Error(err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		ctx, cancel := context.WithTimeout(as(t.Context(), "acme"), 2*time.Second)
		defer cancel()
		c := h.client()
		info, err := c.Execute(as(t.Context(), "acme"), "SELECT count(*) FROM range(100000) a, range(10000000) b WHERE hash(a.range, b.range) = 0")
		if err != nil {
			t.Fatal(err)
		}
		_, err = got(ctx, c, info, nil)
		wantCode(t, "a cross join", err, codes.DeadlineExceeded, "")
		if err := h.door.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("limit", func(t *testing.T) {
		h := newHouse(t, sql.Limits{Total: time.Second}, nil)
		_, err := ask(as(t.Context(), "acme"), h.client(), "SELECT count(*) FROM range(100000) a, range(10000000) b WHERE hash(a.range, b.range) = 0")
		wantCode(t, "a cross join", err, codes.DeadlineExceeded, "longer than 1s")
	})
	t.Run("cancel", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		ctx := as(t.Context(), "acme")
		c, info, r := begin(t, h, ctx)
		out, err := c.CancelFlightInfo(as(t.Context(), "globex"), &flight.CancelFlightInfoRequest{Info: info})
		if err != nil || out.Status != flight.CancelStatusNotCancellable {
			t.Errorf("another's cancel: %v, %v", out, err)
		}
		if out, err = c.CancelFlightInfo(ctx, &flight.CancelFlightInfoRequest{Info: info}); err != nil || out.Status != flight.CancelStatusCancelled {
			t.Errorf("cancel: %v, %v", out, err)
		}
		wantCode(t, "read on", end(r), codes.Canceled, "cancelled")
		if out, err = c.CancelFlightInfo(ctx, &flight.CancelFlightInfoRequest{Info: info}); err != nil || out.Status != flight.CancelStatusNotCancellable {
			t.Errorf("a second cancel: %v, %v", out, err)
		}
		if err := h.door.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("expiry", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		g := grant("ann", "acme")
		g.Expires = time.Now().Add(2 * time.Second)
		h.grants["short"] = g
		_, _, r := begin(t, h, as(t.Context(), "short"))
		wantCode(t, "read on", end(r), codes.Unauthenticated, "expired")
		_, err := ask(as(t.Context(), "short"), h.client(), "SELECT 1")
		wantCode(t, "ask again", err, codes.Unauthenticated, "expired")
		_, err = h.client().GetCatalogs(as(t.Context(), "short"))
		wantCode(t, "ask for what is no secret", err, codes.Unauthenticated, "expired")
	})
	t.Run("expiry while nobody reads", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		g := grant("ann", "acme")
		g.Expires = time.Now().Add(2 * time.Second)
		h.grants["short"] = g
		_, _, r := begin(t, h, as(t.Context(), "short"))
		h.door.work.Wait() // the caller has yet to hear of it
		if left := children(t); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
		wantCode(t, "read on", end(r), codes.Unauthenticated, "expired")
	})
	t.Run("stall", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, func(c *Config) { c.Stall = 500 * time.Millisecond })
		_, _, r := begin(t, h, as(t.Context(), "acme"))
		h.door.work.Wait()
		if left := children(t); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
		wantCode(t, "read on", end(r), codes.DeadlineExceeded, "no batch was taken")
	})
	t.Run("stop", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		_, _, r := begin(t, h, as(t.Context(), "acme"))
		h.shut()
		if err := end(r); err == nil {
			t.Error("the answer has an end")
		}
	})
}
