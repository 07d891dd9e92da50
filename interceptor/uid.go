// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"time"
)

// newUID returns a UUIDv7 (RFC 9562): milliseconds, then 12 bits of the
// fraction of a millisecond so that those of one process mostly sort by time,
// then 62 random bits. They need to be unique, not unguessable, so the
// runtime's seeded generator does, which costs no system call.
func newUID(now time.Time) UID {
	var room uidRoom
	return room.next(now)
}

// uidLen is the length of a UUID's text.
const uidLen = 36

// A uidRoom is where the uids of one operation are written, one after the other:
// those for which there is room share it.
type uidRoom struct{ text strings.Builder }

func (r *uidRoom) grow(uids int) { r.text.Grow(uids * uidLen) }

func (r *uidRoom) next(now time.Time) UID {
	nanos := uint32(now.Nanosecond())
	ms := uint64(now.Unix()*1000) + uint64(nanos/1e6)
	fraction := uint32(uint64(nanos%1e6) << 12 / 1e6)
	random := rand.Uint64()>>2 | 2<<62
	mid, tail := hexDigits(uint32(ms)<<16|7<<12|fraction), hexDigits(uint32(random>>32))

	var text [uidLen]byte
	order := binary.BigEndian
	order.PutUint64(text[0:], hexDigits(uint32(ms>>16)))
	text[8] = '-'
	order.PutUint32(text[9:], uint32(mid>>32))
	text[13] = '-'
	order.PutUint32(text[14:], uint32(mid))
	text[18] = '-'
	order.PutUint32(text[19:], uint32(tail>>32))
	text[23] = '-'
	order.PutUint32(text[24:], uint32(tail))
	order.PutUint64(text[28:], hexDigits(uint32(random)))
	at := r.text.Len()
	r.text.Write(text[:])
	return UID(r.text.String()[at:])
}

// hexDigits returns the eight hexadecimal digits of x as bytes, the first in the
// highest.
func hexDigits(x uint32) uint64 {
	const each = 0x0101010101010101
	n := uint64(x) // spread: a digit's value in each byte
	n = (n | n<<16) & 0x0000ffff0000ffff
	n = (n | n<<8) & 0x00ff00ff00ff00ff
	n = (n | n<<4) & 0x0f0f0f0f0f0f0f0f
	letters := (n + 6*each) >> 4 & each // 1 where the digit is one
	return n + '0'*each + letters*('a'-'9'-1)
}
