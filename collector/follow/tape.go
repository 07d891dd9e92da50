// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"github.com/docket-audit/docket/collector/store"
)

// What a record of the tape says.
type sort uint8

const (
	// sortLive: an event came by the stream. It is not stored up to the cursor that
	// the tape had.
	sortLive sort = iota
	// sortStored: an event was stored that was not shown before. The cursor is on
	// it: all that is stored before it was on the tape.
	sortStored
	// sortSettled: events that were shown are stored now, and so is all up to the
	// cursor.
	sortSettled
	// sortWithdrawn: events that were shown will not be stored.
	sortWithdrawn
	sortGap
	sortState
)

// A record is one thing that all subscribers are told. It is shared, and never
// changes but for settled.
type record struct {
	sort  sort
	entry store.Entry
	// conflict says that the event has the identity of another one that was shown.
	conflict bool
	cursor   store.Cursor
	ids      sets // that are settled or withdrawn
	gap      Gap
	state    Position

	settled bool // of sortLive: no longer in the window. Guarded by the hub's mu

	index uint64 // of the tape, from 0
	sum   int64  // bytes on the tape up to and with this one
}

// size is about what a record takes in memory.
func (r *record) size() int64 {
	n := 512 + len(r.entry.Raw)
	for _, v := range r.ids {
		n += 64 + 16*len(v)
	}
	return int64(n)
}

// A tape is the newest records, bounded in number and bytes. It is guarded by
// the hub's mu.
type tape struct {
	records []*record // from first on
	first   int
	end     uint64 // index of the record that is to come
	sum     int64  // bytes that were ever on it

	maxRecords int
	maxBytes   int64
}

// begin is the index of the oldest record.
func (t *tape) begin() uint64 { return t.end - uint64(len(t.records)-t.first) }

// at returns the records from an index on, at most n. It must not be before the
// beginning.
func (t *tape) at(index uint64, n int) []*record {
	list := t.records[t.first+int(index-t.begin()):]
	return list[:min(n, len(list))]
}

// behind returns how many records, and bytes of them, come from an index on.
func (t *tape) behind(index uint64) (records uint64, bytes int64) {
	if index >= t.end {
		return 0, 0
	}
	r := t.at(index, 1)[0]
	return t.end - index, t.sum - r.sum + r.size()
}

// add appends a record, and drops old ones, which it returns.
func (t *tape) add(r *record) (dropped []*record) {
	t.sum += r.size()
	r.index, r.sum = t.end, t.sum
	t.records = append(t.records, r)
	t.end++
	from := t.first
	for len(t.records)-t.first > t.maxRecords || t.first < len(t.records)-1 && t.sum-t.records[t.first].sum > t.maxBytes {
		t.first++
	}
	dropped = append(dropped, t.records[from:t.first]...)
	clear(t.records[from:t.first])
	if t.first > len(t.records)/2 {
		t.records = append(t.records[:0:0], t.records[t.first:]...)
		t.first = 0
	}
	return dropped
}
