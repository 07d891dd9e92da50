// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// The WAL on disk. All integers are little-endian, all checksums CRC-32C.
//
// A directory holds files NUMBER.wal, twelve decimal digits, counting up from 1
// for ever; beside them lie lock, reserve (see reserve.go), damaged/ with copies
// of what could not be read, and aside/ with events that no server took yet, each
// a file of one record. A WAL file is a header and then records, nothing between
// and nothing padded. It is written under a temporary name, synced and renamed, so
// that a file of that name has a whole header unless the disk lost it.
//
//	header
//	  0  8  "DOCKETW1"
//	  8  4  n, the length of the body
//	 12  4  checksum of the body
//	 16  n  the body, JSON: see walHeader
//
//	record
//	  0  4  D0 'W' 'R' 1A: where a reader that lost its way finds a record again
//	  4  4  n, the length of the body
//	  8  4  checksum of the length's four bytes and the body
//	 12  n  the body:
//	        0   1  flags: 1 opens its epoch, 2 closes its epoch
//	        1   4  offset in the file at which its group begins
//	        5   8  sequence in the epoch
//	       13  32  fingerprint of the event
//	       45  1+e epoch, after its length
//	           1+u uid of the event, after its length
//	           2+s subject, after its length
//	           the event's bytes, to the end
//
// Records that were written and synced together are a group. A group is begun
// only when the one before it is on stable storage. That tells a torn tail from
// damage: a bad place with a group that begins behind it held acknowledged
// events. One without is in the last group: it is torn when it looks as a write
// that was cut off leaves it (see torn), and then the end; else damage, too.
//
// After a write or a sync that failed nobody knows what is on the disk. The
// file is given up: a new one, whose header says how much of the old one counts
// (prev, prev_bytes), takes the group again. Files numbered between prev and
// the file itself are attempts that failed, and void.
const (
	walMagic   = "DOCKETW1"
	walSuffix  = ".wal"
	walHeadLen = 16

	recordMark    = "\xD0WR\x1A"
	recordHeadLen = 12
	recordFixed   = 45 // of the body, up to the epoch's length

	flagOpens  = 1
	flagCloses = 2

	maxHeader = 64 << 20 // 250,000 epochs; more is damage
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errBadRecord says that there is no whole record where one was looked for.
var errBadRecord = errors.New("no record")

// walHeader is the body of a file's header. It carries the state of the open
// epochs, so that an epoch's end is known however many files were trimmed.
type walHeader struct {
	Number    uint64       `json:"number"`
	Created   int64        `json:"created"` // ms since the epoch
	Emitter   string       `json:"emitter"`
	Prev      uint64       `json:"prev"`       // number of the file before, 0 when none
	PrevBytes int64        `json:"prev_bytes"` // how much of it counts
	Epochs    []epochState `json:"epochs"`
}

// epochState is where an epoch stands: its last event.
type epochState struct {
	Epoch       string `json:"epoch"`
	Tenant      string `json:"tenant"`
	Sequence    int64  `json:"sequence"`
	UID         string `json:"uid"`
	Fingerprint string `json:"fingerprint"`
}

// A record is an event with what it takes to publish it.
type record struct {
	flags       byte
	group       uint32
	sequence    int64
	fingerprint [32]byte
	epoch       string
	uid         string
	subject     string
	raw         []byte
}

// size returns how many bytes r takes in a file.
func (r *record) size() int64 {
	return recordHeadLen + recordFixed + int64(1+len(r.epoch)+1+len(r.uid)+2+len(r.subject)+len(r.raw))
}

// check says whether r fits the format.
func (r *record) check() error {
	switch {
	case len(r.epoch) > math.MaxUint8:
		return fmt.Errorf("epoch of %d bytes", len(r.epoch))
	case len(r.uid) > math.MaxUint8:
		return fmt.Errorf("metadata.uid of %d bytes", len(r.uid))
	case len(r.subject) > math.MaxUint16:
		return fmt.Errorf("subject of %d bytes", len(r.subject))
	case len(r.raw) > math.MaxInt32:
		return fmt.Errorf("event of %d bytes", len(r.raw))
	}
	return nil
}

// append writes r to b.
func (r *record) append(b []byte) []byte {
	start := len(b)
	b = append(b, recordMark...)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.size()-recordHeadLen)) //nolint:gosec // check bounds it
	b = append(b, 0, 0, 0, 0)                                               // the checksum, once the body stands
	b = append(b, r.flags)
	b = binary.LittleEndian.AppendUint32(b, r.group)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.sequence)) //nolint:gosec // counts from 1
	b = append(b, r.fingerprint[:]...)
	b = append(b, byte(len(r.epoch))) //nolint:gosec // check bounds it
	b = append(b, r.epoch...)
	b = append(b, byte(len(r.uid))) //nolint:gosec // check bounds it
	b = append(b, r.uid...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.subject))) //nolint:gosec // check bounds it
	b = append(b, r.subject...)
	b = append(b, r.raw...)
	binary.LittleEndian.PutUint32(b[start+8:], recordSum(b[start:]))
	return b
}

func recordSum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[4:8], castagnoli), castagnoli, record[recordHeadLen:])
}

// decodeRecord reads the record that b begins with and returns its length. The
// record's event is a part of b. It fails with errBadRecord on anything else
// than a whole, sound record.
func decodeRecord(b []byte) (record, int, error) {
	if len(b) < recordHeadLen+recordFixed || string(b[:4]) != recordMark {
		return record{}, 0, errBadRecord
	}
	n := int64(binary.LittleEndian.Uint32(b[4:8]))
	if n < recordFixed || recordHeadLen+n > int64(len(b)) {
		return record{}, 0, errBadRecord
	}
	whole := b[:recordHeadLen+n]
	if recordSum(whole) != binary.LittleEndian.Uint32(b[8:12]) {
		return record{}, 0, errBadRecord
	}
	body := whole[recordHeadLen:]
	r := record{
		flags:    body[0],
		group:    binary.LittleEndian.Uint32(body[1:5]),
		sequence: int64(binary.LittleEndian.Uint64(body[5:13])), //nolint:gosec // was an int64
	}
	copy(r.fingerprint[:], body[13:recordFixed])
	rest := body[recordFixed:]
	var ok [3]bool
	r.epoch, rest, ok[0] = cut(rest, 1)
	r.uid, rest, ok[1] = cut(rest, 1)
	r.subject, rest, ok[2] = cut(rest, 2)
	if !ok[0] || !ok[1] || !ok[2] {
		return record{}, 0, errBadRecord
	}
	r.raw = rest
	return r, len(whole), nil
}

// cut takes a string off b that stands after its length of width bytes.
func cut(b []byte, width int) (s string, rest []byte, ok bool) {
	if len(b) < width {
		return "", nil, false
	}
	n := int(b[0])
	if width == 2 {
		n |= int(b[1]) << 8
	}
	if len(b) < width+n {
		return "", nil, false
	}
	return string(b[width : width+n]), b[width+n:], true
}

// nextRecord returns the offset at or behind from at which a sound record
// begins, or len(b).
func nextRecord(b []byte, from int64) int64 {
	for from < int64(len(b)) {
		i := bytes.Index(b[from:], []byte(recordMark))
		if i < 0 {
			break
		}
		from += int64(i)
		if _, _, err := decodeRecord(b[from:]); err == nil {
			return from
		}
		from++
	}
	return int64(len(b))
}

// encode returns the header's bytes.
func (h *walHeader) encode() ([]byte, error) {
	body, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, walHeadLen+len(body)), walMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body))) //nolint:gosec // far below
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	return append(b, body...), nil
}

// errBadHeader says that a file does not begin with a sound header.
var errBadHeader = errors.New("no header")

// decodeHeader reads the header that b begins with and returns its length.
func decodeHeader(b []byte) (walHeader, int64, error) {
	if len(b) < walHeadLen || string(b[:8]) != walMagic {
		return walHeader{}, 0, errBadHeader
	}
	n := int64(binary.LittleEndian.Uint32(b[8:12]))
	if n > maxHeader || walHeadLen+n > int64(len(b)) {
		return walHeader{}, 0, errBadHeader
	}
	body := b[walHeadLen : walHeadLen+n]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[12:16]) {
		return walHeader{}, 0, errBadHeader
	}
	var h walHeader
	if err := json.Unmarshal(body, &h); err != nil {
		return walHeader{}, 0, fmt.Errorf("%w: %w", errBadHeader, err)
	}
	return h, walHeadLen + n, nil
}
