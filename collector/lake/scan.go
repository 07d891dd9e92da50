// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/docket-audit/docket/collector/store"
)

// errStop ends a scan whose consumer has enough.
var errStop = errors.New("stop")

// scan gives what q selects of files, which are those of a manifest. It verifies
// nothing; it passes over what a file's own description rules out. It goes run
// by run, as the files of one run overlap in commits.
func scan(ctx context.Context, dir string, files []File, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		given := 0
		give := func(e store.Entry) error {
			if !yield(e, nil) {
				return errStop
			}
			if given++; q.Limit > 0 && given >= q.Limit {
				return errStop
			}
			return nil
		}
		s := scanner{dir: dir, query: q, filters: filters(q)}
		list := slices.Collect(Runs(files))
		if q.Descending {
			slices.Reverse(list)
		}
		for _, run := range list {
			if err := s.run(ctx, run, give); err != nil {
				if !errors.Is(err, errStop) {
					yield(store.Entry{}, failed("read lake", dir, err))
				}
				return
			}
		}
	}
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
	keep   func(a arrow.Array, i int) bool
}

func filters(q store.Query) []filter {
	var fs []filter
	equal := func(column, want string) {
		if want != "" {
			fs = append(fs, filter{column, func(a arrow.Array, i int) bool { return a.(*array.String).Value(i) == want }})
		}
	}
	// The most selective first.
	equal("metadata_uid", q.Event)
	equal("operation_uid", q.Operation)
	equal("trace_uid", q.Trace)
	equal("epoch", q.Epoch)
	equal("tenant", q.Tenant)
	if len(q.Kinds) > 0 {
		fs = append(fs, filter{"kind", func(a arrow.Array, i int) bool { return slices.Contains(q.Kinds, a.(*array.String).Value(i)) }})
	}
	if q.Since != 0 || q.Until != 0 {
		fs = append(fs, filter{"time", func(a arrow.Array, i int) bool {
			t := a.(*array.Int64).Value(i)
			return (q.Since == 0 || t >= q.Since) && (q.Until == 0 || t < q.Until)
		}})
	}
	return fs
}

// A scanner goes through a lake for one query.
type scanner struct {
	dir     string
	query   store.Query
	filters []filter
}

// A match is a row that a query selects: where it is, and where it was put.
type match struct {
	commit    uint64
	streamSeq uint64
	stored    int64
	pos       uint32
	file      int32 // of the run
	group     int32
	row       int32 // of the group
}

// placeColumns say where and when an entry was put.
var placeColumns = []string{ColumnCommit, ColumnPos, ColumnStoredTime, ColumnStreamSeq}

// run gives what the query selects of one run: it finds the rows by their light
// columns, and fetches the rest of them in commit order, a window at a time.
func (s *scanner) run(ctx context.Context, run []File, give func(store.Entry) error) error {
	var rows []match
	for i := range run {
		if !possible(&run[i], s.query) {
			continue
		}
		var err error
		if rows, err = s.matches(ctx, run[i].Path, int32(i), rows); err != nil {
			return err
		}
	}
	order := func(a, b match) int {
		return store.Cursor{Commit: a.commit, Pos: a.pos}.Compare(store.Cursor{Commit: b.commit, Pos: b.pos})
	}
	if s.query.Descending {
		slices.SortFunc(rows, func(a, b match) int { return order(b, a) })
	} else if !slices.IsSortedFunc(rows, order) {
		slices.SortFunc(rows, order)
	}
	if limit := s.query.Limit; limit > 0 && len(rows) > limit {
		rows = rows[:limit]
	}
	f := newFetcher(s.dir, run, rows, s.query.WithoutRaw)
	defer f.close()
	for entry, err := range f.entries(ctx) {
		if err != nil {
			return err
		}
		if err := give(entry); err != nil {
			return err
		}
	}
	return nil
}

// matches appends the rows of a file that the query selects.
func (s *scanner) matches(ctx context.Context, path string, file int32, rows []match) ([]match, error) {
	seg, err := openSegment(s.dir, path)
	if err != nil {
		return nil, err
	}
	defer seg.close()
	for g := range seg.groups() {
		keep, err := s.keep(ctx, seg, g)
		if err != nil {
			return nil, err
		}
		if keep != nil && !slices.Contains(keep, true) {
			continue
		}
		row := int32(0)
		err = seg.read(ctx, g, placeColumns, func(c []arrow.Array) error {
			commits, positions, stored, streamSeqs := c[0].(*array.Int64), c[1].(*array.Int32), c[2].(*array.Int64), c[3].(*array.Int64)
			for i := range commits.Len() {
				at := store.Cursor{Commit: uint64(commits.Value(i)), Pos: uint32(positions.Value(i))}
				if (keep == nil || keep[row]) && behind(s.query, at) {
					rows = append(rows, match{at.Commit, uint64(streamSeqs.Value(i)), stored.Value(i), at.Pos, file, int32(g), row})
				}
				row++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// keep says which rows of a group pass the filters; nil is all of them.
func (s *scanner) keep(ctx context.Context, seg *segment, group int) ([]bool, error) {
	var keep []bool
	for n, f := range s.filters {
		row := 0
		err := seg.read(ctx, group, []string{f.column}, func(columns []arrow.Array) error {
			for i := range columns[0].Len() {
				ok := f.keep(columns[0], i)
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
