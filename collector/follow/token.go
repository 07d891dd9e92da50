// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// MaxToken is how long a token may be. One is much shorter mostly: it grows with
// the number of epochs that have events which are not stored yet.
const MaxToken = 96 << 10

// tokenVersion is the first byte of each token. What else is in it, in this
// version:
//
//	store    the first 8 bytes of the SHA-256 of the store's ID
//	cursor   commit, place
//	ahead    number of epochs, by uid in ascending order; of each the uid and the
//	         number of intervals; of each the distance from the end of the one
//	         before it, and its length less 1
//	check    CRC-32C of all before it: a token is no secret, and forging one only
//	         changes what the forger is shown again
//
// Numbers are varints, the whole is base64url. A position has one token.
const tokenVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func storeMark(id string) [8]byte {
	sum := sha256.Sum256([]byte(id))
	return [8]byte(sum[:8])
}

// encodeToken returns the token of a position.
func encodeToken(mark [8]byte, p *position) string {
	b := make([]byte, 0, 64)
	b = append(b, tokenVersion)
	b = append(b, mark[:]...)
	b = binary.AppendUvarint(b, p.cursor.Commit)
	b = binary.AppendUvarint(b, uint64(p.cursor.Pos))
	b = binary.AppendUvarint(b, uint64(len(p.ahead)))
	for _, epoch := range slices.Sorted(maps.Keys(p.ahead)) {
		uid := uuid.MustParse(epoch) // the judge admits no other
		b = append(b, uid[:]...)
		set := p.ahead[epoch]
		b = binary.AppendUvarint(b, uint64(len(set)))
		last := int64(0)
		for _, iv := range set {
			b = binary.AppendUvarint(b, uint64(iv.First-last))
			b = binary.AppendUvarint(b, uint64(iv.Last-iv.First))
			last = iv.Last
		}
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Place returns up to where a token says that everything stored was had, of
// whatever store it is. It tells a caller who reads what is stored which of two
// items comes first, also when nothing else is known of them.
func Place(token string) (store.Cursor, error) {
	mark, err := markOf(token)
	if err != nil {
		return store.Cursor{}, err
	}
	p, err := parseToken(mark, token)
	return p.cursor, err
}

// markOf returns the mark of the store that a token is of.
func markOf(token string) (mark [8]byte, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token[:min(len(token), 12)]) // 9 bytes
	if err != nil || len(b) < 9 {
		return mark, &TokenError{Reason: "it is mangled"}
	}
	return [8]byte(b[1:9]), nil
}

// parseToken reads a token of the store. It accepts what encodeToken makes, and
// nothing else.
func parseToken(mark [8]byte, token string) (position, error) {
	fail := func(reason string) (position, error) { return position{}, &TokenError{Reason: reason} }
	if len(token) > MaxToken {
		return fail("it is too long")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < 1+len(mark)+4 || strings.ContainsAny(token, "\r\n") { // which the decoder passes over
		return fail("it is mangled")
	}
	if b[0] != tokenVersion {
		return fail("it is of another version")
	}
	body, check := b[:len(b)-4], b[len(b)-4:]
	if binary.BigEndian.Uint32(check) != crc32.Checksum(body, castagnoli) {
		return fail("it is mangled")
	}
	if [8]byte(body[1:9]) != mark {
		return fail("it is of another store")
	}
	r := tokenReader{b: body[9:]}
	p := position{cursor: store.Cursor{Commit: r.number(math.MaxUint64), Pos: uint32(r.number(math.MaxUint32))}, ahead: sets{}}
	last := ""
	for n := r.number(uint64(len(body))); n > 0 && !r.failed; n-- {
		epoch := r.uid()
		r.failed = r.failed || epoch <= last // ascending
		last = epoch
		p.ahead[epoch] = r.intervals()
	}
	if r.failed || len(r.b) > 0 {
		return fail("it is malformed")
	}
	return p, nil
}

// A tokenReader reads the parts of a token. After a failure all it reads is 0.
type tokenReader struct {
	b      []byte
	failed bool
}

// number reads a varint in its shortest form, of most at the most.
func (r *tokenReader) number(most uint64) uint64 {
	n, size := binary.Uvarint(r.b)
	if r.failed || size <= 0 || n > most || size > 1 && r.b[size-1] == 0 {
		r.failed = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *tokenReader) uid() string {
	if r.failed || len(r.b) < 16 {
		r.failed = true
		return ""
	}
	uid := uuid.UUID(r.b[:16]).String()
	r.b = r.b[16:]
	return uid
}

func (r *tokenReader) intervals() store.Intervals {
	count := r.number(uint64(len(r.b)))
	r.failed = r.failed || count == 0
	var set store.Intervals
	last := int64(0)
	for ; count > 0 && !r.failed; count-- {
		// Sets are disjoint and never touch, so that 2 is the least but for the first.
		gap := int64(r.number(profile.MaxSequence))
		r.failed = r.failed || gap < 1 || len(set) > 0 && gap < 2
		first := last + gap
		last = first + int64(r.number(profile.MaxSequence))
		r.failed = r.failed || last > profile.MaxSequence
		set = append(set, store.Interval{First: first, Last: last})
	}
	return set
}
