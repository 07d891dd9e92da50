// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// errStop ends a scan whose consumer has enough.
var errStop = errors.New("stop")

// scan gives what q selects of files, which are in commit order. It verifies
// nothing; it passes over what a file's own description rules out.
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
		next := slices.All(files)
		if q.Descending {
			next = slices.Backward(files)
		}
		for _, f := range next {
			if !possible(&f, q) {
				continue
			}
			if err := s.file(ctx, &f, give); err != nil {
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

type scanner struct {
	dir     string
	query   store.Query
	filters []filter
}

// placeColumns say where and when an entry was put.
var placeColumns = []string{ColumnStoredTime, ColumnStreamSeq, ColumnCommit, ColumnPos}

func (s *scanner) file(ctx context.Context, f *File, give func(store.Entry) error) error {
	seg, err := openSegment(s.dir, f.Path)
	if err != nil {
		return err
	}
	defer seg.close()
	names := append([]string{ColumnRaw}, placeColumns...)
	if s.query.WithoutRaw {
		names, _ = Columns()
		names = slices.DeleteFunc(names, func(n string) bool { return n == ColumnRaw })
	}
	for i := range seg.groups() {
		if s.query.Descending {
			i = seg.groups() - 1 - i
		}
		if err := s.group(ctx, seg, i, names, give); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) group(ctx context.Context, seg *segment, group int, names []string, give func(store.Entry) error) error {
	keep, err := s.matches(ctx, seg, group)
	if err != nil || keep != nil && !slices.Contains(keep, true) {
		return err
	}
	entries, err := seg.entries(ctx, group, names, keep)
	if err != nil {
		return err
	}
	if s.query.Descending {
		slices.Reverse(entries)
	}
	for i := range entries {
		e := &entries[i]
		if !s.behind(e) {
			continue
		}
		if !s.query.WithoutRaw {
			if e.Header, err = profile.Parse(e.Raw); err != nil {
				return fmt.Errorf("%s: %w: row %d of commit %d: %w", seg.path, ErrCorrupt, e.Pos, e.Commit, err)
			}
		}
		if err := give(*e); err != nil {
			return err
		}
	}
	return nil
}

// behind reports whether e comes after the cursor in the query's direction.
func (s *scanner) behind(e *store.Entry) bool {
	after := s.query.After
	if after == (store.Cursor{}) {
		return true
	}
	c := store.Cursor{Commit: e.Commit, Pos: e.Pos}.Compare(after)
	if s.query.Descending {
		return c < 0
	}
	return c > 0
}

// matches says which rows of a group pass the filters; nil is all of them.
func (s *scanner) matches(ctx context.Context, seg *segment, group int) ([]bool, error) {
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
