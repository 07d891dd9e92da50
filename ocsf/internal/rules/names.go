// SPDX-License-Identifier: Apache-2.0

package rules

import "encoding/binary"

// names finds the index of a name. It does what map[string]int32 does, in a
// fraction of the time: an event makes about a hundred such searches, and names
// are short and known beforehand. Who writes events cannot choose what is in
// the table, so a search is short whatever is searched for.
type names struct {
	list []string
	ends []ends // of the names in list
	// table holds 1 + the index of a name at its hash, or in the next free place
	// after it. Three quarters or more are free.
	table []int32
}

func newNames(list []string) names {
	size := 4
	for size < 4*len(list) {
		size *= 2
	}
	n := names{list: list, ends: make([]ends, len(list)), table: make([]int32, size)}
	for i, name := range list {
		n.ends[i] = endsOf([]byte(name))
		at := n.ends[i].hash() & uint32(size-1)
		for n.table[at] != 0 {
			at = (at + 1) & uint32(size-1)
		}
		n.table[at] = int32(i) + 1
	}
	return n
}

// find returns the index of name, -1 if it is not there.
func (n *names) find(name []byte) int32 {
	first, last := firstAndLast(name)
	for at := hash(first, last, len(name)); ; at++ {
		i := n.table[at&uint32(len(n.table)-1)] - 1
		if i < 0 {
			return -1
		}
		if e := &n.ends[i]; e.first != first || e.last != last || e.len != len(name) {
			continue
		}
		if len(name) > whole {
			return n.findLong(name, at)
		}
		return i
	}
}

// findLong is find for a name that its ends do not tell, from a place of the
// table on. It is by itself so that find has no call that it returns from.
//
//go:noinline
func (n *names) findLong(name []byte, at uint32) int32 {
	for ; ; at++ {
		i := n.table[at&uint32(len(n.table)-1)] - 1
		if i < 0 || n.list[i] == string(name) {
			return i
		}
	}
}

// Ends are the first bytes of a name, its last, and its length. They overlap in
// most names: those of up to whole bytes are the same only if the names are.
type ends struct {
	first, last uint64
	len         int
}

const whole = 16

func endsOf(name []byte) ends {
	first, last := firstAndLast(name)
	return ends{first, last, len(name)}
}

func (e *ends) hash() uint32 { return hash(e.first, e.last, e.len) }

func firstAndLast(b []byte) (first, last uint64) {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[len(b)-8:])
	}
	if len(b) >= 4 {
		return uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	}
	if len(b) > 0 {
		return uint64(b[0]), uint64(b[len(b)/2])<<8 | uint64(b[len(b)-1])
	}
	return 0, 0
}

func hash(first, last uint64, length int) uint32 {
	const m1, m2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93 // odd, with bits all over
	return uint32(((first*m1 ^ last*m2) + uint64(length)) * m1 >> 32)
}
