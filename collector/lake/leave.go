// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

const (
	// So many files go by one statement at most.
	leaveFiles = 256
	// A file of stubs spans the commits of several runs while these have no more
	// rows: who verifies holds the rows of a run, and the stubs that it overlaps.
	stubSpan = 50_000
)

// A departure is a public file of which rows leave the lake.
type departure struct {
	file File
	rule string
	rows map[store.Cursor]bool // nil: all of them
}

// leave makes files of what stays of some, and stubs of what does not, and puts
// the statement. The order is that of a compaction, see [Lake.Compact], with the
// warrant between the files and the statement: see [Options.Warrant]. says has
// the reason and what the operator says. The caller holds compacting.
func (l *Lake) leave(ctx context.Context, reason string, says Statement, list []departure, commit func(func(uint64) error) error) (retention.Left, error) {
	var done retention.Left
	if len(list) == 0 {
		return done, nil
	}
	defer l.settle()
	fail := func(err error) (retention.Left, error) {
		l.leftovers.Store(true)
		return retention.Left{}, err
	}
	stubs := l.groups()
	for i := range list {
		d := &list[i]
		kept, left, err := l.part(ctx, d)
		if err != nil {
			return fail(err)
		}
		says.Added = append(says.Added, kept...)
		says.Removed = append(says.Removed, Removed{d.file.Path, d.file.SHA256, reason})
		stubs.add(d, left)
		done.Rows += int64(len(left))
		if len(kept) > 0 {
			done.Rewritten++
		} else {
			done.Removed++
		}
	}
	var err error
	if says.Stubs, err = l.putStubs(stubs, reason); err != nil {
		return fail(err)
	}
	err = commit(func(fence uint64) error {
		says.Fence = fence
		done.Number, err = l.replace(&says)
		return err
	})
	if err == nil && done.Number == 0 {
		err = errors.New("the statement was not put")
	}
	if err != nil {
		return fail(err)
	}
	return done, nil
}

// part writes what stays of a file, and returns stubs of what leaves. It fails
// with [ErrCorrupt] when the file is not what its statement says: what was
// changed must not get a new digest, and what is damaged must be told first.
func (l *Lake) part(ctx context.Context, d *departure) (kept []File, left []Stub, err error) {
	if d.rows == nil {
		left, err = l.stubsOf(ctx, &d.file)
		return nil, left, err
	}
	s, err := l.spill(ctx, []File{d.file}, func(at store.Cursor) bool { return d.rows[at] })
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	if len(s.stubs) != len(d.rows) {
		return nil, nil, fmt.Errorf("%s: %w: %d rows of it were to leave, %d are there", d.file.Path, ErrCorrupt, len(d.rows), len(s.stubs))
	}
	kept, err = l.publish(ctx, s)
	return kept, s.stubs, err
}

// stubsOf makes stubs of all rows of a file.
func (l *Lake) stubsOf(ctx context.Context, f *File) ([]Stub, error) {
	if err := checkDigest(l.dir, f); err != nil {
		return nil, err
	}
	stubs := make([]Stub, 0, f.Rows)
	known := make(map[string]string)
	err := ReadColumns(ctx, l.dir, f.Path, stubColumns, func(c []arrow.Array) error {
		for s := range stubsIn(c) {
			stubs = append(stubs, s.own(known))
		}
		return nil
	})
	if err == nil && int64(len(stubs)) != f.Rows {
		err = fmt.Errorf("%s: %w: it has %d rows instead of %d", f.Path, ErrCorrupt, len(stubs), f.Rows)
	}
	return stubs, err
}

// groups are the stubs that go into one file each: those of one rule, and of
// runs that lie beside each other.
type groups struct {
	of    map[string]int // path of a file to the number of its span
	stubs map[groupKey][]Stub
	order []groupKey
}

type groupKey struct {
	span int
	rule string
}

func (l *Lake) groups() *groups {
	g := &groups{of: make(map[string]int), stubs: make(map[groupKey][]Stub)}
	span, rows := 0, int64(0)
	for run := range Runs(l.Manifest().Files) {
		more := int64(0)
		for i := range run {
			more += run[i].Rows
		}
		if rows += more; rows > stubSpan {
			span, rows = span+1, more
		}
		for i := range run {
			g.of[run[i].Path] = span
		}
	}
	return g
}

func (g *groups) add(d *departure, stubs []Stub) {
	key := groupKey{g.of[d.file.Path], d.rule}
	if g.stubs[key] == nil {
		g.order = append(g.order, key)
	}
	g.stubs[key] = append(g.stubs[key], stubs...)
}

// putStubs writes files of stubs.
func (l *Lake) putStubs(g *groups, reason string) ([]StubFile, error) {
	var files []StubFile
	for _, key := range g.order {
		content, f, err := encodeStubs(g.stubs[key])
		if err != nil {
			return nil, err
		}
		f.Path, f.Reason, f.Rule = StubsDir+"/"+l.opts.NewUID()+segmentSuffix, reason, key.rule
		l.mu.Lock()
		l.writing[f.Path] = true
		l.mu.Unlock()
		err = put(l.dir, f.Path, "stubs", l.opts.Fault, func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", f.Path, err)
		}
		files = append(files, f)
	}
	return files, nil
}
