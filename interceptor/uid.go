// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// newUID returns a UUIDv7 (RFC 9562): milliseconds, then 12 bits of the
// fraction of a millisecond so that those of one process mostly sort by time,
// then 62 random bits. They need to be unique, not unguessable, so the
// runtime's seeded generator does, which costs no system call.
func newUID(now time.Time) UID {
	var b [16]byte
	ms := uint64(now.UnixMilli())
	fraction := uint64(now.Nanosecond()%1e6) << 12 / 1e6
	binary.BigEndian.PutUint64(b[:8], ms<<16|7<<12|fraction)
	binary.BigEndian.PutUint64(b[8:], rand.Uint64()>>2|2<<62)

	var text [36]byte
	hex.Encode(text[0:8], b[0:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return UID(text[:])
}
