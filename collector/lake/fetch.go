// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/apache/arrow/go/v17/parquet/file"

	"github.com/docket-audit/docket/collector/lake/index"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

const (
	// What a scan reads at once of columns.
	sliceBytes = 1 << 20
	// A header is about that long, and an event hardly shorter than that.
	headerBytes = 1 << 10
	leastBytes  = 256
)

// A forward reads columns of a row group from its first row on.
type forward struct {
	columns []file.ColumnChunkReader
	next    int32 // the row that they give next
}

// fetch reads a window of rows. Those of a group are read in the order of the
// file, which is another one than theirs, but nearly the same.
func (s *scanner) fetch(ctx context.Context, window []pick) ([]store.Entry, error) {
	entries := make([]store.Entry, len(window))
	var groups []*group
	lacking := make(map[*group][]int) // of window
	for i, p := range window {
		if _, ok := lacking[p.of]; !ok {
			groups, lacking[p.of] = append(groups, p.of), nil
		}
		if e, ok := s.aside[p]; ok {
			entries[i] = e
			delete(s.aside, p)
			s.asideBytes -= int64(len(e.Raw) + headerBytes)
			continue
		}
		lacking[p.of] = append(lacking[p.of], i)
	}
	for _, g := range groups {
		rows := lacking[g]
		slices.SortFunc(rows, func(a, b int) int { return cmp.Compare(window[a].i, window[b].i) })
		if len(rows) > 0 {
			if err := s.read(ctx, g, window, rows, entries); err != nil {
				return nil, err
			}
		}
	}
	return entries, nil
}

// release ends the use of the groups of a window of which nothing is left.
func (s *scanner) release(window []pick) {
	for _, p := range window {
		if p.of.rows != nil && p.of.next == len(p.of.order) {
			s.retire(p.of)
		}
	}
}

// read reads rows of a window that are in one group, in the order of the file.
func (s *scanner) read(ctx context.Context, g *group, window []pick, rows []int, entries []store.Entry) (err error) {
	defer guard(g.source.path, &err)
	if err := s.reach(g.source); err != nil {
		return err
	}
	if !slices.Contains(g.source.active, g) {
		g.source.active = append(g.source.active, g)
	}
	if s.byPages(g, window, rows) {
		err := s.readPages(ctx, g, window, rows, entries)
		if !errors.Is(err, index.ErrLayout) {
			return err
		}
		g.source.unpaged = true
	}
	return s.readColumns(ctx, g, window, rows, entries)
}

// byPages reports whether rows are read by the pages of their events: always if
// the events are wanted; and of headers too if they are few, as to come to one
// by the columns takes these from the first row on.
func (s *scanner) byPages(g *group, window []pick, rows []int) bool {
	seg := g.source.seg
	switch {
	case g.source.unpaged:
		return false
	case !s.query.WithoutRaw:
		return true
	case g.forward != nil && g.forward.next <= window[rows[0]].match().row:
		return false
	}
	raw := seg.rawBytes(g.number)
	perPage := max(1, int32(s.bounds.page/raw))
	pages, last := int64(0), int32(-1)
	for _, i := range rows {
		if page := window[i].match().row / perPage; page != last {
			pages, last = pages+1, page
		}
	}
	// To read a header out of an event takes some times what it takes to unpack it.
	const parse = 4
	return pages*max(s.bounds.page, raw)+int64(len(rows))*raw*parse < seg.plainBytes(g.number, s.names)
}

// readPages is read by the pages of the events.
func (s *scanner) readPages(ctx context.Context, g *group, window []pick, rows []int, entries []store.Entry) (err error) {
	if g.pages == nil {
		if g.pages, err = g.source.seg.pages(g.number); err != nil {
			return err
		}
	}
	for _, i := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := g.pages.Bytes(int64(window[i].match().row))
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w: %w", g.source.path, ErrCorrupt, err)
		case !s.query.WithoutRaw:
			entries[i].Raw = bytes.Clone(raw)
			continue
		}
		if entries[i].Header, err = profile.Parse(raw); err != nil {
			return window[i].unreadable(err)
		}
	}
	return nil
}

// readColumns is read by the columns that are wanted, once through the group if
// all goes well: what comes by before its time is put aside while there is room.
func (s *scanner) readColumns(ctx context.Context, g *group, window []pick, rows []int, entries []store.Entry) error {
	seg := g.source.seg
	if g.forward == nil || g.forward.next > window[rows[0]].match().row {
		columns, err := seg.columnReaders(g.number, s.names)
		if err != nil {
			return err
		}
		g.forward = &forward{columns: columns}
	}
	f := g.forward
	last := window[len(window)-1].match().at()
	later := func(m *match) bool { return s.asideBytes < s.bounds.aside && s.order(m.at(), last) > 0 }
	slice := max(1, min(recordRows, sliceBytes/g.rowBytes))
	i := sort.Search(len(g.rows), func(i int) bool { return g.rows[i].row >= f.next })
	for len(rows) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		for m := window[rows[0]].match(); &g.rows[i] != m && !later(&g.rows[i]); {
			i++
		}
		skip, begin := true, g.rows[i].row
		if begin == f.next {
			skip, begin = false, int32(min(int64(f.next)+slice, seg.groupRows(g.number)))
		}
		n := min(int64(begin-f.next), recordRows)
		if n <= 0 {
			return fmt.Errorf("%s: %w: it has fewer rows than before", g.source.path, ErrCorrupt)
		}
		if err := seg.readNext(f.columns, s.names, n, s.columns); err != nil {
			return err
		}
		first := f.next
		f.next += int32(n)
		if skip {
			continue
		}
		var at []int      // of the columns
		var these []int32 // of the group's rows
		for ; i < len(g.rows) && g.rows[i].row < f.next; i++ {
			at, these = append(at, int(g.rows[i].row-first)), append(these, int32(i))
		}
		read := make([]store.Entry, len(at))
		for c, name := range s.names {
			setColumn(read, at, name, &s.columns[c])
		}
		for j := range read {
			p := pick{g, these[j]}
			switch {
			case len(rows) > 0 && window[rows[0]] == p:
				entries[rows[0]] = read[j]
				rows = rows[1:]
			case later(p.match()):
				s.putAside(p, &read[j])
			}
		}
	}
	return nil
}

// putAside keeps a row for a later window.
func (s *scanner) putAside(p pick, e *store.Entry) {
	if _, known := s.aside[p]; !known {
		s.aside[p] = *e
		s.asideBytes += int64(len(e.Raw) + headerBytes)
	}
}
