// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/store"
)

const (
	defaultPage  = 100
	maxPage      = 1000
	maxPageBytes = 16 << 20 // of events; a page is held a few times over while it is made
)

// page is the answer of GET /v1/events, a fixed contract.
type page struct {
	Events        []json.RawMessage `json:"events"`
	NextPageToken string            `json:"next_page_token"`
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	size, err := number(v.Get("page_size"), "page_size", defaultPage, 1, maxPage)
	if err != nil {
		writeError(w, err)
		return
	}
	f, err := parseFilter(v.Get("filter"))
	if err != nil {
		writeError(w, err)
		return
	}
	var after store.Cursor
	if token := v.Get("page_token"); token != "" {
		if after, err = parseToken(token); err != nil {
			writeError(w, err)
			return
		}
	}
	// One more than the page tells whether there is a next one.
	answer := page{Events: []json.RawMessage{}}
	var last store.Cursor
	bytes := 0
	err = s.scan(r.Context(), store.Query{After: after}, f, func(e *store.Entry) error {
		bytes += len(e.Raw)
		if n := len(answer.Events); n == size || n > 0 && bytes > maxPageBytes {
			answer.NextPageToken = token(last)
			return errEnough
		}
		answer.Events = append(answer.Events, slices.Clone(e.Raw))
		last = store.Cursor{Commit: e.Commit, Pos: e.Pos}
		return nil
	})
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
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
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return err
}

// errEnough ends a scan that has what it wanted.
var errEnough = errors.New("enough")

// scan calls do for each entry that q and the filter select.
func (s *Server) scan(ctx context.Context, q store.Query, f *filter.Filter, do func(*store.Entry) error) error {
	f.Narrow(&q)
	for e, err := range s.cfg.Store.Scan(ctx, q) {
		if err != nil {
			return err
		}
		ok, err := f.Matches(&e.Header)
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

// A page token is the cursor of the page's last event.
func token(c store.Cursor) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", c.Commit, c.Pos))
}

func parseToken(t string) (store.Cursor, error) {
	var c store.Cursor
	b, err := base64.RawURLEncoding.DecodeString(t)
	if err == nil {
		_, err = fmt.Sscanf(string(b), "%d.%d", &c.Commit, &c.Pos)
	}
	if err != nil || token(c) != t {
		return c, fmt.Errorf("%w: page_token is none that this server gave", ErrInvalid)
	}
	return c, nil
}

func number(s, name string, otherwise, low, high int) (int, error) {
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low {
		return 0, fmt.Errorf("%w: %s is %q, not a number from %d", ErrInvalid, name, s, low)
	}
	return min(n, high), nil
}

// tail sends the last stored events that the filter selects, then, with
// follow, each one that is committed, until the caller goes or Drain.
func (s *Server) tail(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	last, all := 0, v.Get("last") == "all"
	var err error
	if !all {
		if last, err = number(v.Get("last"), "last", 10, 0, math.MaxInt); err != nil {
			writeError(w, err)
			return
		}
	}
	f, err := parseFilter(v.Get("filter"))
	if err != nil {
		writeError(w, err)
		return
	}
	var after store.Cursor
	if !all {
		if after, err = s.before(r.Context(), last, f); err != nil {
			writeError(w, err)
			return
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Trailer", ErrorTrailer)
	err = s.follow(r.Context(), after, v.Get("follow") == "true", f, w)
	if err != nil && r.Context().Err() == nil {
		s.cfg.Log.WarnContext(r.Context(), "tail ended", "error", err)
		fail(w, err)
	}
}

// before returns the cursor behind which the last n events are that f
// selects by now. It counts them and keeps none: they are sent as they are read
// again, and may be more than memory can hold.
func (s *Server) before(ctx context.Context, n int, f *filter.Filter) (store.Cursor, error) {
	head := s.cfg.Commits()
	if n == 0 || head == 0 {
		return store.Cursor{Commit: head, Pos: math.MaxUint32}, nil
	}
	var after store.Cursor
	q := store.Query{After: store.Cursor{Commit: head + 1}, Descending: true, WithoutRaw: true}
	err := s.scan(ctx, q, f, func(e *store.Entry) error {
		if n--; n > 0 {
			return nil
		}
		after = store.Cursor{Commit: e.Commit - 1, Pos: math.MaxUint32}
		if e.Pos > 0 {
			after = store.Cursor{Commit: e.Commit, Pos: e.Pos - 1}
		}
		return errEnough
	})
	return after, err // fewer than n are all of them
}

// follow sends what is behind after and then, if more shall come, each commit.
func (s *Server) follow(ctx context.Context, after store.Cursor, more bool, f *filter.Filter, w http.ResponseWriter) error {
	tick := time.NewTicker(s.cfg.Poll)
	defer tick.Stop()
	out := http.NewResponseController(w)
	for last := !more; ; {
		now := s.cfg.Commits()
		if end := (store.Cursor{Commit: now, Pos: math.MaxUint32}); after.Compare(end) < 0 {
			err := s.scan(ctx, store.Query{After: after}, f, func(e *store.Entry) error {
				if e.Commit > now {
					return errEnough
				}
				_, err := w.Write(append(slices.Clone(e.Raw), '\n'))
				return err
			})
			if err != nil {
				return err
			}
			after = end
		}
		if err := out.Flush(); err != nil || last {
			return err
		}
		select {
		case <-tick.C:
		case <-s.drain:
			last = true
		case <-ctx.Done():
			return nil
		}
	}
}
