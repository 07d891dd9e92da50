// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

// Expire lets the events leave whose time is over, of as many public files as
// one statement takes; the next call goes on. A file goes when its events and
// the commits that they came by are as long ago as the rule for their tenant and
// class says, and what is under a hold stays. It may run beside Commit; commit
// is called as [store.Compactor] says. Hot segments are never touched.
func (l *Lake) Expire(ctx context.Context, t retention.Terms, commit func(put func(fence uint64) error) error) (retention.Left, error) {
	l.compacting.Lock()
	defer l.compacting.Unlock()
	done, err := l.expire(ctx, &t, commit)
	if err = errors.Join(err, l.reap()); err != nil {
		return done, failed("expire events of lake", l.dir, err)
	}
	return done, nil
}

func (l *Lake) expire(ctx context.Context, t *retention.Terms, commit func(func(uint64) error) error) (retention.Left, error) {
	if err := l.tidy(); err != nil {
		return retention.Left{}, err
	}
	m := l.Manifest()
	c := &chosen{l: l, holds: t.Holds}
	for i := range m.Files {
		f := &m.Files[i]
		if !Public(f.Path) || len(c.list) >= leaveFiles {
			continue
		}
		tenant, class := partitionOf(m, f)
		rule := t.Policy.For(tenant, class)
		over, err := l.over(t, rule, f)
		if err != nil {
			return retention.Left{}, err
		}
		if over {
			if err := c.take(ctx, f, tenant, rule.String(), nil); err != nil {
				return retention.Left{}, err
			}
		}
	}
	done, err := l.leave(ctx, ReasonRetention, Statement{}, c.list, commit)
	done.Held = c.held
	return done, err
}

// over says whether the time of a file is over: of its day, and of the last
// commit that it has rows of. What came late is kept as long as what did not.
func (l *Lake) over(t *retention.Terms, rule retention.Rule, f *File) (bool, error) {
	const day = 24 * 60 * 60 * 1000
	if end := (f.MaxTime/day + 1) * day; !t.Over(rule, end) {
		return false, nil
	}
	s, err := statement(l.dir, f.LastCommit)
	if err != nil {
		return false, err
	}
	return t.Over(rule, s.Time), nil
}

// partitionOf returns the tenant and the class of a public file.
func partitionOf(m *Manifest, f *File) (tenant, class string) {
	for epoch := range f.Epochs { // the path has the tenant escaped
		tenant = m.Epochs[epoch].Tenant
		break
	}
	class, _, _ = strings.Cut(f.Path, "/")
	return tenant, class
}

// Erase takes the bytes of the selected events out of the lake: of those that
// are in public files, so that the caller compacts before. It puts as many
// statements as it takes, tells each of them, and returns what they did
// together, with the number of the last; after an error some may be in force.
// The files that had the bytes are deleted when the last reader that could still
// want them is gone. What is under a hold stays, and is counted in Held; of a
// dry run Rows says how many would leave.
func (l *Lake) Erase(ctx context.Context, e retention.Erasure, holds []retention.Hold, commit func(put func(fence uint64) error) error, each func(retention.Left)) (retention.Left, error) {
	l.compacting.Lock()
	defer l.compacting.Unlock()
	done, err := l.erase(ctx, &e, holds, commit, each)
	if err = errors.Join(err, l.reap()); err != nil {
		return done, failed("erase events of lake", l.dir, err)
	}
	return done, nil
}

func (l *Lake) erase(ctx context.Context, e *retention.Erasure, holds []retention.Hold, commit func(func(uint64) error) error, each func(retention.Left)) (all retention.Left, err error) {
	if err := l.tidy(); err != nil {
		return all, err
	}
	m := l.Manifest() // whose files nobody but this removes
	c := &chosen{l: l, holds: holds}
	flush := func() error {
		done, err := l.leave(ctx, ReasonErasure, Statement{Reference: e.Reference, By: e.By}, c.list, commit)
		if c.list = nil; done.Number > 0 {
			all.Number, all.Rows, all.Removed, all.Rewritten = done.Number, all.Rows+done.Rows, all.Removed+done.Removed, all.Rewritten+done.Rewritten
			each(done)
		}
		return err
	}
	for i := range m.Files {
		f := &m.Files[i]
		tenant, _ := partitionOf(m, f)
		if e.DryRun && !Public(f.Path) {
			if err := c.count(ctx, f, &e.Selection); err != nil {
				return all, err
			}
		}
		if !Public(f.Path) || !e.May(tenant, f.MinTime, f.MaxTime) {
			continue
		}
		if err := c.take(ctx, f, tenant, "", &e.Selection); err != nil {
			return all, err
		}
		if len(c.list) >= leaveFiles && !e.DryRun {
			if err := flush(); err != nil {
				return all, err
			}
		}
	}
	if e.DryRun {
		all.Rows = c.rows
	} else {
		err = flush()
	}
	all.Held = c.held
	return all, err
}

// chosen are the departures that were found so far.
type chosen struct {
	l          *Lake
	holds      []retention.Hold
	list       []departure
	rows, held int64
}

// take looks which rows of a file are to leave: those that are selected, nil is
// all, and under no hold.
func (c *chosen) take(ctx context.Context, f *File, tenant, rule string, selected *retention.Selection) error {
	holds := slices.DeleteFunc(slices.Clone(c.holds), func(h retention.Hold) bool { return !h.May(tenant, f.MinTime, f.MaxTime) })
	all := selected == nil || selected.All(tenant, f.MinTime, f.MaxTime)
	switch {
	case all && len(holds) == 0:
		c.list, c.rows = append(c.list, departure{file: *f, rule: rule}), c.rows+f.Rows
		return nil
	case all && slices.ContainsFunc(holds, func(h retention.Hold) bool { return h.All(tenant, f.MinTime, f.MaxTime) }):
		c.held += f.Rows
		return nil
	}
	key := heldKey(f, holds)
	if all && c.l.heldFiles[key] {
		c.held += f.Rows
		return nil
	}
	rows, held := make(map[store.Cursor]bool), int64(0)
	err := eachRow(ctx, c.l.dir, f, func(at store.Cursor, r *retention.Row) {
		switch {
		case selected != nil && !selected.Has(r):
		case slices.ContainsFunc(holds, func(h retention.Hold) bool { return h.Has(r) }):
			held++
		default:
			rows[at] = true
		}
	})
	if err != nil {
		return err
	}
	if c.held += held; all && held == f.Rows {
		c.l.heldFiles[key] = true
	}
	if len(rows) == 0 {
		return nil
	}
	c.rows += int64(len(rows))
	d := departure{file: *f, rule: rule, rows: rows}
	if int64(len(rows)) == f.Rows {
		d.rows = nil
	}
	c.list = append(c.list, d)
	return nil
}

// count counts what is selected of a hot segment, which has events of many.
func (c *chosen) count(ctx context.Context, f *File, selected *retention.Selection) error {
	return eachRow(ctx, c.l.dir, f, func(_ store.Cursor, r *retention.Row) {
		switch {
		case !selected.Has(r):
		case slices.ContainsFunc(c.holds, func(h retention.Hold) bool { return h.Has(r) }):
			c.held++
		default:
			c.rows++
		}
	})
}

// Newest returns the time of the newest commit; the zero time without any.
func (l *Lake) Newest() time.Time {
	m := l.Manifest()
	if m.Number == 0 {
		return time.Time{}
	}
	return time.UnixMilli(m.Time)
}

// heldKey names a file and the holds that may be about it: while neither changes
// it need not be read again to know that all of it is held.
func heldKey(f *File, holds []retention.Hold) string {
	key := f.Path
	for i := range holds {
		key += " " + holds[i].ID
	}
	return key
}

// eachRow calls each with what a selection looks at, for every row of a file.
func eachRow(ctx context.Context, dir string, f *File, each func(store.Cursor, *retention.Row)) error {
	if err := checkDigest(dir, f); err != nil {
		return err
	}
	columns := []string{"tenant", "operation_uid", "time", ColumnRaw, ColumnCommit, ColumnPos}
	return ReadColumns(ctx, dir, f.Path, columns, func(c []arrow.Array) error {
		for i := range c[0].Len() {
			text := func(n int) string { return c[n].(*array.String).Value(i) }
			at := store.Cursor{Commit: uint64(c[4].(*array.Int64).Value(i)), Pos: uint32(c[5].(*array.Int32).Value(i))}
			each(at, &retention.Row{Tenant: text(0), Operation: text(1), Time: c[2].(*array.Int64).Value(i), Raw: []byte(text(3))})
		}
		return nil
	})
}
