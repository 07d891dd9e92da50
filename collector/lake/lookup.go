// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/docket-audit/docket/collector/lake/index"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/regular"
)

const (
	// A look-up is for few rows. With more, pages are read again and again, and a
	// scan is no slower.
	maxFound = 10_000
	// Of so many segments a page is held at a time: those that one operation
	// may be in.
	maxHeld = 8
)

// search gives what q selects of files, those of a manifest, in commit order. It
// looks a uid up where there are indexes, and scans otherwise; x makes those
// that lack, and may be nil for who may not write.
func search(ctx context.Context, dir string, files []File, q store.Query, x *indexes) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		l, err := lookUp(ctx, dir, files, q, x)
		switch {
		case errors.Is(err, errNoLookUp):
			scan(ctx, dir, files, q)(yield)
		case err != nil:
			yield(store.Entry{}, failed("read lake", dir, err))
		default:
			defer l.close()
			l.give(ctx, yield)
		}
	}
}

// errNoLookUp says that a query is for a scan.
var errNoLookUp = errors.New("no look-up")

// A lookup is a query of which the rows are found.
type lookup struct {
	dir   string
	query store.Query
	files []*indexedFile
	rows  []place // in the order of the query
	held  []*indexedFile
}

// An indexedFile is a segment with rows that a lookup found.
type indexedFile struct {
	path  string
	index *index.Index
	rows  *index.Rows // nil: not open
	file  *os.File
}

// A place is where a row is, and where and when it was put.
type place struct {
	at        store.Cursor
	streamSeq uint64
	stored    int64
	file      int // of lookup.files
	row       int64
}

// sought returns the uid by which rows are found, the most selective that q has.
func sought(q *store.Query) (key index.Key, uid string) {
	switch {
	case q.Event != "":
		return index.Event, q.Event
	case q.Operation != "":
		return index.Operation, q.Operation
	default:
		return index.Trace, q.Trace
	}
}

// lookUp finds the rows that q may select. It fails with errNoLookUp when q
// names no uid, a segment has no index, or the rows are too many.
func lookUp(ctx context.Context, dir string, files []File, q store.Query, x *indexes) (*lookup, error) {
	if _, uid := sought(&q); uid == "" {
		return nil, errNoLookUp
	}
	l := &lookup{dir: dir, query: q}
	for i := range files {
		if !possible(&files[i], q) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, rows, err := find(ctx, dir, &files[i], &q, maxFound-len(l.rows), x)
		if err == nil && len(rows) > 0 {
			err = l.add(&indexedFile{path: files[i].Path, index: found}, rows)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(l.rows, func(a, b place) int {
		if q.Descending {
			a, b = b, a
		}
		return a.at.Compare(b.at)
	})
	return l, nil
}

// find asks the index of one segment.
func find(ctx context.Context, dir string, f *File, q *store.Query, most int, x *indexes) (*index.Index, []int64, error) {
	for again := false; ; again = true {
		var i *index.Index
		var done func()
		var err error
		if x == nil {
			i, done, err = openIndex(dir, f)
		} else {
			i, done, err = x.open(ctx, f)
		}
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil { // a scan reads the segment, or says why it cannot
			return nil, nil, errNoLookUp
		}
		key, uid := sought(q)
		rows, err := i.Find(key, uid, most)
		done()
		if errors.Is(err, index.ErrInvalid) && x != nil && !again {
			x.discard(f)
			continue
		}
		if err != nil {
			return nil, nil, errNoLookUp
		}
		return i, rows, nil
	}
}

// add notes where rows of a segment were put.
func (l *lookup) add(f *indexedFile, rows []int64) error {
	if err := f.open(l.dir); err != nil {
		return err
	}
	defer f.close() // with the pages of these columns, which are read no more
	for _, row := range rows {
		var values [len(index.Columns)]int64
		for c := index.StoredTime; c <= index.Pos; c++ {
			var err error
			if values[c], err = f.rows.Int(c, row); err != nil {
				return f.corrupt(err)
			}
		}
		at := store.Cursor{Commit: uint64(values[index.Commit]), Pos: uint32(values[index.Pos])}
		if behind(l.query, at) {
			l.rows = append(l.rows, place{at, uint64(values[index.StreamSeq]), values[index.StoredTime], len(l.files), row})
		}
	}
	l.files = append(l.files, f)
	return nil
}

func (f *indexedFile) open(dir string) error {
	file, err := regular.Open(filepath.Join(dir, filepath.FromSlash(f.path)), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return f.corrupt(errors.New("the segment is missing"))
	}
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	f.file, f.rows = file, f.index.Rows(file)
	return nil
}

func (f *indexedFile) close() {
	_ = f.file.Close() // was only read
	f.file, f.rows = nil, nil
}

func (f *indexedFile) corrupt(err error) error {
	return fmt.Errorf("%s: %w: %w", f.path, ErrCorrupt, err)
}

func (l *lookup) close() {
	for _, f := range l.held {
		f.close()
	}
	l.held = nil
}

// give yields the rows that the query selects.
func (l *lookup) give(ctx context.Context, yield func(store.Entry, error) bool) {
	given := 0
	for _, p := range l.rows {
		e, err := l.entry(ctx, p)
		switch {
		case err != nil:
			yield(store.Entry{}, failed("read lake", l.dir, err))
			return
		case !selects(&l.query, &e.Header):
			continue
		case l.query.WithoutRaw:
			e.Raw = nil
		}
		given++
		if !yield(e, nil) || given == l.query.Limit {
			return
		}
	}
}

// entry reads one row.
func (l *lookup) entry(ctx context.Context, p place) (store.Entry, error) {
	if err := ctx.Err(); err != nil {
		return store.Entry{}, err
	}
	f := l.files[p.file]
	if f.rows == nil {
		if len(l.held) == maxHeld {
			l.close()
		}
		if err := f.open(l.dir); err != nil {
			return store.Entry{}, err
		}
		l.held = append(l.held, f)
	}
	raw, err := f.rows.Bytes(p.row)
	if err != nil {
		return store.Entry{}, f.corrupt(err)
	}
	e := store.Entry{
		Raw: bytes.Clone(raw), Commit: p.at.Commit, Pos: p.at.Pos,
		StreamSeq: p.streamSeq, StoredTime: time.UnixMilli(p.stored).UTC(),
	}
	if e.Header, err = profile.Parse(e.Raw); err != nil {
		return store.Entry{}, fmt.Errorf("%s: %w: row %d of commit %d: %w", f.path, ErrCorrupt, e.Pos, e.Commit, err)
	}
	return e, nil
}

// selects says of a row that was found what a scan's filters say of columns.
func selects(q *store.Query, h *profile.Header) bool {
	equal := func(want, is string) bool { return want == "" || want == is }
	return equal(q.Event, h.MetadataUID) && equal(q.Operation, h.OperationUID) && equal(q.Trace, h.TraceUID) &&
		equal(q.Epoch, h.Epoch) && equal(q.Tenant, h.Tenant) &&
		(len(q.Kinds) == 0 || slices.Contains(q.Kinds, h.Kind)) &&
		(q.Since == 0 || h.Time >= q.Since) && (q.Until == 0 || h.Time < q.Until) && q.Holds(h)
}

// behind reports whether a row is one that comes after the query's cursor, and
// was there at the time that it asks about.
func behind(q store.Query, at store.Cursor) bool {
	switch {
	case q.AsOf != 0 && at.Commit > q.AsOf:
		return false
	case q.After == store.Cursor{}:
		return true
	case q.Descending:
		return at.Compare(q.After) < 0
	default:
		return at.Compare(q.After) > 0
	}
}
