// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/docket-audit/docket/collector/evidence"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// So much of commits is asked for at a time, about, that neither the server nor this
// process holds or sorts more.
const (
	windowRows  = 16 << 10
	windowBytes = 32 << 20
)

func (t *tables) rows(ctx context.Context) (*rows, error) {
	t.all = newRows(t.verifier)
	for i := range t.said {
		t.total += t.said[i].bytes
	}
	for first := uint64(1); first <= uint64(len(t.statements)) && ctx.Err() == nil; {
		last := t.window(first)
		t.readWindow(ctx, first, last)
		t.compareViews(ctx, first, last)
		first = last + 1
	}
	t.readHeld(ctx)
	t.checkDefinitions(ctx)
	return t.all, ctx.Err()
}

// window returns the last commit of those from first on that are read at a time.
func (t *tables) window(first uint64) uint64 {
	var n, bytes int64
	last := first
	for ; last <= uint64(len(t.statements)); last++ {
		if st := t.statement(last); st != nil {
			n += counted(st.parsed)
		}
		bytes += max(t.said[last-1].bytes, 0)
		if last > first && (n > cmp.Or(t.opts.window, windowRows) || bytes > windowBytes) {
			return last - 1
		}
	}
	return last - 1
}

// failed tells of what was not read.
func (t *tables) failed(ctx context.Context, where Place, err error) {
	if ctx.Err() != nil {
		return
	}
	t.all.lose(!t.refused(where, err))
}

// refused makes a problem of an error, and says whether it is that something is not
// there.
func (t *tables) refused(where Place, err error) (lacks bool) {
	if t.t.Lacks(err) {
		t.problem(Missing, where, "%v", err)
		return true
	}
	var h interface{ Hint() string }
	hint := ""
	if errors.As(err, &h) && h.Hint() != "" {
		hint = " (" + h.Hint() + ")"
	}
	t.problem(Unreadable, where, "%v%s", err, hint)
	t.down = t.down || t.t.Unreached(err)
	return false
}

// A commit is what is read of one.
type commit struct {
	number uint64
	events []event
	at     map[uint32]bool // places that a row has
	stubs  map[uint32]*evidence.StubRow
	bytes  int64
}

// readWindow reads the rows of commits and the stubs of the same, side by side.
func (t *tables) readWindow(ctx context.Context, first, last uint64) {
	if t.down {
		t.all.lose(true)
		return
	}
	stubs, err := t.readStubs(ctx, first, last)
	if err != nil {
		t.failed(ctx, Place{File: evidence.TableStubs, Statement: first}, err)
		return
	}
	c := newCommit(first, stubs)
	for row, err := range t.t.Events(ctx, first, last) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			// Of this commit nothing is known, as it may have more rows.
			t.failed(ctx, Place{File: evidence.TableEvents, Statement: c.number}, err)
			return
		}
		t.progress(int64(len(row.Raw)))
		if !t.owns(row.Commit, row.Writer) {
			t.strays++
			continue
		}
		for c.number < row.Commit {
			t.judge(c)
			c = newCommit(c.number+1, stubs)
		}
		t.takeRow(c, &row)
	}
	for ; c.number < last; c = newCommit(c.number+1, stubs) {
		t.judge(c)
	}
	t.judge(c)
}

func newCommit(number uint64, stubs map[uint64]map[uint32]*evidence.StubRow) *commit {
	c := &commit{number: number, at: map[uint32]bool{}, stubs: stubs[number]}
	delete(stubs, number)
	return c
}

// owns reports whether the rows of a writer are those of a commit. Where the
// statement cannot be read, anybody's are: they say which events there are.
func (t *tables) owns(number uint64, writer int64) bool {
	if number < 1 || number > uint64(len(t.said)) {
		return false
	}
	return t.statement(number) == nil || t.said[number-1].writer == writer
}

func (t *tables) readStubs(ctx context.Context, first, last uint64) (map[uint64]map[uint32]*evidence.StubRow, error) {
	all := map[uint64]map[uint32]*evidence.StubRow{}
	for row, err := range t.t.Stubs(ctx, first, last) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if !t.owns(row.Commit, row.Writer) {
			t.strays++
			continue
		}
		of := all[row.Commit]
		if of == nil {
			of = map[uint32]*evidence.StubRow{}
			all[row.Commit] = of
		}
		st := t.statement(row.Commit)
		switch {
		case of[row.Pos] != nil:
			t.problem(Damage, stubPlace(&row, ""), "another stub has this place")
		case st != nil && int64(row.Pos) >= counted(st.parsed):
			t.problem(Damage, stubPlace(&row, "_pos"), "the statement counts %d events", counted(st.parsed))
		default:
			of[row.Pos] = &row
		}
	}
	return all, nil
}

func stubPlace(s *evidence.StubRow, column string) Place {
	row := int(s.Pos)
	return Place{File: evidence.TableStubs, Row: &row, Column: column, Statement: s.Commit, Epoch: s.Epoch, Sequence: s.Sequence}
}

// takeRow judges a row by itself, and takes in what its commit is judged by.
func (t *tables) takeRow(c *commit, row *evidence.EventRow) {
	header := t.checkEntry(t.segment, int(row.Pos), &row.Entry)
	e := event{row: int(row.Pos), commit: row.Commit, pos: row.Pos, stored: row.StoredTime.UnixMilli(), streamSeq: row.StreamSeq}
	e.derive(&header)
	if e.lifecycle {
		e.raw = row.Raw
	}
	st := t.statement(row.Commit)
	switch {
	case c.at[e.pos]:
		t.problem(Damage, t.segment.at(&e, ""), "another row has this place")
		return
	case st != nil && int64(e.pos) >= counted(st.parsed):
		t.problem(Damage, t.segment.at(&e, lake.ColumnPos), "the statement counts %d events", counted(st.parsed))
		return
	}
	if st != nil && st.parsed.Time != e.stored {
		t.problem(Damage, t.segment.at(&e, lake.ColumnStoredTime), "the cell says %d, the statement %d", e.stored, st.parsed.Time)
	}
	t.prints(t.segment, &e, header.Fingerprint, header.PrevFingerprint)
	t.compareStub(c.stubs[e.pos], &e, &header)
	t.all.plans.see(t.segment, &e, header.Kind, header.PlanDigest, row.Raw)
	c.at[e.pos], c.bytes = true, c.bytes+int64(len(row.Raw))
	c.events = append(c.events, e)
}

// compareStub compares a stub with the event that it will stand for one day.
func (t *tables) compareStub(s *evidence.StubRow, e *event, h *profile.Header) {
	if s == nil {
		p := t.segment.at(e, "")
		p.File = evidence.TableStubs
		t.problem(Missing, p, "the event has no stub")
		return
	}
	for _, c := range []struct {
		column     string
		differs    bool
		cell, want any
	}{
		{"epoch", s.Epoch != h.Epoch, s.Epoch, h.Epoch},
		{"sequence", s.Sequence != h.Sequence, s.Sequence, h.Sequence},
		{"fingerprint", s.Fingerprint != h.Fingerprint, s.Fingerprint, h.Fingerprint},
		{"kind", s.Kind != h.Kind, s.Kind, h.Kind},
		{"tenant", s.Tenant != h.Tenant, s.Tenant, h.Tenant},
		{"class_uid", s.ClassUID != h.ClassUID, s.ClassUID, h.ClassUID},
		{"day", s.Day != t.t.Day(h.Time), s.Day, t.t.Day(h.Time)},
	} {
		if c.differs {
			t.problem(Damage, stubPlace(s, c.column), "the cell says %.80v, the event's bytes say %.80v", c.cell, c.want)
		}
	}
}

// judge compares a commit with its statement. What left it by retention is known by
// its stubs.
func (t *tables) judge(c *commit) {
	st := t.statement(c.number)
	if st == nil { // which is told
		for i := range c.events {
			t.put(&c.events[i], t.segment)
		}
		t.all.lose(false)
		return
	}
	n := counted(st.parsed)
	if n == 0 {
		return
	}
	all, expired, missing := make([]event, 0, len(c.events)), 0, false
	rest := c.events
	for pos := uint32(0); int64(pos) < n; pos++ {
		if len(rest) > 0 && rest[0].pos == pos {
			t.put(&rest[0], t.segment)
			all, rest = append(all, rest[0]), rest[1:]
			continue
		}
		stub := c.stubs[pos]
		if stub == nil {
			missing = true
			continue
		}
		e := t.stubEvent(stub)
		rule, over := t.over(stub, st.parsed.Time)
		if over {
			s := t.left(rule)
			t.put(&e, s)
			expired++
		} else {
			at := t.segment.at(&e, "")
			t.problem(Missing, at, "the event is gone, and its time is not over by the rule %q; its stub is here", rule)
		}
		all = append(all, e)
	}
	if missing {
		t.problem(Missing, t.place(c.number), "it counts %d events, %d are there", n, len(all))
		return
	}
	if !t.broken {
		t.compare(st, all)
	}
	if len(c.events) == len(all) {
		t.compareTransport(c, all)
	}
}

// put gives an event to its epoch.
func (t *tables) put(e *event, s *segment) {
	if e.stub {
		t.countStub(s)
	} else {
		t.report.Events++
	}
	t.all.epoch(e.epoch).add(t.all, s, e)
}

// compareTransport compares what is nowhere in the events.
func (t *tables) compareTransport(c *commit, all []event) {
	said := &t.said[c.number-1]
	if got := t.t.StreamSeqs(len(all), func(i int) uint64 { return all[i].streamSeq }); got != said.streamSeqs {
		t.problem(Damage, Place{File: evidence.TableEvents, Column: lake.ColumnStreamSeq, Statement: c.number}, "the cells of the commit are not those that were stored")
	}
	if c.bytes != said.bytes {
		p := t.place(c.number)
		p.Column = "bytes"
		t.problem(Damage, p, "the cell says %d, the events have %d", said.bytes, c.bytes)
	}
}

func (t *tables) stubEvent(s *evidence.StubRow) event {
	e := event{
		row: int(s.Pos), commit: s.Commit, pos: s.Pos, tenant: s.Tenant, epoch: s.Epoch, class: s.ClassUID, sequence: s.Sequence, stub: true,
		lifecycle: s.ClassUID == int32(ocsf.ClassApplicationLifecycle) && s.Kind == profile.KindLifecycle,
	}
	if day, err := time.Parse("20060102", s.Day); err == nil {
		e.time = day.UnixMilli()
	} else {
		t.problem(Damage, stubPlace(s, "day"), "%.80q is no day", s.Day)
	}
	e.fingerprintValid = unhex(&e.fingerprint, s.Fingerprint)
	return e
}

// over says by which rule an event was to leave that a stub stands for, and whether
// its time was over.
func (t *tables) over(s *evidence.StubRow, stored int64) (rule string, over bool) {
	since := time.UnixMilli(stored)
	if day, err := time.Parse("20060102", s.Day); err == nil && day.After(since) {
		since = day
	}
	now := time.Now()
	kept := t.kept
	if t.opts.Retention != nil {
		kept = []evidence.Kept{{Policy: *t.opts.Retention}}
	}
	rule = retention.Forever.String()
	for i := range kept {
		until := kept[i].Until
		if until.IsZero() || until.After(now) {
			until = now
		}
		r, expires := t.t.Expires(&kept[i].Policy, s.Tenant, s.ClassUID, since)
		rule = r.String()
		if !expires.IsZero() && !expires.After(until) {
			return rule, true
		}
	}
	return rule, false
}

// left is the segment of what left by a rule.
func (t *tables) left(rule string) *segment {
	s := t.rules[rule]
	if s == nil {
		s = &segment{
			named: &named{stubs: &lake.StubFile{Reason: lake.ReasonRetention, Rule: rule}},
			place: Place{File: evidence.TableStubs}, deep: true,
		}
		t.rules[rule] = s
	}
	return s
}
