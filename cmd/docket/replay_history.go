// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/collector/follow"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/verify"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A history is a [replay.Source] over a data directory, or over a server.
type history struct {
	client *reading.Client
	bar    *cli.Progress // of the events that are read; nil: there is none

	// narrow is CEL that holds for every event of the operations that are asked for.
	narrow string
	// end is the last event that is read, wherever it is pinned.
	end *store.Cursor
	// since is from when on what is stored matters to Verified; zero is always.
	since    time.Time
	verified bool   // it was judged, and is whole
	begins   func() // is called when it is read from its beginning; may be nil
}

// Events implements [replay.Source]; where is a filter in CEL. Whoever ends ctx
// gets its error: what was read until then is not the history.
func (h *history) Events(ctx context.Context, where string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		asked := &auditv1.TailRequest{All: true, Filter: both(h.narrow, where)}
		done := int64(0)
		if h.begins != nil {
			h.begins()
		}
		for item, err := range h.client.Follow(ctx, asked) {
			if err != nil {
				yield(nil, err)
				return
			}
			behind, err := h.behind(item)
			if err != nil {
				yield(nil, err)
				return
			}
			if behind {
				break
			}
			if item.GetEvent() == nil {
				continue
			}
			if done++; h.bar != nil && done%1000 == 0 {
				h.bar.Set(done, done)
			}
			if !yield(item.GetEvent(), nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, fmt.Errorf("read events: %w", err))
		}
	}
}

// both returns a filter for which two hold; "" holds always.
func both(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return "(" + a + ") && (" + b + ")"
}

// behind says whether an item is behind the end of the history.
func (h *history) behind(item *auditv1.TailResponse) (bool, error) {
	if h.end == nil {
		return false, nil
	}
	at, err := follow.Place(item.GetResumeToken())
	if err != nil {
		return false, fmt.Errorf("where the answer ends: %w", err)
	}
	return at.Compare(*h.end) > 0, nil
}

// newest returns the token of the last event that is stored by now, "" when none
// is.
func (h *history) newest(ctx context.Context) (string, error) {
	token := ""
	for item, err := range h.client.Follow(ctx, &auditv1.TailRequest{Last: 1}) {
		if err != nil {
			return "", err
		}
		token = item.GetResumeToken()
	}
	return token, ctx.Err()
}

// pin ends the history at a token. Every reading from then on gives the same
// events, but for those that leave the store.
func (h *history) pin(token string) error {
	h.end = &store.Cursor{} // before everything
	if token == "" {
		return nil
	}
	at, err := follow.Place(token)
	if err != nil {
		return fmt.Errorf("where the history ends: %w", err)
	}
	h.end = &at
	return nil
}

// has says whether a token is of what the client reads: of the same store, in
// this state or in an earlier one.
func (h *history) has(ctx context.Context, token string) error {
	if token == "" {
		return nil
	}
	for _, err := range h.client.Follow(ctx, &auditv1.TailRequest{ResumeToken: token, Filter: `metadata_uid == "-"`}) {
		return err
	}
	return ctx.Err()
}

// A damagedError says why a history is not taken for what was recorded.
type damagedError struct {
	Dir      string
	Problems []string // the first of them
	More     int
}

// Error implements error.
func (e *damagedError) Error() string {
	text := fmt.Sprintf("the history in %s is not whole and unchanged:", e.Dir)
	for _, p := range e.Problems {
		text += "\n  " + p
	}
	if e.More > 0 {
		text += "\n  and " + cli.Count(int64(e.More), "more problem")
	}
	return text
}

// Hint is for the command line.
func (e *damagedError) Hint() string {
	return "`docket verify --deep` says everything; without --verified what can be read is replayed as it is"
}

// errCannotTell says that nobody can judge the history from here.
var errCannotTell = errors.New("a server cannot tell whether its history is whole and unchanged")

// maxProblems bounds what an error names.
const maxProblems = 8

// Verified judges the directory as `docket verify` does, from the time on that is
// asked for.
func (h *history) Verified(ctx context.Context) error {
	if h.verified {
		return nil
	}
	if h.client.Dir == "" {
		return cli.Hint(fmt.Errorf("context %s: %w", h.client.Server, errCannotTell),
			"run it on the machine with the directory: docket replay --verified --data DIR")
	}
	r, err := verify.Run(ctx, h.client.Dir, verify.Options{Since: h.since})
	if err != nil {
		return fmt.Errorf("verify the history: %w", err)
	}
	if r.Code() == verify.CodeFine {
		h.verified = true
		return nil
	}
	e := &damagedError{Dir: h.client.Dir, More: r.Omitted}
	for _, p := range r.Problems {
		if len(e.Problems) == maxProblems {
			e.More += len(r.Problems) - maxProblems
			break
		}
		e.Problems = append(e.Problems, strings.TrimSpace(p.String()))
	}
	return &cli.Exit{Code: r.Code(), Err: e}
}
