// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// Scan implements [store.Reader]. It gives what was stored when it began, and
// holds no lock while the caller is at it. The bytes are the caller's own.
func (s *Store) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		s.mu.RLock()
		entries, closed := s.entries, s.closed
		s.mu.RUnlock()
		if closed {
			yield(store.Entry{}, fmt.Errorf("scan memory: %w", ErrClosed))
			return
		}
		given := 0
		for e := range inOrder(entries, q) {
			if err := ctx.Err(); err != nil {
				yield(store.Entry{}, fmt.Errorf("scan memory: %w", err))
				return
			}
			if !selects(q, &e.Header) {
				continue
			}
			out := *e
			if out.Raw = nil; !q.WithoutRaw {
				out.Raw = bytes.Clone(e.Raw)
			}
			if !yield(out, nil) {
				return
			}
			if given++; given == q.Limit {
				return
			}
		}
	}
}

// inOrder gives the entries between which q begins and ends, in its order.
func inOrder(entries []store.Entry, q store.Query) iter.Seq[*store.Entry] {
	// behind returns the index of the first entry behind a place.
	behind := func(c store.Cursor) int {
		i, found := slices.BinarySearchFunc(entries, c, func(e store.Entry, c store.Cursor) int { return place(&e).Compare(c) })
		if found {
			i++
		}
		return i
	}
	first, last := 0, len(entries)
	if q.AsOf != 0 {
		last = behind(store.Cursor{Commit: q.AsOf, Pos: ^uint32(0)})
	}
	if q.After != (store.Cursor{}) {
		if at := behind(q.After); !q.Descending {
			first = at
		} else if last = min(last, at); at > 0 && place(&entries[at-1]) == q.After {
			last = min(last, at-1)
		}
	}
	return func(yield func(*store.Entry) bool) {
		for n := range last - first {
			i := first + n
			if q.Descending {
				i = last - 1 - n
			}
			if !yield(&entries[i]) {
				return
			}
		}
	}
}

func place(e *store.Entry) store.Cursor { return store.Cursor{Commit: e.Commit, Pos: e.Pos} }

// selects reports whether q wants an event, wherever it is.
func selects(q store.Query, h *profile.Header) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return (q.Since == 0 || h.Time >= q.Since) && (q.Until == 0 || h.Time < q.Until) &&
		is(q.Tenant, h.Tenant) && (len(q.Kinds) == 0 || slices.Contains(q.Kinds, h.Kind)) &&
		is(q.Event, h.MetadataUID) && is(q.Operation, h.OperationUID) && is(q.Trace, h.TraceUID) && is(q.Epoch, h.Epoch) && q.Holds(h)
}

// Statements implements [store.Writer]: the bytes of [Statement]s. They are the
// caller's own.
func (s *Store) Statements(number uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for ; ; number++ {
			s.mu.RLock()
			statements, closed := s.statements, s.closed
			s.mu.RUnlock()
			switch {
			case closed:
				yield(nil, fmt.Errorf("read statement %d of memory: %w", number, ErrClosed))
				return
			case number < 1 || number > uint64(len(statements)):
				return
			case !yield(bytes.Clone(statements[number-1]), nil):
				return
			}
		}
	}
}

// Quarantined implements [store.Quarantine].
func (s *Store) Quarantined(ctx context.Context) iter.Seq2[store.Held, error] {
	return func(yield func(store.Held, error) bool) {
		s.mu.RLock()
		held, closed := s.held, s.closed
		s.mu.RUnlock()
		if closed {
			yield(store.Held{}, fmt.Errorf("read quarantine of memory: %w", ErrClosed))
			return
		}
		for i := range held {
			if err := ctx.Err(); err != nil {
				yield(store.Held{}, fmt.Errorf("read quarantine of memory: %w", err))
				return
			}
			h := held[i]
			h.Quarantined = cloneQuarantined(&held[i].Quarantined)
			if !yield(h, nil) {
				return
			}
		}
	}
}
