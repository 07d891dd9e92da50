// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"strings"
)

// The name of a member is a constant that the generator has made up: the name
// quoted, the colon, of a string the opening quote too, then anything up to
// sizeOfKey bytes, the last of which is the length of what counts. A copy of a
// constant number of bytes takes no loop and no call.
const sizeOfKey = 40

// noKey is the key of what has no name: an element of an array, or the event.
const noKey = "                                       \x00"

// ofKey returns what of a key counts.
func ofKey(k string) string { return k[:k[sizeOfKey-1]] }

// maxKey is more than any key has, and a power of two: room for so much lets the
// compiler see that what follows a key is in bounds.
const maxKey = 64

// putKey copies k to to, of which there must be sizeOfKey bytes, and returns the
// length of what counts: less than maxKey.
func putKey(to []byte, k string) int {
	n := int(k[sizeOfKey-1]) & (maxKey - 1)
	_ = to[sizeOfKey-1]
	copy(to[:16], k[:16])
	if n > 16 {
		copy(to[16:32], k[16:32])
		copy(to[32:sizeOfKey], k[32:sizeOfKey])
	}
	return n
}

// key writes a member's name, after the extra members that sort before it.
func (e *encoder) key(k string) {
	at := len(e.b)
	if len(e.extra) > 0 || cap(e.b)-at < maxKey {
		e.keySlow(k)
		return
	}
	e.b = e.b[:at+putKey(e.b[at:cap(e.b)], k)]
}

func (e *encoder) keySlow(k string) {
	if len(e.extra) > 0 {
		e.merge(k)
	}
	e.b = append(e.b, ofKey(k)...)
}

// open begins an object: its name, or noKey, and its brace. x are its extra
// members, which close writes if they have not been merged in before. It says no
// where the object is not to be written: after an error, and deeper than
// [MaxDepth], as where objects hold each other.
func (e *encoder) open(k string, x *Extra) bool {
	at := len(e.b)
	if len(*x) != 0 || len(e.extra) != 0 || cap(e.b)-at <= maxKey || e.depth >= MaxDepth {
		return e.openSlow(k, *x)
	}
	to := e.b[at:cap(e.b)]
	n := putKey(to, k)
	to[n] = '{'
	e.b = e.b[:at+n+1]
	e.depth++
	return true
}

func (e *encoder) openSlow(k string, x Extra) bool {
	if e.err != nil {
		return false
	}
	if k != noKey {
		e.key(k)
	}
	if e.depth >= MaxDepth {
		e.fail(ErrDepth)
		return false
	}
	e.b = append(e.b, '{')
	e.depth++
	if len(x) > 0 || len(e.extra) > 0 {
		e.around = append(e.around, pending{e.depth, e.extra})
		e.extra = x
		if len(x) > 1 {
			e.extra = x.sorted()
		}
	}
	return true
}

// close ends an object, and with a comma the member or element that it is, but
// not the event.
func (e *encoder) close() {
	n := len(e.b)
	if e.depth <= 1 || len(e.around) > 0 || n == 0 || n >= cap(e.b) || e.b[n-1] != ',' {
		e.closeSlow()
		return
	}
	to := e.b[:n+1]
	to[n-1], to[n] = '}', ','
	e.b = e.b[:n+1]
	e.depth--
}

func (e *encoder) closeSlow() {
	if last := len(e.around) - 1; last >= 0 && e.around[last].depth == e.depth {
		for len(e.extra) > 0 {
			e.member()
		}
		e.extra = e.around[last].extra
		e.around[last] = pending{}
		e.around = e.around[:last]
	}
	e.depth--
	if e.b = closing(e.b, '}'); e.depth != 0 {
		e.sign(',')
	}
}

// merge writes the extra members that sort before the member with key k.
func (e *encoder) merge(k string) {
	name := k[1 : 1+strings.IndexByte(k[1:], '"')]
	for len(e.extra) > 0 && compareUTF16(e.extra[0].Name, name) < 0 {
		e.member()
	}
	for len(e.extra) > 0 && e.extra[0].Name == name {
		e.extra = e.extra[1:] // the field wins
	}
}

// member writes the next extra member; of several with one name, the last.
func (e *encoder) member() {
	m := e.extra[0]
	e.extra = e.extra[1:]
	if len(e.extra) > 0 && e.extra[0].Name == m.Name {
		return
	}
	e.sign('"')
	e.text(m.Name)
	if e.err != nil {
		return
	}
	e.b[len(e.b)-1] = ':' // text has put a comma there
	e.free(m.Value)
	e.sign(',')
}

// sign writes one byte of punctuation.
func (e *encoder) sign(c byte) { e.b = append(e.b, c) }
