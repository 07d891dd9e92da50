// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/docket-audit/docket/collector/evidence"
	"github.com/docket-audit/docket/collector/store"
)

// readHeld reads the messages that could not be stored as events, and tells rows
// which sequences they claim.
func (t *tables) readHeld(ctx context.Context) {
	if t.down {
		t.all.lose(true)
		return
	}
	seen := map[uint64]bool{}
	var part []store.Quarantined
	var number uint64
	done := func() {
		if number > 0 {
			t.judgeHeld(number, part)
			seen[number] = true
		}
	}
	for row, err := range t.t.Held(ctx) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			t.failed(ctx, Place{File: evidence.TableQuarantine}, err)
			return
		}
		if !t.owns(row.Commit, row.Writer) {
			t.strays++
			continue
		}
		if row.Commit != number {
			done()
			number, part = row.Commit, part[:0]
		}
		if t.takeHeld(&row, len(part)) {
			part = append(part, row.Quarantined)
		}
	}
	done()
	for i := range t.said {
		if n := uint64(i) + 1; t.said[i].quarantined > 0 && !seen[n] {
			t.problem(Missing, Place{File: evidence.TableQuarantine, Statement: n}, "the statement counts %d messages, 0 are there", t.said[i].quarantined)
			t.all.lose(false)
		}
	}
}

// takeHeld judges a message by itself, and says whether its place is the next one.
func (t *tables) takeHeld(row *evidence.HeldRow, before int) bool {
	place := Place{File: evidence.TableQuarantine, Statement: row.Commit, Row: new(int(row.Index) - 1)}
	at := func(column string) Place {
		p := place
		p.Column = column
		return p
	}
	t.report.Held++
	t.progress(int64(len(row.Data)))
	if sum := sha256.Sum256(row.Data); hex.EncodeToString(sum[:]) != row.Digest {
		t.problem(Damage, at("digest"), "it is not the SHA-256 of the message")
	}
	st := t.statement(row.Commit)
	if st != nil && row.StoredTime != st.parsed.Time {
		t.problem(Damage, at("_stored_time"), "the cell says %d, the statement %d", row.StoredTime, st.parsed.Time)
	}
	if st != nil && (row.Index != int32(before)+1 || int64(before) >= t.said[row.Commit-1].quarantined) {
		t.problem(Damage, at("_index"), "the statement counts %d messages, and before this one are %d", t.said[row.Commit-1].quarantined, before)
		return false
	}
	if row.Epoch != "" && row.Sequence > 0 {
		p := t.all.epoch(row.Epoch)
		p.touched = true
		p.quarantined.Add(row.Sequence)
	}
	return true
}

// judgeHeld compares the messages of a commit with what its statement says.
func (t *tables) judgeHeld(number uint64, messages []store.Quarantined) {
	if t.statement(number) == nil {
		return // which is told
	}
	said := &t.said[number-1]
	place := Place{File: evidence.TableQuarantine, Statement: number}
	if n := int64(len(messages)); n != said.quarantined {
		t.problem(Missing, place, "the statement counts %d messages, %d are there", said.quarantined, n)
		t.all.lose(false)
		return
	}
	if root, err := t.t.HeldRoot(messages); err != nil || root != said.quarantinedRoot {
		t.problem(Damage, place, "the messages are not those that were stored: the statement's Merkle root is %.16s, they make it %.16s", said.quarantinedRoot, root)
	}
}

// mostLooks is how often a view and its table are compared, as rows may leave by
// retention between the one and the other.
const mostLooks = 3

// compareViews looks whether who reads by the views finds what is in the tables.
func (t *tables) compareViews(ctx context.Context, first, last uint64) {
	var spans []evidence.Span
	for n := first; n <= last; n++ {
		if t.statement(n) == nil {
			return // which is told, and nobody knows what a view should have
		}
		if i := len(spans) - 1; i >= 0 && spans[i].Writer == t.said[n-1].writer {
			spans[i].Last = n
		} else {
			spans = append(spans, evidence.Span{Writer: t.said[n-1].writer, First: n, Last: n})
		}
	}
	for _, view := range t.t.Views() {
		if t.down {
			return
		}
		var seen, want evidence.Sum
		var err error
		for range mostLooks {
			if seen, err = t.t.Seen(ctx, view, first, last); err == nil {
				want, err = t.t.Want(ctx, view, spans)
			}
			if err != nil || seen == want {
				break
			}
		}
		switch {
		case err != nil:
			t.failed(ctx, Place{File: view, Statement: first}, err)
		case seen != want:
			t.problem(Damage, Place{File: view, Statement: first}, "of commits %d to %d the view shows %d rows, and not what the %d of the table are", first, last, seen.Rows, want.Rows)
		}
	}
}

// checkDefinitions looks whether tables and views are what the program makes them: one
// that asks who is asking shows the judgement what is there, and others what it likes.
func (t *tables) checkDefinitions(ctx context.Context) {
	if t.down {
		return
	}
	altered, err := t.t.Altered(ctx)
	if err != nil {
		if ctx.Err() == nil {
			t.refused(Place{File: "system.tables"}, err)
		}
		return
	}
	for _, a := range altered {
		kind := Damage
		if a.Missing {
			kind = Missing
		}
		t.problem(kind, Place{File: a.Name}, "it is not defined as docket makes it: %s", a.What)
	}
}
