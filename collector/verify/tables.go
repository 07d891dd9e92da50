// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"github.com/docket-audit/docket/collector/evidence"
	"github.com/docket-audit/docket/collector/lake"
)

// tables is a store in tables. It goes by the tables and the statements alone:
// whatever else the server says of itself, such as by a view, is compared.
type tables struct {
	*verifier

	t      evidence.Tables
	said   []said // by number from 1, beside verifier.statements
	ranges map[int64][2]int64
	newest int64 // of the writers in ranges
	folded evidence.Fold
	unfit  error // why the next statement is none that follows
	// snapshots are the SHA-256 of those that a start would take, by the number and
	// the digest of the statement.
	snapshots map[snapshot][sha256.Size]byte

	all      *rows
	segment  *segment            // of all rows
	rules    map[string]*segment // of what stands for rows that left, by the rule
	kept     []evidence.Kept
	strays   int64 // rows that are of no commit, which readers pass over
	overtook int64 // of docket_commits
	down     bool  // the server does not answer any more
}

// said is what a statement says beyond [lake.Statement]; the zero value of one that
// cannot be read.
type said struct {
	writer, bytes, quarantined  int64
	quarantinedRoot, streamSeqs string
}

type snapshot struct {
	number uint64
	digest string
}

func newTables(v *verifier, t evidence.Tables) *tables {
	return &tables{
		verifier: v, t: t, folded: t.NewFold(), snapshots: map[snapshot][sha256.Size]byte{}, rules: map[string]*segment{},
		segment: &segment{named: new(named), place: Place{File: evidence.TableEvents}, deep: true},
	}
}

func (t *tables) place(number uint64) Place {
	return Place{File: evidence.TableCommits, Statement: number}
}

func (t *tables) whole() Place { return Place{File: evidence.TableCommits} }

func (t *tables) holds() string { return "tables" }

// begin reads all statements. A server that cannot be asked for them keeps the store
// from being judged; what it refuses later on is a part that could not be read.
func (t *tables) begin(ctx context.Context) (release func(), err error) {
	release = func() {}
	if t.kept, err = t.t.Kept(ctx); err != nil {
		if !t.t.Corrupt(err) && !t.t.Lacks(err) {
			return release, err
		}
		t.problem(Damage, Place{File: evidence.TableRetention}, "%v", err)
	}
	for s, err := range t.t.Snapshots(ctx) {
		if err != nil {
			if !t.t.Lacks(err) {
				return release, err
			}
			t.problem(Damage, Place{File: evidence.TableSnapshots}, "%v", err)
			break
		}
		sum := sha256.Sum256(s.State)
		key := snapshot{s.Number, s.Digest}
		if have, ok := t.snapshots[key]; ok && have != sum {
			t.problem(Damage, Place{File: evidence.TableSnapshots, Statement: s.Number}, "there are two of this statement")
		}
		t.snapshots[key] = sum
	}
	return release, t.readCommits(ctx)
}

func (t *tables) readCommits(ctx context.Context) error {
	from := uint64(len(t.statements)) + 1
	if err := t.readRanges(ctx); err != nil {
		return t.lacks(err)
	}
	for row, err := range t.t.Commits(ctx, from) {
		if err != nil {
			return t.lacks(err)
		}
		t.take(&row)
	}
	t.report.Statements = uint64(len(t.statements))
	return nil
}

// lacks makes a problem of an error that says that docket_commits is not there.
func (t *tables) lacks(err error) error {
	if t.t.Lacks(err) {
		t.broken = true
		t.problem(Missing, t.whole(), "%v", err)
		return nil
	}
	return err
}

// readRanges finds out which numbers the commits of each writer have, as readers do:
// the later one's begin ends the range of the earlier one.
func (t *tables) readRanges(ctx context.Context) error {
	t.ranges = map[int64][2]int64{}
	var last *[3]int64
	for r, err := range t.t.Ranges(ctx) {
		if err != nil {
			return err
		}
		if last != nil {
			t.ranges[last[0]] = [2]int64{last[1], min(last[2], r[1]-1)}
		}
		last = &r
	}
	if last != nil {
		t.newest = last[0]
		t.ranges[last[0]] = [2]int64{last[1], math.MaxInt64} // it may be at it
	}
	return nil
}

// take appends the statement of a row, and empty ones in place of those that are
// missing before it.
func (t *tables) take(row *evidence.CommitRow) {
	if row.Writer > t.newest {
		return // it came since
	}
	if r, ok := t.ranges[row.Writer]; !ok || row.Number < r[0] || row.Number > r[1] {
		t.overtook++
		return
	}
	place := t.place(uint64(row.Number))
	next := uint64(len(t.statements)) + 1
	digest := sha256.Sum256(row.Statement)
	const reasonable = 1 << 20 // of numbers left out, by a row that anyone can put
	switch {
	case row.Number < 1, uint64(row.Number) > next && uint64(row.Number)-next > reasonable-t.gaps:
		t.problem(Damage, place, "its number is none that could follow")
		return
	case uint64(row.Number) < next: // by the order of the rows, it is the last one once more
		if t.statements[next-2].digest != digest {
			t.broken = true
			t.problem(Damage, place, "there are two of this number")
		}
		return
	}
	for ; next < uint64(row.Number); next++ {
		t.gaps++
		t.broken = true
		t.problem(Missing, t.place(next), "the statement is missing")
		t.statements, t.said = append(t.statements, statement{number: next}), append(t.said, said{})
	}
	s := statement{number: next, raw: []byte{}, digest: digest}
	more := said{writer: row.Writer, bytes: row.Bytes}
	st, err := t.t.Parse(row.Statement)
	if err != nil {
		t.broken = true
		t.problem(Damage, place, "%v", err)
	} else {
		t.compareCommit(row, st, hex.EncodeToString(digest[:]))
		more = said{st.Writer, row.Bytes, st.Quarantined, st.QuarantinedRoot, st.StreamSeqs}
		s.parsed = asLake(st)
		t.foldNext(st, hex.EncodeToString(digest[:]))
	}
	t.statements, t.said = append(t.statements, s), append(t.said, more)
}

// asLake is a statement as all of the judgement knows one. What it adds to epochs is
// in the fold.
func asLake(st *evidence.Statement) *lake.Statement {
	out := &lake.Statement{Number: st.Number, Prev: st.Prev, Time: st.Time, StreamSeq: st.StreamSeq, Fence: st.Fence}
	for _, c := range st.Counts {
		out.Counts = append(out.Counts, lake.Count(c))
	}
	return out
}

// compareCommit compares the cells beside a statement with it. Readers find by them
// where to look.
func (t *tables) compareCommit(row *evidence.CommitRow, st *evidence.Statement, digest string) {
	wrong := func(column string, cell, want any) {
		p := t.place(uint64(row.Number))
		p.Column = column
		t.problem(Damage, p, "the cell says %.80s, the statement %.80s", fmt.Sprint(cell), fmt.Sprint(want))
	}
	for _, c := range []struct {
		column     string
		cell, want int64
	}{
		{"writer", row.Writer, st.Writer},
		{"time", row.Time, st.Time},
		{"events", row.Events, st.Events},
		{"quarantined", row.Quarantined, st.Quarantined},
		{"fence", row.Fence, int64(st.Fence)},
		{"stream_seq", row.StreamSeq, int64(st.StreamSeq)},
	} {
		if c.cell != c.want {
			wrong(c.column, c.cell, c.want)
		}
	}
	if row.Digest != digest {
		wrong("digest", row.Digest, digest)
	}
}

// foldNext adds a statement to the fold, as long as each follows the one before.
func (t *tables) foldNext(st *evidence.Statement, digest string) {
	if t.broken || t.unfit != nil {
		return
	}
	if t.unfit = t.folded.Add(st, digest); t.unfit != nil {
		return
	}
	have, ok := t.snapshots[snapshot{st.Number, digest}]
	if !ok {
		return
	}
	want, err := t.folded.Snapshot()
	if err != nil || sha256.Sum256(want) != have {
		t.problem(Damage, Place{File: evidence.TableSnapshots, Statement: st.Number}, "it is not what %d statements amount to", st.Number)
	}
}

func (t *tables) next(ctx context.Context) bool {
	before := len(t.statements)
	if err := t.readCommits(ctx); err != nil {
		t.unread(t.whole(), err)
	}
	return len(t.statements) > before
}

func (t *tables) fold() {
	if t.broken {
		return
	}
	if t.unfit != nil {
		t.broken = true
		t.problem(Damage, t.place(t.folded.Number()+1), "%v", t.unfit)
		return
	}
	m := &lake.Manifest{Number: t.folded.Number(), Epochs: map[string]lake.Epoch{}}
	for uid, e := range t.folded.Epochs() {
		m.Epochs[uid] = lake.Epoch(*e)
	}
	t.verifier.fold = m
}

func (t *tables) notes() {
	if n := cmp.Or(t.strays, t.overtook); n > 0 {
		t.note("rows that are of no commit, and nobody reads: %d, and %d of %s", t.strays, t.overtook, evidence.TableCommits)
	}
	if len(t.report.Expired) > 0 && t.opts.Retention == nil {
		t.note("that events were not to be kept any longer is the word of %s, which nobody signs: %s; --retention says how long they are to be kept", evidence.TableRetention, t.periods())
	}
}

// mostPeriods is how many of them are told.
const mostPeriods = 5

// periods says how long events were to be kept, by the word of the tables, the last
// ones if that changed often.
func (t *tables) periods() string {
	kept := t.kept
	text := ""
	if n := len(kept) - mostPeriods; n > 0 {
		kept, text = kept[n:], fmt.Sprintf("%d before, ", n)
	}
	for i, k := range kept {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%.200q since %s", k.Policy, k.From.UTC().Format(time.RFC3339))
	}
	return text
}
