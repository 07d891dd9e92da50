// SPDX-License-Identifier: Apache-2.0

package rules

import "encoding/binary"

// names finds the index of a name. It does what map[string]int32 does, in a
// quarter of the time: an event makes about a hundred such searches, and names
// are short and known beforehand. Who writes events cannot choose what is in
// the table, so a search is short whatever is searched for.
type names struct {
	list []string
	// table holds 1 + the index of a name at its hash, or in the next free place
	// after it. Three quarters or more are free.
	table []int32
}

func newNames(list []string) names {
	size := 4
	for size < 4*len(list) {
		size *= 2
	}
	n := names{list: list, table: make([]int32, size)}
	for i, name := range list {
		at := int(hash([]byte(name))) & (size - 1)
		for n.table[at] != 0 {
			at = (at + 1) & (size - 1)
		}
		n.table[at] = int32(i) + 1
	}
	return n
}

// find returns the index of name, -1 if it is not there.
func (n *names) find(name []byte) int32 {
	for at := int(hash(name)); ; at++ {
		i := n.table[at&(len(n.table)-1)] - 1
		if i < 0 || n.list[i] == string(name) {
			return i
		}
	}
}

// hash mixes the length, the first and the last bytes.
func hash(b []byte) uint32 {
	const m1, m2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93 // odd, with bits all over
	var first, last uint64
	switch n := len(b); {
	case n >= 8:
		first, last = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		first, last = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		first, last = uint64(b[0]), uint64(b[n/2])<<8|uint64(b[n-1])
	}
	h := (first*m1 ^ last*m2) + uint64(len(b))
	return uint32(h * m1 >> 32)
}
