// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

const (
	// What a fetcher holds at a time, in bytes of events: a window of rows that
	// are to be given next, and as much again of what came by too early.
	windowBytes = 32 << 20
	// What it reads at once of one file.
	sliceBytes = 1 << 20
	// A header is about that long.
	headerBytes = 1 << 10
	// So many files are open at a time.
	maxOpen = 64
)

// A fetcher reads rows of a run in the order of rows. The files are in another
// order, which is nearly the same: each is read forwards, once if all goes
// well, and what comes by before its time waits.
type fetcher struct {
	dir   string
	run   []File
	rows  []match
	names []string // of the columns to read

	files map[int32]*fetched // with rows that are wanted
	open  int

	ahead      map[int]store.Entry // by index of rows
	aheadBytes int
}

// A fetched file is one of which a fetcher reads.
type fetched struct {
	path   string
	wanted []int // indices of rows, in the order of the file

	seg     *segment // nil: not open
	readers []*pqarrow.ColumnReader
	group   int32
	next    int32 // the row of the group that the readers give next
	left    int   // of wanted: those before it have been passed
}

func newFetcher(dir string, run []File, rows []match, headers bool) *fetcher {
	f := &fetcher{dir: dir, run: run, rows: rows, names: []string{ColumnRaw}, files: make(map[int32]*fetched), ahead: make(map[int]store.Entry)}
	if headers {
		f.names = nil
		for _, field := range headerFields {
			f.names = append(f.names, columnName(field))
		}
	}
	for i := range rows {
		file := f.files[rows[i].file]
		if file == nil {
			file = &fetched{path: run[rows[i].file].Path}
			f.files[rows[i].file] = file
		}
		file.wanted = append(file.wanted, i)
	}
	for _, file := range f.files {
		slices.SortFunc(file.wanted, f.inFile)
	}
	return f
}

func (f *fetcher) headers() bool { return f.names[0] != ColumnRaw }

func (f *fetcher) close() {
	for _, file := range f.files {
		f.shut(file)
	}
}

func (f *fetcher) shut(file *fetched) {
	if file.seg == nil {
		return
	}
	for _, r := range file.readers {
		r.Release()
	}
	file.seg.close()
	file.seg, file.readers = nil, nil
	f.open--
}

// entries yields the rows.
func (f *fetcher) entries(ctx context.Context) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		for begin := 0; begin < len(f.rows); {
			window, err := f.window(ctx, begin)
			if err != nil {
				yield(store.Entry{}, err)
				return
			}
			for i := range window {
				e, err := f.finish(&window[i], &f.rows[begin+i])
				if !yield(e, err) || err != nil {
					return
				}
				window[i] = store.Entry{} // it is the caller's now
			}
			begin += len(window)
		}
	}
}

// finish makes what was read of a row an entry.
func (f *fetcher) finish(e *store.Entry, m *match) (store.Entry, error) {
	e.Commit, e.Pos, e.StreamSeq, e.StoredTime = m.commit, m.pos, m.streamSeq, time.UnixMilli(m.stored).UTC()
	if f.headers() {
		return *e, nil
	}
	var err error
	if e.Header, err = profile.Parse(e.Raw); err != nil {
		return store.Entry{}, fmt.Errorf("%s: %w: row %d of commit %d: %w", f.run[m.file].Path, ErrCorrupt, m.pos, m.commit, err)
	}
	return *e, nil
}

// window reads the rows from begin on, as many as it may hold.
func (f *fetcher) window(ctx context.Context, begin int) ([]store.Entry, error) {
	end, bytes := begin, int64(0)
	var files []int32
	for end < len(f.rows) && (end == begin || bytes < windowBytes) {
		m := &f.rows[end]
		size, err := f.rowBytes(m)
		if err != nil {
			return nil, err
		}
		bytes, end = bytes+size, end+1
		if !slices.Contains(files, m.file) {
			files = append(files, m.file)
		}
	}
	window := make([]store.Entry, end-begin)
	lacking := make(map[int32][]int) // rows, by file
	for i := begin; i < end; i++ {
		if e, ok := f.ahead[i]; ok {
			window[i-begin] = e
			delete(f.ahead, i)
			f.aheadBytes -= len(e.Raw) + headerBytes
			continue
		}
		lacking[f.rows[i].file] = append(lacking[f.rows[i].file], i)
	}
	for _, n := range files {
		if len(lacking[n]) == 0 {
			continue
		}
		if err := f.read(ctx, f.files[n], lacking[n], begin, window); err != nil {
			return nil, err
		}
	}
	return window, nil
}

// rowBytes returns about how many bytes a row takes.
func (f *fetcher) rowBytes(m *match) (int64, error) {
	if f.headers() {
		return headerBytes, nil
	}
	file := f.files[m.file]
	if err := f.reach(file); err != nil {
		return 0, err
	}
	return file.seg.rawBytes(int(m.group)), nil
}

// reach opens a file if it is not open.
func (f *fetcher) reach(file *fetched) error {
	if file.seg != nil {
		return nil
	}
	if f.open >= maxOpen {
		f.close() // each begins anew when it is wanted again
	}
	seg, err := openSegment(f.dir, file.path)
	if err != nil {
		return err
	}
	f.open++
	file.seg, file.group, file.next, file.left = seg, -1, 0, 0
	return nil
}

// inFile is the order of rows of one file.
func (f *fetcher) inFile(a, b int) int {
	return cmp.Or(cmp.Compare(f.rows[a].group, f.rows[b].group), cmp.Compare(f.rows[a].row, f.rows[b].row))
}

// read goes through a file until the lacking rows are in the window that begins
// with row number begin.
func (f *fetcher) read(ctx context.Context, file *fetched, lacking []int, begin int, window []store.Entry) error {
	if err := f.reach(file); err != nil {
		return err
	}
	first := slices.MinFunc(lacking, f.inFile)
	if at, _ := slices.BinarySearchFunc(file.wanted, first, f.inFile); at < file.left || f.rows[first].group != file.group {
		// It was passed and not kept, or is far ahead.
		file.left, file.group = at, -1
	}
	for left := len(lacking); left > 0; {
		if file.left < len(file.wanted) && f.rows[file.wanted[file.left]].group != file.group {
			if err := file.begin(ctx, f.rows[file.wanted[file.left]].group, f.names); err != nil {
				return err
			}
		}
		n, err := f.slice(ctx, file, begin, window)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// begin sets the readers to the first row of a group.
func (file *fetched) begin(ctx context.Context, group int32, names []string) error {
	for _, r := range file.readers {
		r.Release()
	}
	var err error
	file.readers, err = file.seg.readers(ctx, int(group), names)
	file.group, file.next = group, 0
	return err
}

// slice reads the next rows of a file's group. It puts what is wanted into the
// window, or aside if its time has not come, and returns how many are new in
// the window.
func (f *fetcher) slice(ctx context.Context, file *fetched, begin int, window []store.Entry) (filled int, err error) {
	defer guard(file.path, &err)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n := min(file.seg.groupRows(int(file.group))-int64(file.next), max(1, min(recordRows, sliceBytes/f.estimate(file))))
	if n <= 0 || file.left == len(file.wanted) {
		return 0, fmt.Errorf("%s: %w: it has fewer rows than before", file.path, ErrCorrupt)
	}
	err = file.seg.batch(file.readers, f.names, n, func(columns []arrow.Array) error {
		var rows, at []int
		for ; file.left < len(file.wanted); file.left++ {
			m := &f.rows[file.wanted[file.left]]
			if m.group != file.group || int64(m.row) >= int64(file.next)+n {
				break
			}
			rows, at = append(rows, int(m.row-file.next)), append(at, file.wanted[file.left])
		}
		entries := make([]store.Entry, len(rows))
		for c, name := range f.names {
			setColumn(entries, rows, name, columns[c])
		}
		for j := range entries {
			if f.put(at[j], &entries[j], begin, window) {
				filled++
			}
		}
		return nil
	})
	file.next += int32(n)
	return filled, err
}

// estimate returns about how many bytes a row of the file's group takes.
func (f *fetcher) estimate(file *fetched) int64 {
	if f.headers() {
		return headerBytes
	}
	return file.seg.rawBytes(int(file.group))
}

// put takes a row into the window, or keeps it for a later one while there is
// room.
func (f *fetcher) put(i int, e *store.Entry, begin int, window []store.Entry) (filled bool) {
	switch {
	case i < begin: // given already
		return false
	case i < begin+len(window):
		slot := &window[i-begin]
		if slot.Raw != nil || slot.Header != (profile.Header{}) {
			return false
		}
		*slot = *e
		return true
	}
	if _, known := f.ahead[i]; !known && f.aheadBytes < windowBytes {
		f.ahead[i] = *e
		f.aheadBytes += len(e.Raw) + headerBytes
	}
	return false
}
