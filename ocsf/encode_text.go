// SPDX-License-Identifier: Apache-2.0

package ocsf

// str writes a string attribute. Its key comes with the opening quote, here as
// in everything that writes a string.
//
// Strings are most of what an event consists of, hence key and text in one go.
// Eight bytes are looked at and copied at a time, the last of them overlapping
// those before: so there is no loop for what remains. What turns out to need an
// escape is written again by text.
func (e *encoder) str(k, s string) {
	at := len(e.b)
	room := cap(e.b) - at
	if len(e.extra) != 0 || room < maxKey+len(`",`) || room-maxKey-len(`",`) < len(s) {
		e.strSlow(k, s)
		return
	}
	to := e.b[at:cap(e.b)]
	n := putKey(to, k)
	to = to[n:]
	to[len(s)], to[len(s)+1] = '"', ','
	to = to[:len(s)]
	var found uint64
	switch {
	case len(s) >= 16:
		for i := 0; i < len(s)-16; i += 16 {
			v, w := load(s, i), load(s, i+8)
			found |= special(v) | special(w)
			store(to, i, v)
			store(to, i+8, w)
		}
		v, w := load(s, len(s)-16), load(s, len(s)-8)
		found |= special(v) | special(w)
		store(to, len(s)-16, v)
		store(to, len(s)-8, w)
	case len(s) >= 8:
		v, w := load(s, 0), load(s, len(s)-8)
		found = special(v) | special(w)
		store(to, 0, v)
		store(to, len(s)-8, w)
	case len(s) >= 4:
		v, w := load4(s, 0), load4(s, len(s)-4)
		found = special(uint64(v) | uint64(w)<<32)
		store4(to, 0, v)
		store4(to, len(s)-4, w)
	case len(s) > 0:
		first, middle, last := s[0], s[len(s)>>1], s[len(s)-1]
		to[0], to[len(s)>>1], to[len(s)-1] = first, middle, last
		found = special(uint64(first) | uint64(middle)<<8 | uint64(last)<<16 | spaces<<24)
	}
	if found&highs != 0 {
		e.b = e.b[:at+n]
		e.text(s)
		return
	}
	e.b = e.b[:at+n+len(s)+len(`",`)]
}

func (e *encoder) strSlow(k, s string) {
	e.key(k)
	e.text(s)
}

// load returns the eight bytes of s from i on as one word.
func load(s string, i int) uint64 {
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
		uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
}

func load4(s string, i int) uint32 {
	return uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
}

// store writes the eight bytes of w to b from i on.
func store(b []byte, i int, w uint64) {
	b[i], b[i+1], b[i+2], b[i+3] = byte(w), byte(w>>8), byte(w>>16), byte(w>>24)
	b[i+4], b[i+5], b[i+6], b[i+7] = byte(w>>32), byte(w>>40), byte(w>>48), byte(w>>56)
}

func store4(b []byte, i int, w uint32) {
	b[i], b[i+1], b[i+2], b[i+3] = byte(w), byte(w>>8), byte(w>>16), byte(w>>24)
}

const (
	ones   = 0x0101010101010101
	highs  = 0x80 * ones
	spaces = ' ' * (ones >> 24) // five of them
)

// special says which of the eight bytes of w are not ASCII or need an escape, by
// the highest bit of each byte, the other bits mean nothing: none is set if none
// is, else the lowest is that of the first.
func special(w uint64) uint64 {
	// With bit 1 flipped, the quote and the characters below the space are what is
	// at most the space, and subtracting one more sets the highest bit of just
	// those. Above such a byte a borrow may set others in vain.
	return w | (w ^ ones*('"'^' ') - ones*(' '+1)) | (w ^ ones*'\\' - ones)
}
