// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// scan gives what q selects of files, which are those of a manifest. It verifies
// nothing; it passes over what a file's own description rules out. It looks no
// further than it must for what it gives, as many who ask want a page.
func scan(ctx context.Context, dir string, files []File, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		newScanner(dir, files, q).entries(ctx, yield)
	}
}

// entries yields what the query selects, and closes the scanner.
func (s *scanner) entries(ctx context.Context, yield func(store.Entry, error) bool) {
	defer s.close()
	if err := s.scan(ctx, func(e store.Entry) bool { return yield(e, nil) }); err != nil {
		yield(store.Entry{}, failed("read lake", s.dir, err))
	}
}

// scan calls give with the entries until it wants no more.
func (s *scanner) scan(ctx context.Context, give func(store.Entry) bool) error {
	given := 0
	for size := s.bounds.first; ; size = min(2*size, s.bounds.window) {
		most := int(max(1, s.bounds.window/leastBytes))
		if s.query.Limit > 0 {
			most = min(most, s.query.Limit-given)
		}
		window, err := s.next(ctx, size, most)
		if err != nil || len(window) == 0 {
			return err
		}
		entries, err := s.fetch(ctx, window)
		if err != nil {
			return err
		}
		for i := range entries {
			e, err := s.finish(&entries[i], window[i])
			if err != nil {
				return err
			}
			if !give(e) {
				return nil
			}
			entries[i] = store.Entry{} // it is the caller's now
		}
		s.release(window)
		given += len(entries)
		if given == s.query.Limit {
			return nil
		}
	}
}

// finish makes what was read of a row an entry.
func (s *scanner) finish(e *store.Entry, p pick) (store.Entry, error) {
	m := p.match()
	e.Commit, e.Pos, e.StreamSeq, e.StoredTime = m.commit, m.pos, m.streamSeq, time.UnixMilli(m.stored).UTC()
	if s.query.WithoutRaw {
		return *e, nil
	}
	var err error
	if e.Header, err = profile.Parse(e.Raw); err != nil {
		return store.Entry{}, p.unreadable(err)
	}
	return *e, nil
}

func (p pick) unreadable(err error) error {
	m := p.match()
	return fmt.Errorf("%s: %w: row %d of commit %d: %w", p.of.source.path, ErrCorrupt, m.pos, m.commit, err)
}

// possible reports whether a file can hold what q selects.
func possible(f *File, q store.Query) bool {
	within := func(v, lo, hi string) bool { return v == "" || lo <= v && v <= hi }
	switch {
	case q.Since != 0 && f.MaxTime < q.Since, q.Until != 0 && f.MinTime >= q.Until:
		return false
	case !within(q.Event, f.MinEvent, f.MaxEvent), !within(q.Operation, f.MinOperation, f.MaxOperation):
		return false
	case q.AsOf != 0 && f.FirstCommit > q.AsOf:
		return false
	case q.After != (store.Cursor{}) && !q.Descending && f.LastCommit < q.After.Commit:
		return false
	case q.After != (store.Cursor{}) && q.Descending && f.FirstCommit > q.After.Commit:
		return false
	}
	for column, values := range q.Texts {
		if len(values) == 0 || !store.IsText(column) {
			return false
		}
	}
	if q.Epoch != "" {
		if _, ok := f.Epochs[q.Epoch]; !ok {
			return false
		}
	}
	return true
}

// A filter judges the rows of one column.
type filter struct {
	column string
	keep   func(c *chunk, i int) bool
}

func filters(q store.Query) []filter {
	var fs []filter
	equal := func(column, want string) {
		if want != "" {
			fs = append(fs, filter{column, func(c *chunk, i int) bool { return string(c.texts[i]) == want }})
		}
	}
	// The most selective first.
	equal("metadata_uid", q.Event)
	equal("operation_uid", q.Operation)
	equal("trace_uid", q.Trace)
	equal("epoch", q.Epoch)
	equal("tenant", q.Tenant)
	among := func(column string, values []string) {
		fs = append(fs, filter{column, func(c *chunk, i int) bool {
			return slices.ContainsFunc(values, func(v string) bool { return string(c.texts[i]) == v })
		}})
	}
	for _, column := range slices.Sorted(maps.Keys(q.Texts)) {
		among(column, q.Texts[column])
	}
	if len(q.Kinds) > 0 {
		among("kind", q.Kinds)
	}
	if q.Since != 0 || q.Until != 0 {
		fs = append(fs, filter{"time", func(c *chunk, i int) bool {
			t := c.longs[i]
			return (q.Since == 0 || t >= q.Since) && (q.Until == 0 || t < q.Until)
		}})
	}
	return fs
}

// matches returns the rows of a group that the query selects, in the order of
// the file.
func (s *scanner) matches(ctx context.Context, seg *segment, group int) ([]match, error) {
	keep, err := s.keep(ctx, seg, group)
	if err != nil || keep != nil && !slices.Contains(keep, true) {
		return nil, err
	}
	var rows []match
	row := int32(0)
	err = seg.chunks(ctx, group, placeColumns, s.columns[:len(placeColumns)], func(n int, c []chunk) error {
		commits, positions, stored, streamSeqs := c[0].longs, c[1].ints, c[2].longs, c[3].longs
		for i := range n {
			at := store.Cursor{Commit: uint64(commits[i]), Pos: uint32(positions[i])}
			if (keep == nil || keep[row]) && behind(s.query, at) {
				rows = append(rows, match{at.Commit, uint64(streamSeqs[i]), stored[i], at.Pos, row})
			}
			row++
		}
		return nil
	})
	return rows, err
}

// keep says which rows of a group pass the filters; nil is all of them.
func (s *scanner) keep(ctx context.Context, seg *segment, group int) ([]bool, error) {
	var keep []bool
	for n, f := range s.filters {
		row := 0
		err := seg.chunks(ctx, group, []string{f.column}, s.columns[:1], func(rows int, c []chunk) error {
			for i := range rows {
				ok := f.keep(&c[0], i)
				if n == 0 {
					keep = append(keep, ok)
				} else if !ok {
					keep[row] = false
				}
				row++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if !slices.Contains(keep, true) {
			return []bool{}, nil
		}
	}
	return keep, nil
}
