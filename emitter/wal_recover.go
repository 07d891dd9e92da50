// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/regular"
)

// A recovery is what an earlier start left in the directory.
type recovery struct {
	files []*walFile // that hold records, oldest first
	// epochs are those that neither stopped nor were closed by a later start.
	epochs  []epochState
	records int
	cut     int64 // bytes of torn tails, which nobody was promised
	damage  []damage
	// useless are files to remove once a new file's header stands.
	useless []string
	highest uint64 // number ever used
}

// found is one WAL file as it lies there.
type found struct {
	number   uint64
	path     string
	header   walHeader
	start    int64  // of its records
	broken   string // why the header says nothing; "" when it does
	misnamed bool   // it is another file than its name says
	limit    int64  // how much of it counts by the next file's header, -1 when unknown
	// lacks is the number of the file before it, where that is not there and
	// older ones are: files go from the oldest on.
	lacks uint64
}

// recoverWAL reads what is in dir. It changes nothing.
func recoverWAL(dir string) (*recovery, error) {
	rec := new(recovery)
	all, err := rec.list(dir)
	if err != nil {
		return nil, err
	}
	open := newOpenEpochs()
	for _, f := range rec.sortOut(all) {
		if err := rec.read(f, open); err != nil {
			return nil, err
		}
	}
	rec.epochs = open.list()
	return rec, nil
}

// walName returns the name of the file of a number.
func walName(number uint64) string { return fmt.Sprintf("%012d%s", number, walSuffix) }

// maxNumber bounds the number of a file: a new one each millisecond for 30,000 years.
const maxNumber = 1_000_000_000_000_000

func (rec *recovery) list(dir string) ([]*found, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []*found
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		name, ok := strings.CutSuffix(entry.Name(), walSuffix)
		if !ok {
			if strings.HasSuffix(entry.Name(), walSuffix+tmpSuffix) {
				rec.useless = append(rec.useless, path)
			}
			continue
		}
		number, err := strconv.ParseUint(name, 10, 64)
		if err != nil || number == 0 || walName(number) != entry.Name() {
			continue // not ours
		}
		if number > maxNumber && entry.Type().IsRegular() { // those after it would not be found again
			return nil, fmt.Errorf("%s was not written by an emitter: no WAL comes to that number", entry.Name())
		}
		if !entry.Type().IsRegular() {
			// It holds nothing of ours. No file gets its name.
			rec.damage = append(rec.damage, damage{file: entry.Name(), reason: regular.ErrNot.Error()})
			if number <= maxNumber {
				rec.highest = max(rec.highest, number)
			}
			continue
		}
		f := &found{number: number, path: path, limit: -1}
		if err := f.readHeader(); err != nil {
			return nil, err
		}
		all = append(all, f)
		rec.highest = max(rec.highest, number)
	}
	slices.SortFunc(all, func(a, b *found) int { return cmp.Compare(a.number, b.number) })
	return all, nil
}

func (f *found) readHeader() error {
	b, err := readFile(f.path)
	if err != nil {
		return err
	}
	switch f.header, f.start, err = decodeHeader(b); {
	case err != nil:
		f.broken = "header unreadable"
	case f.header.Number != f.number:
		// It was copied or renamed. What it says of the file before is of another.
		f.broken, f.misnamed = fmt.Sprintf("it is file %d under another name", f.header.Number), true
	}
	return nil
}

// sortOut goes from the newest file to the oldest, as each header tells how
// much of the file before it counts, and returns those that count, oldest
// first.
func (rec *recovery) sortOut(all []*found) []*found {
	var counting []*found
	prev, limit := uint64(0), int64(-1)
	known := false // whether a newer header told prev and limit
	for _, f := range slices.Backward(all) {
		if known && f.number > prev {
			rec.useless = append(rec.useless, f.path)
			continue
		}
		switch newer := len(counting) - 1; {
		case known && f.number == prev && !f.misnamed:
			f.limit = limit
		case known && f.number < prev:
			counting[newer].lacks = prev
		}
		counting = append(counting, f)
		known = f.broken == ""
		prev, limit = f.header.Prev, f.header.PrevBytes
	}
	slices.Reverse(counting)
	return counting
}

// read takes in the records of f.
func (rec *recovery) read(f *found, open *openEpochs) error {
	b, err := readFile(f.path)
	if err != nil {
		return err
	}
	name := filepath.Base(f.path)
	if f.broken != "" {
		f.start = nextRecord(b, 0)
		rec.damage = append(rec.damage, damage{name, 0, f.start, f.broken})
	} else {
		behind := false // of what the file says there was before it
		for _, state := range f.header.Epochs {
			behind = open.carry(state) || behind
		}
		if behind && f.lacks > 0 {
			rec.damage = append(rec.damage, damage{walName(f.lacks), 0, f.header.PrevBytes, "the file is missing"})
		}
	}
	wf := &walFile{number: f.number, path: f.path, start: f.start, last: map[string]int64{}}
	end, bad := scanFile(b, f.start, f.limit)
	next := f.start
	for _, span := range append(bad, damage{from: end, to: end}) {
		for next < span.from {
			r, n, err := decodeRecord(b[next:])
			if err != nil {
				return fmt.Errorf("read %s at %d: %w", name, next, err)
			}
			next += int64(n)
			wf.records++
			wf.last[r.epoch] = max(wf.last[r.epoch], r.sequence)
			open.take(&r)
		}
		next = span.to
	}
	for _, d := range bad {
		d.file = name
		rec.damage = append(rec.damage, d)
	}
	wf.size = end
	if f.limit < 0 {
		rec.cut += int64(len(b)) - end
	}
	if wf.records == 0 {
		rec.useless = append(rec.useless, f.path)
		return nil
	}
	rec.files = append(rec.files, wf)
	rec.records += wf.records
	return nil
}

// scanFile finds how far the file b counts and what is bad within. limit is how
// much of it counts, -1 when nobody told: then a bad place without a group that
// begins behind it is the end, if it is what a torn write leaves.
func scanFile(b []byte, start, limit int64) (end int64, bad []damage) {
	short := int64(-1)
	if limit >= 0 {
		if limit > int64(len(b)) {
			short = int64(len(b))
		} else {
			b = b[:limit]
		}
	}
	end = int64(len(b))
	// lastGroup[i] is the last group begun behind the i-th bad place.
	var lastGroup []int64
	in := grouping{begun: start, last: map[string]int64{}}
	for at := start; at < int64(len(b)); {
		r, n, err := decodeRecord(b[at:])
		if err != nil || !in.fits(&r, at) {
			in.lost = true
			to := nextRecord(b, at+1)
			if n := len(bad); n > 0 && bad[n-1].to == at {
				bad[n-1].to = to
			} else {
				bad = append(bad, damage{from: at, to: to, reason: "records unreadable"})
				lastGroup = append(lastGroup, -1)
			}
			at = to
			continue
		}
		for i := range lastGroup {
			lastGroup[i] = max(lastGroup[i], int64(r.group))
		}
		at += int64(n)
	}
	if limit < 0 {
		for i, d := range bad {
			if lastGroup[i] <= d.from && torn(b, d) {
				return d.from, bad[:i]
			}
		}
		return end, bad
	}
	if short >= 0 {
		if n := len(bad); n > 0 && bad[n-1].to == short {
			bad[n-1].to = limit
		} else {
			bad = append(bad, damage{from: short, to: limit, reason: "file too short"})
		}
		end = min(end, short)
	}
	return end, bad
}

// A grouping tells a record that is where it was written from a sound one that
// came there otherwise: a sector of another time, a write that went astray.
type grouping struct {
	begun int64            // the group of the record before
	lost  bool             // what is between was unreadable
	last  map[string]int64 // the sequence that each epoch came to in the file
}

// fits says whether r may stand at an offset, and moves on if so.
func (g *grouping) fits(r *record, at int64) bool {
	group := int64(r.group)
	if group != at && group != g.begun && (!g.lost || group < g.begun || group > at) {
		return false
	}
	if last, known := g.last[r.epoch]; known && r.sequence != last+1 && (!g.lost || r.sequence <= last) {
		return false
	}
	g.begun, g.lost, g.last[r.epoch] = group, false, r.sequence
	return true
}

// openEpochs folds headers and records into the epochs that are still open.
type openEpochs struct {
	byID  map[string]*epochState
	order []string
	// closed are epochs whose end was seen; an older header must not revive one.
	closed map[string]bool
}

func newOpenEpochs() *openEpochs {
	return &openEpochs{byID: map[string]*epochState{}, closed: map[string]bool{}}
}

// carry takes over what a header says, and reports whether that is more than the
// files before it have.
func (o *openEpochs) carry(s epochState) (more bool) {
	if known := o.byID[s.Epoch]; known != nil {
		if more = s.Sequence > known.Sequence; more {
			*known = s
		}
		return more
	}
	if o.closed[s.Epoch] {
		return false
	}
	o.add(s)
	return true
}

func (o *openEpochs) add(s epochState) *epochState {
	o.byID[s.Epoch] = &s
	o.order = append(o.order, s.Epoch)
	return &s
}

// take accounts for one record.
func (o *openEpochs) take(r *record) {
	state := o.byID[r.epoch]
	if state == nil {
		if o.closed[r.epoch] {
			return
		}
		state = o.add(epochState{Epoch: r.epoch, Tenant: tenantOf(r.raw)})
	}
	if r.sequence > state.Sequence {
		state.Sequence, state.UID, state.Fingerprint = r.sequence, r.uid, r.hexFingerprint()
	}
	if r.flags&flagOpens != 0 {
		for _, id := range closesOf(r.raw) {
			o.close(id)
		}
	}
	if r.flags&flagCloses != 0 {
		o.close(r.epoch)
	}
}

func (o *openEpochs) close(id string) {
	delete(o.byID, id)
	o.closed[id] = true
}

func (o *openEpochs) list() []epochState {
	var list []epochState
	for _, id := range o.order {
		if s := o.byID[id]; s != nil {
			list = append(list, *s)
		}
	}
	return list
}

// tenantOf reads the tenant of an event that this package sealed.
func tenantOf(raw []byte) string {
	h, err := profile.Parse(raw)
	if err != nil {
		return profile.TenantDocket // cannot be: Seal made it and the checksum holds
	}
	return h.Tenant
}

// closesOf reads which epochs a start event closes.
func closesOf(raw []byte) []string {
	var e struct {
		Unmapped struct {
			Docket struct {
				Closes []closes `json:"closes"`
			} `json:"docket"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil // cannot be: Seal made it and the checksum holds
	}
	ids := make([]string, len(e.Unmapped.Docket.Closes))
	for i, c := range e.Unmapped.Docket.Closes {
		ids[i] = c.Epoch
	}
	return ids
}
