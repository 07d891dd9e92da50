// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A segment is what was read of one file.
type segment struct {
	*named
	place   Place
	damaged bool
	unread  bool // damaged is that nothing is known of it
	deep    bool // every event is hashed, and every column derived
	events  []event
	plans   plans
	// compared says that the rows are all of one commit, and were compared with
	// what its statement counts.
	compared bool
	// The first and last uids, known only in a deep run.
	minEvent, maxEvent, minOperation, maxOperation string
}

// An event is what the judgement of counts and epochs needs of one row. In a
// deep run it is derived from the event's bytes, else read from the columns.
type event struct {
	row              int
	commit           uint64
	pos              uint32
	stored           int64
	streamSeq        uint64
	tenant, emitter  string
	epoch            string
	class, activity  int32
	lifecycle        bool
	time, sequence   int64
	fingerprint      [32]byte
	prev             [32]byte // all zero for the first
	raw              []byte   // of lifecycle events, in a deep run
	fingerprintValid bool
	// stub says that the event left the store: what is not in a stub is zero.
	stub bool
}

// fastColumns are what event is made of in a run that is not deep.
var fastColumns = []string{
	"tenant", "emitter", "epoch", "kind", "fingerprint", "prev_fingerprint",
	"class_uid", "activity_id", lake.ColumnPos,
	"time", "sequence", lake.ColumnCommit, lake.ColumnStoredTime, lake.ColumnStreamSeq,
	"plan_digest",
}

// readColumns reads the rows of a file without their bytes.
func (v *verifier) readColumns(ctx context.Context, s *segment) error {
	s.events = make([]event, 0, min(max(s.Rows, 0), 1<<16))
	interned := map[string]string{}
	return lake.ReadColumns(ctx, v.lakePath(), s.Path, fastColumns, func(columns []arrow.Array) error {
		text := func(c, i int) string {
			b := columns[c].(*array.String).Value(i)
			if known, ok := interned[b]; ok {
				return known
			}
			own := strings.Clone(b) // the array's memory is reused
			interned[own] = own
			return own
		}
		small := func(c, i int) int32 { return columns[c].(*array.Int32).Value(i) }
		large := func(c, i int) int64 { return columns[c].(*array.Int64).Value(i) }
		if s.overfull(columns[0].Len()) {
			return errOverfull
		}
		for i := range columns[0].Len() {
			e := event{
				row: len(s.events), tenant: text(0, i), emitter: text(1, i), epoch: text(2, i),
				class: small(6, i), activity: small(7, i), pos: uint32(small(8, i)),
				time: large(9, i), sequence: large(10, i), commit: uint64(large(11, i)), stored: large(12, i), streamSeq: uint64(large(13, i)),
			}
			kind := columns[3].(*array.String).Value(i)
			e.lifecycle = e.class == int32(ocsf.ClassApplicationLifecycle) && kind == profile.KindLifecycle
			s.plans.see(s, &e, kind, text(14, i), nil)
			v.prints(s, &e, columns[4].(*array.String).Value(i), columns[5].(*array.String).Value(i))
			s.events = append(s.events, e)
		}
		return nil
	})
}

// errOverfull says that a file has more rows than were stored in it, as many as
// somebody wished.
var errOverfull = errors.New("it has more rows than its statement says")

// overfull reports whether so many rows more are more than there can be.
func (s *segment) overfull(more int) bool { return s.damaged && int64(len(s.events)+more) > s.Rows }

// prints decodes the two fingerprints of an event.
func (v *verifier) prints(s *segment, e *event, fingerprint, prev string) {
	e.fingerprintValid = unhex(&e.fingerprint, fingerprint)
	if !e.fingerprintValid {
		v.problem(Damage, s.at(e, "fingerprint"), "%.80q is no SHA-256", fingerprint)
	}
	if prev != "" && !unhex(&e.prev, prev) {
		v.problem(Damage, s.at(e, "prev_fingerprint"), "%.80q is no SHA-256", prev)
	}
}

func unhex(to *[32]byte, s string) bool {
	if len(s) != hex.EncodedLen(len(to)) {
		return false
	}
	_, err := hex.Decode(to[:], []byte(s))
	return err == nil
}

// at says where an event is.
func (s *segment) at(e *event, column string) Place {
	p, row := s.place, e.row // not a pointer into all of the events
	p.Row, p.Column, p.Epoch, p.Sequence = &row, column, e.epoch, e.sequence
	p.Statement = e.commit
	return p
}

// readEvents reads the rows of a file with their bytes, and derives everything
// from these.
func (v *verifier) readEvents(ctx context.Context, s *segment) error {
	for entry, err := range lake.ReadSegment(ctx, v.lakePath(), s.Path) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && s.overfull(1) {
			err = errOverfull
		}
		if err != nil {
			return err
		}
		header := v.checkEntry(s, len(s.events), &entry)
		e := event{
			row: len(s.events), commit: entry.Commit, pos: entry.Pos, stored: entry.StoredTime.UnixMilli(), streamSeq: entry.StreamSeq,
		}
		e.derive(&header)
		if e.lifecycle {
			e.raw = entry.Raw
		}
		s.plans.see(s, &e, header.Kind, header.PlanDigest, entry.Raw)
		v.prints(s, &e, header.Fingerprint, header.PrevFingerprint)
		widen(&s.minEvent, &s.maxEvent, header.MetadataUID)
		widen(&s.minOperation, &s.maxOperation, header.OperationUID)
		s.events = append(s.events, e)
	}
	return nil
}

// widen takes s into the range from lo to hi; the empty string is in none.
func widen(lo, hi *string, s string) {
	if s == "" {
		return
	}
	if *lo == "" || s < *lo {
		*lo = s
	}
	*hi = max(*hi, s)
}

// checkEntry hashes an event and compares every column with what its bytes say.
// It returns the header of the bytes, or that of the columns where the bytes
// cannot be read.
func (v *verifier) checkEntry(s *segment, row int, entry *store.Entry) profile.Header {
	e := event{row: row, commit: entry.Commit, epoch: entry.Header.Epoch, sequence: entry.Header.Sequence}
	header, err := profile.Check(entry.Raw)
	if errors.Is(err, profile.ErrFingerprint) {
		v.problem(Damage, s.at(&e, lake.ColumnRaw), "the bytes are not those that were sealed: %v", err)
		header, err = profile.Parse(entry.Raw)
	}
	if err != nil {
		v.problem(Damage, s.at(&e, lake.ColumnRaw), "the bytes are no event: %v", err)
		return entry.Header
	}
	if header == entry.Header {
		return header
	}
	cell, want := reflect.ValueOf(entry.Header), reflect.ValueOf(header)
	for _, f := range reflect.VisibleFields(cell.Type()) {
		if c, w := cell.FieldByIndex(f.Index), want.FieldByIndex(f.Index); !c.Equal(w) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			v.problem(Damage, s.at(&e, name), "the cell says %.80s, the event's bytes say %.80s", show(c), show(w))
		}
	}
	return header
}

func show(v reflect.Value) string {
	if v.Kind() == reflect.String {
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}
