// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"container/heap"
	"context"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/parquet"

	"github.com/docket-audit/docket/collector/lake/index"
	"github.com/docket-audit/docket/collector/store"
)

// Bounds say what a scan holds at a time, in bytes of events.
type bounds struct {
	// A window of rows that are to be given next. The first is small, for those
	// who want no more than a page.
	first, window int64
	aside         int64 // what came by too early
	page          int64 // what the writer makes a page of
	open          int   // files
}

var usualBounds = bounds{first: 256 << 10, window: 32 << 20, aside: 32 << 20, page: parquet.DefaultDataPageSize, open: 64}

// A scanner goes through a lake for one query. The files of a compaction overlap
// in commits, and so do the row groups of each; but of all it is known what they
// may begin with. It opens a file, and looks for rows in a group, when nothing
// that it found can be given before.
type scanner struct {
	dir     string
	query   store.Query
	filters []filter
	names   []string // of the columns to give
	columns []chunk  // for what is read at a time
	bounds  bounds

	sources []*source // that were not opened yet, in the order of their bounds
	groups  queue     // in which nobody looked for rows, by their bounds
	found   queue     // with rows that are to be given, by the first of these
	open    []*source // the one that was in use last is the last

	aside      map[pick]store.Entry // that came by before their time
	asideBytes int64
}

// A source is a file that a scan goes through.
type source struct {
	path        string
	first, last store.Cursor // nothing in it is before or behind these

	seg     *segment // nil: not open
	left    int      // groups that may still give rows
	active  []*group // that have readers
	unpaged bool     // its pages are not as ours
}

// A group is a row group of a source.
type group struct {
	source      *source
	number      int
	first, last store.Cursor // as of a source

	rows  []match // which the query selects, in the order of the file
	order []int32 // indices of rows, in that of the query
	next  int     // of order: those before were taken
	// About how many bytes a row takes when it is read.
	rowBytes int64

	pages   *index.Rows // nil: none open, as of forward
	forward *forward
}

// A match is a row that a query selects: where it is, and where it was put.
type match struct {
	commit    uint64
	streamSeq uint64
	stored    int64
	pos       uint32
	row       int32 // of the group
}

func (m *match) at() store.Cursor { return store.Cursor{Commit: m.commit, Pos: m.pos} }

// A pick is a row that was found.
type pick struct {
	of *group
	i  int32 // of its rows
}

func (p pick) match() *match { return &p.of.rows[p.i] }

// placeColumns say where and when an entry was put.
var placeColumns = []string{ColumnCommit, ColumnPos, ColumnStoredTime, ColumnStreamSeq}

func newScanner(dir string, files []File, q store.Query) *scanner {
	s := &scanner{dir: dir, query: q, filters: filters(q), names: []string{ColumnRaw}, bounds: usualBounds}
	s.aside = make(map[pick]store.Entry)
	if q.WithoutRaw {
		s.names = headerNames
	}
	s.columns = make([]chunk, max(len(s.names), len(placeColumns)))
	s.groups.before = func(a, b *group) bool { return s.order(s.begin(a.first, a.last), s.begin(b.first, b.last)) < 0 }
	s.found.before = func(a, b *group) bool { return s.order(a.head().at(), b.head().at()) < 0 }
	for i := range files {
		if f := &files[i]; possible(f, q) {
			s.sources = append(s.sources, &source{path: f.Path, first: store.Cursor{Commit: f.FirstCommit}, last: store.Cursor{Commit: f.LastCommit, Pos: math.MaxUint32}})
		}
	}
	order := func(a, b *source) int { return s.order(s.begin(a.first, a.last), s.begin(b.first, b.last)) }
	if q.Descending {
		slices.Reverse(s.sources) // as good as sorted, often
	}
	if !slices.IsSortedFunc(s.sources, order) {
		slices.SortStableFunc(s.sources, order)
	}
	return s
}

// order is that of the query.
func (s *scanner) order(a, b store.Cursor) int {
	if s.query.Descending {
		a, b = b, a
	}
	return a.Compare(b)
}

// begin returns the place that nothing between two is before, in the order of
// the query.
func (s *scanner) begin(first, last store.Cursor) store.Cursor {
	if s.query.Descending {
		return last
	}
	return first
}

// next finds the rows that come next, as many as have about size bytes, and no
// more than most. There are none when all were given.
func (s *scanner) next(ctx context.Context, size int64, most int) ([]pick, error) {
	var window []pick
	for bytes := int64(0); bytes < size && len(window) < most; {
		if err := s.advance(ctx); err != nil {
			return nil, err
		}
		if s.found.Len() == 0 {
			break
		}
		g := s.found.groups[0]
		window = append(window, pick{g, g.order[g.next]})
		bytes += g.rowBytes
		if g.next++; g.next == len(g.order) {
			heap.Pop(&s.found)
		} else {
			heap.Fix(&s.found, 0)
		}
	}
	return window, nil
}

// advance looks into files and groups until none can have a row that is before
// the first that was found.
func (s *scanner) advance(ctx context.Context) error {
	for {
		var of *source
		var g *group
		var bound store.Cursor
		if len(s.groups.groups) > 0 {
			g = s.groups.groups[0]
			bound = s.begin(g.first, g.last)
		}
		if len(s.sources) > 0 {
			if b := s.begin(s.sources[0].first, s.sources[0].last); g == nil || s.order(b, bound) <= 0 {
				of, bound = s.sources[0], b
			}
		}
		if of == nil && g == nil || s.found.Len() > 0 && s.order(s.found.groups[0].head().at(), bound) < 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if of != nil {
			s.sources = s.sources[1:]
			err = s.enter(of)
		} else {
			heap.Pop(&s.groups)
			err = s.expand(ctx, g)
		}
		if err != nil {
			return err
		}
	}
}

// enter opens a file and notes those of its groups that the query may select of.
func (s *scanner) enter(of *source) error {
	if err := s.reach(of); err != nil {
		return err
	}
	for n := range of.seg.groups() {
		g := &group{source: of, number: n, first: of.first, last: of.last}
		if least, most, ok := of.seg.within(n, ColumnCommit); ok {
			g.first.Commit, g.last.Commit = uint64(least), uint64(most)
			if least, most, ok := of.seg.within(n, ColumnPos); ok {
				g.first.Pos, g.last.Pos = uint32(least), uint32(most)
			}
		}
		if s.rulesOut(of.seg, g) {
			continue
		}
		of.left++
		heap.Push(&s.groups, g)
	}
	if of.left == 0 {
		s.shut(of)
	}
	return nil
}

// rulesOut reports whether a group has nothing that the query selects, by what
// its file says of its numbers.
func (s *scanner) rulesOut(seg *segment, g *group) bool {
	q := &s.query
	switch {
	case q.AsOf != 0 && g.first.Commit > q.AsOf:
		return true
	case q.After != (store.Cursor{}) && !q.Descending && g.last.Compare(q.After) <= 0:
		return true
	case q.After != (store.Cursor{}) && q.Descending && g.first.Compare(q.After) >= 0:
		return true
	case q.Since == 0 && q.Until == 0:
		return false
	}
	least, most, ok := seg.within(g.number, "time")
	return ok && (q.Since != 0 && most < q.Since || q.Until != 0 && least >= q.Until)
}

// expand finds the rows of a group.
func (s *scanner) expand(ctx context.Context, g *group) (err error) {
	if err := s.reach(g.source); err != nil {
		return err
	}
	if g.rows, err = s.matches(ctx, g.source.seg, g.number); err != nil {
		return err
	}
	if len(g.rows) == 0 {
		s.retire(g)
		return nil
	}
	g.order = make([]int32, len(g.rows))
	for i := range g.order {
		g.order[i] = int32(i)
	}
	if s.query.Descending {
		slices.Reverse(g.order) // as good as sorted, often
	}
	order := func(a, b int32) int { return s.order(g.rows[a].at(), g.rows[b].at()) }
	if !slices.IsSortedFunc(g.order, order) {
		slices.SortFunc(g.order, order)
	}
	g.rowBytes = headerBytes
	if !s.query.WithoutRaw {
		g.rowBytes = g.source.seg.rawBytes(g.number)
	}
	heap.Push(&s.found, g)
	return nil
}

// head returns the row of a group that is to be given next.
func (g *group) head() *match { return &g.rows[g.order[g.next]] }

// retire ends the use of a group, all of which was given.
func (s *scanner) retire(g *group) {
	g.rows, g.order, g.pages, g.forward = nil, nil, nil, nil
	of := g.source
	of.active = slices.DeleteFunc(of.active, func(a *group) bool { return a == g })
	if of.left--; of.left == 0 {
		s.shut(of)
	}
}

// reach opens a file if it is not open.
func (s *scanner) reach(of *source) error {
	if of.seg != nil {
		if i := slices.Index(s.open, of); i < len(s.open)-1 {
			s.open = append(slices.Delete(s.open, i, i+1), of)
		}
		return nil
	}
	if len(s.open) == s.bounds.open {
		s.shut(s.open[0])
	}
	seg, err := openSegment(s.dir, of.path)
	if err != nil {
		return err
	}
	of.seg = seg
	s.open = append(s.open, of)
	return nil
}

// shut closes a file, which may be opened again.
func (s *scanner) shut(of *source) {
	if of.seg == nil {
		return
	}
	for _, g := range of.active {
		g.pages, g.forward = nil, nil
	}
	of.seg.close()
	of.seg, of.active = nil, nil
	s.open = slices.DeleteFunc(s.open, func(o *source) bool { return o == of })
}

func (s *scanner) close() {
	for len(s.open) > 0 {
		s.shut(s.open[0])
	}
}

// A queue is a heap of groups.
type queue struct {
	groups []*group
	before func(a, b *group) bool
}

func (q *queue) Len() int           { return len(q.groups) }
func (q *queue) Less(i, j int) bool { return q.before(q.groups[i], q.groups[j]) }
func (q *queue) Swap(i, j int)      { q.groups[i], q.groups[j] = q.groups[j], q.groups[i] }
func (q *queue) Push(g any)         { q.groups = append(q.groups, g.(*group)) }

func (q *queue) Pop() any {
	last := len(q.groups) - 1
	g := q.groups[last]
	q.groups[last] = nil
	q.groups = q.groups[:last]
	return g
}
