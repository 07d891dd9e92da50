// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger/proof"
	"github.com/docket-audit/docket/collector/store"
)

// rows is what all rows say together. One goroutine uses it.
type rows struct {
	v      *verifier
	run    []*segment // files whose commits overlap; see [lake.Runs]
	last   uint64     // their last commit
	epochs map[string]*epoch
	latest *epoch // the one that was asked for last
	// lost says that rows are missing because of a problem that was told; changed
	// that this was not only that a file could not be read.
	lost, changed bool

	plans plans
	seen  map[uint64]int64 // rows by commit, where they are not as many as counted
	done  map[uint64]bool  // commits whose counts were compared
	// believed are the files whose rows were not read; see [verifier.believes].
	believed []named
}

func newRows(v *verifier) *rows {
	r := &rows{v: v, epochs: map[string]*epoch{}, seen: map[uint64]int64{}, done: map[uint64]bool{}}
	v.scope.begin(r)
	return r
}

// add takes in the rows of the next file. They are kept until the files are
// there that have others of the same commits.
func (r *rows) add(s *segment) {
	if len(r.run) > 0 && s.FirstCommit > r.last {
		r.judge()
	}
	r.run, r.last = append(r.run, s), max(r.last, s.LastCommit)
	if s.stubs == nil {
		r.v.report.Events += int64(len(s.events))
	}
	if s.damaged {
		r.lose(s.unread)
	}
	r.plans.add(&s.plans)
	s.plans = plans{}
}

// lose notes that the rows of a file are missing.
func (r *rows) lose(unread bool) {
	r.lost, r.changed = true, r.changed || !unread
}

// A rowOf is an event of a file.
type rowOf struct {
	segment *segment
	*event
}

// judge goes through the rows of a run in the order in which they were stored,
// and compares the counts of each commit.
func (r *rows) judge() {
	var all []rowOf
	whole := true
	for _, s := range r.run {
		whole = whole && !s.damaged
		for i := range s.events {
			if e := &s.events[i]; r.v.scope.row(e) {
				all = append(all, rowOf{s, e})
			}
		}
	}
	order := func(a, b rowOf) int { return cmp.Or(cmp.Compare(a.commit, b.commit), cmp.Compare(a.pos, b.pos)) }
	if len(r.run) > 1 || len(all) > 0 && (lake.Public(r.run[0].Path) || r.run[0].stubs != nil) {
		slices.SortStableFunc(all, order)
	}
	for _, e := range all {
		if e.stub {
			r.v.countStub(e.segment)
		}
		r.epoch(e.epoch).add(r, e.segment, e.event)
	}
	if len(r.run) == 1 && r.run[0].compared {
		r.done[r.run[0].FirstCommit] = true
	} else if whole && !r.v.broken {
		r.count(all)
	}
	for _, s := range r.run {
		s.events = nil // segments are kept for the few of their events that are told
	}
	r.run, r.last = nil, 0
}

// count compares the rows of each commit of a run with what its statement counts.
func (r *rows) count(all []rowOf) {
	for len(all) > 0 {
		commit := all[0].commit
		n := 0
		events := []event{}
		for ; n < len(all) && all[n].commit == commit; n++ {
			e := *all[n].event
			e.raw = nil
			if r.v.scope.tenant(e.tenant) {
				events = append(events, e)
			}
		}
		all = all[n:]
		st := r.v.statement(commit)
		switch {
		case st == nil: // told
		case int64(len(events)) < r.v.scope.counted(st.parsed):
			r.seen[commit] = int64(len(events))
		default:
			r.v.compare(st, events)
			r.done[commit] = true
		}
	}
}

// checkRows compares the rows of a file with what the statements say of them.
// It is called for each file apart, maybe at the same time.
func (v *verifier) checkRows(s *segment) {
	v.describe(s)
	if v.broken {
		return
	}
	for i := range s.events {
		e := &s.events[i]
		if st := v.statement(e.commit); st == nil || e.commit < s.FirstCommit || e.commit > s.LastCommit {
			v.problem(Damage, s.at(e, lake.ColumnCommit), "the file holds commits %d to %d", s.FirstCommit, s.LastCommit)
			s.damaged = true
		} else if st.parsed.Time != e.stored {
			v.problem(Damage, s.at(e, lake.ColumnStoredTime), "the cell says %d, the statement %d", e.stored, st.parsed.Time)
		}
	}
	if lake.Public(s.Path) {
		v.checkPartition(s)
	}
	// A file as a flush makes it has all of one commit.
	if st := v.statement(s.FirstCommit); !s.damaged && !v.scope.partial() && s.FirstCommit == s.LastCommit && st != nil && int64(len(s.events)) >= counted(st.parsed) {
		v.compare(st, s.events)
		s.compared = true
	}
}

// checkPartition compares the directory of a public file with its rows, and
// their order: others read the lake by the names of its directories.
func (v *verifier) checkPartition(s *segment) {
	var held lake.Partition // the one of the row before
	var day int64
	for i := range s.events {
		e := &s.events[i]
		if held.Day == "" || held.ClassUID != e.class || held.Tenant != e.tenant || day != e.time/dayMS {
			held, day = lake.Partition{ClassUID: e.class, Tenant: e.tenant, Day: lake.Day(e.time)}, e.time/dayMS
			if !held.Holds(s.Path) {
				v.problem(Damage, s.at(e, ""), "it is of class %d, tenant %q, day %s, and lies in another directory", e.class, e.tenant, held.Day)
				return
			}
		}
		if i == 0 {
			continue
		}
		if p := &s.events[i-1]; cmp.Or(cmp.Compare(p.time, e.time), cmp.Compare(p.commit, e.commit), cmp.Compare(p.pos, e.pos)) > 0 {
			v.problem(Damage, s.at(e, ""), "it does not follow the row before it in time")
			return
		}
	}
}

// statement returns a statement that could be read, or nil.
func (v *verifier) statement(number uint64) *statement {
	if number < 1 || number > uint64(len(v.statements)) || v.statements[number-1].parsed == nil {
		return nil
	}
	return &v.statements[number-1]
}

// counted returns how many rows a commit added.
func counted(s *lake.Statement) int64 {
	var n int64
	for i := range s.Counts {
		n += s.Counts[i].Count
	}
	return n
}

// describe compares what the statement says of a file with its rows. Readers
// pass over files by these descriptions, so that a wrong one hides events.
func (v *verifier) describe(s *segment) {
	got := lake.File{Path: s.Path, SHA256: s.SHA256, Bytes: s.Bytes, Rows: int64(len(s.events)), Epochs: map[string]store.Interval{}}
	for i := range s.events {
		e := &s.events[i]
		if i == 0 {
			got.FirstCommit, got.LastCommit, got.MinTime, got.MaxTime = e.commit, e.commit, e.time, e.time
		}
		got.FirstCommit, got.LastCommit = min(got.FirstCommit, e.commit), max(got.LastCommit, e.commit)
		got.MinTime, got.MaxTime = min(got.MinTime, e.time), max(got.MaxTime, e.time)
		iv, ok := got.Epochs[e.epoch]
		if !ok {
			iv = store.Interval{First: e.sequence, Last: e.sequence}
		}
		got.Epochs[e.epoch] = store.Interval{First: min(iv.First, e.sequence), Last: max(iv.Last, e.sequence)}
	}
	wrong := func(what string) {
		v.problem(Damage, statementPlace(s.statement),
			"what it says of %s of %s does not follow from the rows", what, s.Path)
	}
	if got.Rows != s.Rows {
		wrong("the number of rows")
	}
	if got.FirstCommit != s.FirstCommit || got.LastCommit != s.LastCommit {
		wrong("the commits")
	}
	if got.MinTime != s.MinTime || got.MaxTime != s.MaxTime {
		wrong("the times")
	}
	if !maps.Equal(got.Epochs, s.Epochs) {
		wrong("the epochs")
	}
	if s.deep && (s.minEvent != s.MinEvent || s.maxEvent != s.MaxEvent || s.minOperation != s.MinOperation || s.maxOperation != s.MaxOperation) {
		wrong("the uids")
	}
}

// A countKey is what a statement counts by.
type countKey struct {
	tenant string
	class  int32
	day    int64 // since 1970
}

const dayMS = 24 * 60 * 60 * 1000

// compare derives the counts and the Merkle roots of a commit from its rows,
// which it puts into the order of their positions.
func (v *verifier) compare(st *statement, events []event) {
	place := v.source.place(st.number)
	byPos := func(a, b event) int { return cmp.Compare(a.pos, b.pos) }
	if !slices.IsSortedFunc(events, byPos) {
		slices.SortFunc(events, byPos)
	}
	trees := map[countKey]*proof.Tree{}
	var key countKey
	var tree *proof.Tree
	for i := range events {
		e := &events[i]
		if v.scope.partial() && i > 0 && e.pos == events[i-1].pos || !v.scope.partial() && e.pos != uint32(i) {
			v.problem(Damage, place, "the rows of the commit have no position %d, or two", i)
			return
		}
		if e.streamSeq > st.parsed.StreamSeq {
			v.problem(Damage, place, "a row has stream sequence %d, the statement ends at %d", e.streamSeq, st.parsed.StreamSeq)
			return
		}
		if !e.fingerprintValid {
			return // told
		}
		if k := (countKey{e.tenant, e.class, e.time / dayMS}); tree == nil || k != key {
			if key, tree = k, trees[k]; tree == nil {
				tree = new(proof.Tree)
				trees[key] = tree
			}
		}
		tree.Add(e.fingerprint[:])
	}
	for _, c := range st.parsed.Counts {
		if !v.scope.tenant(c.Tenant) {
			continue
		}
		v.compareCount(place, trees, c)
	}
	for key, tree := range trees {
		v.problem(Damage, place, "it does not count %d events of tenant %q, class %d, day %s", tree.Size(), key.tenant, key.class, lake.Day(key.day*dayMS))
	}
}

// compareCount takes the tree of one count out of trees.
func (v *verifier) compareCount(place Place, trees map[countKey]*proof.Tree, c lake.Count) {
	var key countKey
	tree := new(proof.Tree)
	for k, t := range trees {
		if k.tenant == c.Tenant && k.class == c.ClassUID && lake.Day(k.day*dayMS) == c.Day {
			key, tree = k, t
		}
	}
	delete(trees, key)
	root := tree.Root()
	switch got := hex.EncodeToString(root[:]); {
	case int64(tree.Size()) != c.Count:
		v.problem(Damage, place, "it counts %d events of tenant %q, class %d, day %s; the rows are %d", c.Count, c.Tenant, c.ClassUID, c.Day, tree.Size())
	case got != c.Root:
		v.problem(Damage, place, "its Merkle root for tenant %q, class %d, day %s is %.16s, the rows make it %.16s", c.Tenant, c.ClassUID, c.Day, c.Root, got)
	}
}

// finish judges the last run, and looks at the commits of which not all rows
// were found.
func (r *rows) finish() {
	if len(r.run) > 0 {
		r.judge()
	}
	if r.lost || r.v.broken {
		return
	}
	for i := range r.v.statements {
		st := &r.v.statements[i]
		if st.parsed == nil || r.done[st.number] {
			continue
		}
		if n := r.v.scope.counted(st.parsed); n > 0 {
			r.v.problem(Missing, r.v.source.place(st.number), "it counts %d events, %d are there", n, r.seen[st.number])
		}
	}
}

func equal(a, b store.Intervals) bool { return slices.Equal(a, b) }
