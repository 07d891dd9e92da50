// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"errors"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// What is judged of a history in which every byte is what the statements say of
// it, and these are what the ledger has. Then nothing is derived again from the
// rows: what a statement counts was in its leaf when the ledger's owner signed
// it. Read are the events by which emitters speak of themselves, since what they
// say reaches further than what is stored: a head that was signed, a start that
// says how far the epoch before it came.

// A statement that the owner has not signed for yet stands for nothing: of what it
// adds the rows are read. One that takes files away may have put anything into the
// place of events that were signed for, and then all rows are.

// believes reports whether the statements can stand for the rows. Where anything
// is wrong with them, or the ledger, the rows have to say what it comes to.
func (v *verifier) believes() bool {
	if v.opts.Deep || v.broken || v.fold == nil || len(v.report.Problems) > 0 || v.unsignedRemoval() {
		return false
	}
	for uid, e := range v.fold.Epochs {
		if v.scope.epoch(uid) && len(e.Conflicts) > 0 {
			return false // which rows those are is to be told
		}
	}
	return true
}

// unsignedRemoval reports whether a statement that is not signed for takes files away.
func (v *verifier) unsignedRemoval() bool {
	return slices.ContainsFunc(v.statements[v.signed:], func(s statement) bool {
		return s.parsed == nil || len(s.parsed.Removed)+len(s.parsed.Stubs) > 0
	})
}

// checkTold looks at every file's digest, and at what events say of epochs and
// plans. It returns nil when something is wrong with a file: only the rows of the
// others say then what is missing.
func (v *verifier) checkTold(ctx context.Context, segments []named) *rows {
	all := newRows(v)
	signed, err := v.foldTo(v.signed)
	if err != nil {
		return nil // it was folded before
	}
	var told, behind []named
	for _, f := range segments {
		if f.statement <= uint64(v.signed) {
			told = append(told, f)
		} else {
			behind = append(behind, f)
		}
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	v.eachSegment(reading, told, v.readTold, func(s *segment) {
		if all.addTold(s); all.lost {
			stop()
		}
	})
	all.believe(signed, told)
	v.eachSegment(reading, behind, v.checkSegment, all.add)
	if ctx.Err() == nil {
		all.finish()
	}
	if ctx.Err() != nil {
		return all
	}
	if all.lost || len(v.report.Problems) > 0 {
		v.report.Problems = v.report.Problems[:0]
		v.report.Events, v.report.Expired, v.report.Erased, v.hashed = 0, nil, 0, 0
		return nil
	}
	return all
}

// tellers are the classes of events that speak of an epoch or carry a plan.
var tellers = []int32{int32(ocsf.ClassApplicationLifecycle), int32(ocsf.ClassEntityManagement)}

// mayTell reports whether a file can have such events, by its name and by what
// the statements of its commits count.
func (v *verifier) mayTell(f *lake.File) bool {
	for _, class := range tellers {
		if !lake.MayHold(f.Path, class) {
			continue
		}
		if lake.Public(f.Path) {
			return true
		}
		for n := f.FirstCommit; n <= f.LastCommit; n++ {
			st := v.statement(n)
			if st == nil {
				return true
			}
			for i := range st.parsed.Counts {
				if st.parsed.Counts[i].ClassUID == class {
					return true
				}
			}
		}
	}
	return false
}

// readTold looks at the bytes of one file, and reads of its rows what is told.
func (v *verifier) readTold(ctx context.Context, f *named) *segment {
	s := &segment{named: f, place: Place{File: inLake(f.Path), Statement: f.statement}}
	if ctx.Err() != nil {
		s.damaged = true
		return s
	}
	if v.checkFile(s); s.damaged {
		return s
	}
	if f.stubs != nil {
		v.checkStubs(ctx, s)
		return s
	}
	if !v.mayTell(&f.File) {
		return s
	}
	err := v.readToldRows(ctx, s)
	if err != nil && ctx.Err() == nil {
		s.damaged = true
		v.problem(Damage, s.place, "%v", err)
	}
	return s
}

func (v *verifier) readToldRows(ctx context.Context, s *segment) error {
	var rows []int
	commits := map[int]uint64{}
	names := []string{"class_uid"}
	if s.FirstCommit != s.LastCommit {
		names = append(names, lake.ColumnCommit)
	}
	first := 0 // row of the batch
	err := lake.ReadColumns(ctx, v.lakePath(), s.Path, names, func(columns []arrow.Array) error {
		for i, class := range columns[0].(*array.Int32).Int32Values() {
			if !slices.Contains(tellers, class) {
				continue
			}
			rows = append(rows, first+i)
			commits[first+i] = s.FirstCommit
			if len(columns) > 1 {
				commits[first+i] = uint64(columns[1].(*array.Int64).Value(i))
			}
		}
		first += columns[0].Len()
		return nil
	})
	if err != nil {
		return err
	}
	return lake.ReadRaw(ctx, v.lakePath(), &s.File, rows, func(row int, raw []byte) error {
		e := event{row: row, commit: commits[row]}
		header, err := profile.Check(raw)
		if errors.Is(err, profile.ErrFingerprint) {
			v.problem(Damage, s.at(&e, lake.ColumnRaw), "the bytes are not those that were sealed: %v", err)
			header, err = profile.Parse(raw)
		}
		if err != nil {
			v.problem(Damage, s.at(&e, lake.ColumnRaw), "the bytes are no event: %v", err)
			return nil
		}
		e.derive(&header)
		switch own := slices.Clone(raw); {
		case e.lifecycle:
			e.raw = own
		case e.class == int32(ocsf.ClassEntityManagement):
			s.plans.see(s, &e, header.Kind, header.PlanDigest, own)
		}
		v.prints(s, &e, header.Fingerprint, header.PrevFingerprint)
		s.events = append(s.events, e)
		return nil
	})
}

// derive sets what the bytes of an event say of it.
func (e *event) derive(h *profile.Header) {
	e.tenant, e.emitter, e.epoch, e.class, e.activity = h.Tenant, h.Emitter, h.Epoch, h.ClassUID, h.ActivityID
	e.time, e.sequence = h.Time, h.Sequence
	e.lifecycle = h.ClassUID == int32(ocsf.ClassApplicationLifecycle) && h.Kind == profile.KindLifecycle
}

// addTold takes in what the events of the next file say.
func (r *rows) addTold(s *segment) {
	if s.damaged {
		r.lose(s.unread)
	}
	if s.stubs == nil {
		r.v.report.Events += s.Rows
	}
	for i := range s.events {
		e := &s.events[i]
		if !r.v.scope.row(e) {
			continue
		}
		p := r.epoch(e.epoch)
		p.touched = true
		switch {
		case e.stub:
			r.v.countStub(s)
			p.countStub(s, e)
			if e.sequence > p.newest.sequence {
				p.newest = *e
			}
		case e.lifecycle:
			p.tell(s, e)
		}
	}
	r.plans.add(&s.plans)
	s.plans, s.events = plans{}, nil
}

// believe takes from the statements that are signed for what the rows would say.
func (r *rows) believe(signed *lake.Manifest, segments []named) {
	r.believed = segments
	for n := range r.v.signed {
		r.done[uint64(n)+1] = true
	}
	for uid, said := range signed.Epochs {
		if !r.v.scope.epoch(uid) {
			continue
		}
		p := r.epoch(uid)
		p.tenant, p.emitter = said.Tenant, said.Emitter
		if !equal(p.stored, said.Stored) {
			p.stored, p.touched = said.Stored.Clone(), true
		}
		p.last = event{sequence: said.HeadSequence}
		if p.newest.sequence == p.last.sequence {
			p.last.time = p.newest.time
		}
		if !unhex(&p.last.fingerprint, said.HeadFingerprint) {
			p.last = event{} // only quarantined messages claim it
		}
		for _, list := range [][]told{p.starts, p.stops, p.others} {
			for i := range list {
				p.own(r.v, list[i].segment, &list[i].event)
			}
		}
	}
}

// readLast finds out when the last event of each epoch was that ended in a
// crash, which only its row says.
func (r *rows) readLast(ctx context.Context, segments []named) {
	for i := range segments {
		f := &segments[i]
		var ends []*epoch
		for uid, iv := range f.Epochs {
			p := r.epochs[uid]
			if p != nil && p.closed != nil && p.closed.by == EndCrash && p.last.time == 0 && iv.First <= p.last.sequence && p.last.sequence <= iv.Last {
				ends = append(ends, p)
			}
		}
		if len(ends) == 0 || f.stubs != nil || ctx.Err() != nil {
			continue
		}
		err := lake.ReadColumns(ctx, r.v.lakePath(), f.Path, []string{"sequence", "epoch", "time"}, func(columns []arrow.Array) error {
			sequences, epochs, times := columns[0].(*array.Int64), columns[1].(*array.String), columns[2].(*array.Int64)
			for i := range sequences.Len() {
				for _, p := range ends {
					if sequences.Value(i) == p.last.sequence && epochs.Value(i) == p.uid {
						p.last.time = times.Value(i)
					}
				}
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			r.v.problem(Damage, Place{File: inLake(f.Path), Statement: f.statement}, "%v", err)
		}
	}
}
