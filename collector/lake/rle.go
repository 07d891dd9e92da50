// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"encoding/binary"
	"math/bits"
)

// runs are small numbers as Parquet has levels and places in dictionaries: of eight
// or more of the same how many and which, of others groups of eight with as many bits
// as each needs. Where a run of the same begins and groups end is as with Arrow.
type runs struct {
	width int // bits of a number
	out   []byte

	group   [8]uint32 // not written yet
	grouped int       // of them
	last    uint32
	same    int // how often last came, since the last group that was written
	single  int // numbers in groups that were written since the last run
	head    int // where the number of these is to stand in out; -1: there are none
}

// bitsFor returns how many bits numbers up to most need.
func bitsFor(most int) int { return bits.Len(uint(max(most, 0))) }

// reset begins anew with levels up to most, of which nothing is written where it is 0.
func (r *runs) reset(most int) {
	r.width, r.out = bitsFor(most), r.out[:0]
	r.restart()
}

func (r *runs) restart() { r.grouped, r.last, r.same, r.single, r.head = 0, 0, 0, 0, -1 }

// levels adds levels, and counts those that are one.
func (r *runs) levels(levels []int16, one int16) (count int) {
	for i := 0; i < len(levels); {
		l, n := levels[i], 1
		for i+n < len(levels) && levels[i+n] == l {
			n++
		}
		if l == one {
			count += n
		}
		r.put(uint32(l), n)
		i += n
	}
	return count
}

// put adds a number so many times.
func (r *runs) put(v uint32, times int) {
	for ; times > 0; times-- {
		if v != r.last {
			if r.same >= 8 {
				r.writeSame()
			}
			r.same, r.last = 0, v
		}
		if r.same >= 8 { // and so are those that follow
			r.same += times
			return
		}
		r.same++
		r.group[r.grouped] = v
		if r.grouped++; r.grouped == 8 {
			r.full()
		}
	}
}

// full ends a group of eight.
func (r *runs) full() {
	if r.same >= 8 {
		r.grouped = 0
		r.endSingle()
		return
	}
	r.writeGroup()
	r.same = 0
	if r.single/8+1 >= 64 { // what their number has room for
		r.endSingle()
	}
}

func (r *runs) writeSame() {
	r.out = binary.AppendUvarint(r.out, uint64(r.same)<<1)
	for at := 0; at < r.width; at += 8 {
		r.out = append(r.out, byte(r.last>>at))
	}
	r.same, r.grouped = 0, 0
}

func (r *runs) writeGroup() {
	if r.head < 0 {
		r.head = len(r.out)
		r.out = append(r.out, 0)
	}
	var word uint64
	have := 0
	for _, v := range r.group {
		word |= uint64(v) << have
		for have += r.width; have >= 8; have -= 8 {
			r.out = append(r.out, byte(word))
			word >>= 8
		}
	}
	r.single, r.grouped = r.single+8, 0
}

func (r *runs) endSingle() {
	if r.head >= 0 {
		r.out[r.head] = byte(r.single/8<<1 | 1)
	}
	r.head, r.single = -1, 0
}

// finish ends the last run.
func (r *runs) finish() {
	switch {
	case r.single == 0 && r.same > 0 && (r.same == r.grouped || r.grouped == 0):
		r.writeSame()
	case r.grouped > 0:
		clear(r.group[r.grouped:])
		r.writeGroup()
		r.same = 0
	}
	r.endSingle()
}

// appendTo appends all levels, after their length.
func (r *runs) appendTo(to []byte) []byte {
	r.finish()
	return append(binary.LittleEndian.AppendUint32(to, uint32(len(r.out))), r.out...)
}
