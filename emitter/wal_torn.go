// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bytes"
	"encoding/binary"
)

// tornRun is how many zeros in a row no record has: a sequence and the lengths
// around it have half as many, a fingerprint never will, and JSON has none.
const tornRun = 16

// torn tells a bad place of the last group that a write left, which was cut off,
// from one whose bytes were changed later. Of the first nobody was promised
// anything; of the second perhaps. What a write leaves is its beginning, or its
// sectors with zeros for those that did not get there; what is whole and
// unreadable was written.
//
// That the end of the file was cut off later cannot be told from a write that was
// cut off: nothing behind it says that it was there.
func torn(b []byte, d damage) bool {
	place := b[d.from:d.to]
	if bytes.IndexByte(place[:min(len(place), len(recordMark))], 0) >= 0 || bytes.Contains(place, make([]byte, tornRun)) {
		return true
	}
	if d.to < int64(len(b)) {
		return false // a record stands behind it
	}
	return place[len(place)-1] == 0 || beginsRecord(place)
}

// beginsRecord says whether b is the beginning of a record, and not all of it.
func beginsRecord(b []byte) bool {
	if len(b) < recordHeadLen {
		return string(b[:min(len(b), len(recordMark))]) == recordMark[:min(len(b), len(recordMark))]
	}
	n := int64(binary.LittleEndian.Uint32(b[4:8]))
	if string(b[:len(recordMark)]) != recordMark || recordHeadLen+n <= int64(len(b)) {
		return false
	}
	// Its length may be what was changed: then all else agrees.
	whole := bytes.Clone(b)
	binary.LittleEndian.PutUint32(whole[4:8], uint32(len(b)-recordHeadLen)) //nolint:gosec // a file's size is bounded
	return recordSum(whole) != binary.LittleEndian.Uint32(b[8:12])
}
