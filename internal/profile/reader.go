// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// A scanned event is its header, what ties the header together, and where in
// the bytes the fingerprint stands.
type scanned struct {
	Header

	form *form // that of metadata.version; nil when there is none

	// Of the attestation.
	chain, attestation string
	// raw[cut:cutEnd] is the fingerprint member with its comma; cut is where it
	// belongs when it is not there yet (cutEnd is then equal).
	cut, cutEnd int
	// exact says that the fingerprint member is written as Seal writes it.
	exact bool

	gap gap // of an event that is to be sealed
}

// A reader walks one event. It is reused between events.
type reader struct {
	source
	at int // where the next token begins, or white space before it
	// judged says that b is known to be JSON. Until then, what is read is judged
	// on the way, and the first doubt ends it: errUnsure.
	judged bool

	seals  *form // how the event is to be attested; nil of one that is
	nameAt int   // where the name of the member that is being read begins

	s scanned

	action     int64
	requestUID string
	planUID    string // unmapped.docket.plan
	planPolicy string // policy.version
	appUID     string
	appName    string

	real, aside bool  // which attestation_list there is: the schema's own, that in unmapped
	expected    *form // of the attestation that is being read
	name, value word  // of the tag or fingerprint that is being read

	// Texts are gathered, and made strings of in the end.
	texts []text
	room  []byte // what they are

	notes []note // for a mould
}

// A text is a string of the header that is to be.
type text struct {
	to *string
	word
	digest bool // it is a SHA-256, or there is no event
}

// last says whether there is none for the same string among those that follow.
func (t *text) last(follow []text) bool {
	return !slices.ContainsFunc(follow, func(other text) bool { return other.to == t.to })
}

// A note says what was made of a value in a tree.
type note struct {
	node  int32
	is    marking
	whole *int64 // where the number went
	small *int32
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// scan walks the whole of raw, which must be one JSON object.
func scan(raw []byte) (scanned, error) { return scanFor(raw, nil, false) }

// scanFor is scan for an event that is to be attested, as seals says, and is not
// yet: of the strings of the header it reads those that make up a subject, the uid
// and the epoch. seals is nil for one that is attested. The strings may be shared:
// then they are in one piece of memory, and none should be kept for longer than
// the others.
func scanFor(raw []byte, seals *form, shared bool) (scanned, error) {
	r, _ := readers.Get().(*reader)
	r.seals = seals
	_, err := r.readOrJudge(raw)
	if err == nil {
		r.strings(shared)
		r.settle(&r.s.Header)
	}
	s := r.s
	r.reset()
	readers.Put(r)
	return s, err
}

// readOrJudge reads raw, for the second time if the first one leaves a doubt: then a
// tree does not grow. The reader is as reset leaves it, but for seals and growing.
func (r *reader) readOrJudge(raw []byte) (sure bool, err error) {
	seals := r.seals
	err = r.read(raw, false)
	if sure = !errors.Is(err, errUnsure); !sure {
		if err = judge(raw); err == nil {
			r.reset()
			r.seals = seals
			err = r.read(raw, true)
		}
	}
	if err != nil && !errors.Is(err, ErrMalformed) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return sure, err
}

// judge says whether raw begins with JSON, without duplicate names.
func judge(raw []byte) error {
	// A bytes.Buffer is what the decoder reads in place, without a copy.
	return jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(false)).SkipValue()
}

// read walks raw. The reader is as reset leaves it.
func (r *reader) read(raw []byte, judged bool) error {
	r.judged = judged
	if !r.open(raw) && !judged {
		return errUnsure
	}
	return r.event()
}

// reset forgets the event. Room that a rare giant took is not kept.
func (r *reader) reset() {
	texts, room, notes, nodes := r.texts[:0], r.room[:0], r.notes[:0], r.nodes[:0]
	clear(r.texts)
	clear(r.notes)
	if cap(room) > maxRoom {
		room = nil
	}
	*r = reader{texts: texts, room: room, notes: notes}
	r.nodes = nodes
}

const maxRoom = 16 << 10

// strings makes strings of the texts.
func (r *reader) strings(shared bool) {
	if shared {
		all := string(r.room)
		for _, t := range r.texts {
			*t.to = all[t.lo:t.hi]
		}
		return
	}
	for _, t := range r.texts {
		*t.to = string(r.room[t.lo:t.hi])
	}
}

// peek returns the first byte of the next token, 0 at the end.
func (r *reader) peek() byte {
	if r.judged {
		r.space()
	}
	if r.at >= len(r.b) {
		return 0
	}
	return r.b[r.at]
}

// space passes over white space.
func (r *reader) space() {
	for r.at < len(r.b) && (r.b[r.at] == ' ' || r.b[r.at] == '\n' || r.b[r.at] == '\t' || r.b[r.at] == '\r') {
		r.at++
	}
}

// skip passes over a value.
func (r *reader) skip() error {
	r.peek()
	if r.judged {
		r.at = r.over(r.at)
		return nil
	}
	end := r.pass(r.at)
	if end < 0 {
		return errUnsure
	}
	if r.flat {
		r.note(note{is: passed})
	}
	r.at = end
	return nil
}

// inside takes a string that is next and returns what stands between its quotes.
func (r *reader) inside() (inside []byte, escaped bool, err error) {
	end, escapes := r.quoted(r.at + 1)
	if end < 0 || escapes == escapesOdd && !r.judged {
		return nil, false, errUnsure
	}
	inside = r.b[r.at+1 : end]
	r.leaf(r.at, end+1)
	r.note(note{is: steers})
	r.at = end + 1
	return inside, escapes != escapesNone, nil
}

// object calls member for each member of the object that comes next. member
// MUST consume the value.
func (r *reader) object(what string, member func(r *reader, name []byte) error) error {
	if r.peek() != '{' {
		return r.wrong(what, "an object")
	}
	n := r.begin(r.at)
	r.at++
	if r.peek() == '}' {
		r.at++
		r.leave(n, r.at)
		return nil
	}
	var before []byte
	for first := true; ; first = false {
		if r.peek() != '"' {
			return errUnsure
		}
		end, escapes := r.quoted(r.at + 1)
		if end < 0 {
			return errUnsure
		}
		r.nameAt = r.at
		r.call(r.at+1, end)
		name := r.b[r.at+1 : end]
		if !r.judged && (escapes != escapesNone || !first && !ascend(before, name)) {
			return errUnsure
		}
		before = name
		r.at = end + 1
		if r.peek() != ':' {
			return errUnsure
		}
		r.at++
		if err := member(r, name); err != nil {
			return err
		}
		switch r.peek() {
		case ',':
			r.at++
		case '}':
			r.at++
			r.leave(n, r.at)
			return nil
		default:
			return errUnsure
		}
	}
}

// array calls element for each element of the array that comes next.
func (r *reader) array(what string, element func(r *reader) error) error {
	if r.peek() != '[' {
		return r.wrong(what, "an array")
	}
	n := r.begin(r.at)
	r.at++
	if r.peek() == ']' {
		r.at++
		r.leave(n, r.at)
		return nil
	}
	for {
		r.call(0, 0)
		if err := element(r); err != nil {
			return err
		}
		switch r.peek() {
		case ',':
			r.at++
		case ']':
			r.at++
			r.leave(n, r.at)
			return nil
		default:
			return errUnsure
		}
	}
}

// first calls element for the first element of the array that comes next and
// skips the others.
func (r *reader) first(what string, element func(r *reader) error) error {
	n := 0
	return r.array(what, func(r *reader) error {
		if n++; n > 1 {
			return r.skip()
		}
		return element(r)
	})
}

// text reads a string, which to will be once the whole event is read.
func (r *reader) text(what string, to *string) error {
	w, err := r.word(what)
	r.keep(w, to)
	return err
}

// detail is text for what nobody asks of an event that is being sealed.
func (r *reader) detail(what string, to *string) error {
	if r.seals == nil {
		return r.text(what, to)
	}
	_, err := r.plain(what)
	r.note(note{is: free})
	return err
}

// note notes what was made of the value that was read last.
func (r *reader) note(n note) {
	if r.growing {
		n.node = r.newest()
		r.notes = append(r.notes, n)
	}
}

// A word is where a string that was read is in the reader's room.
type word struct {
	lo, hi int
	node   int32 // in the tree, if one grows
}

// word reads a string.
func (r *reader) word(what string) (word, error) {
	if r.peek() != '"' {
		return word{}, r.wrong(what, "a string")
	}
	start, lo := r.at, len(r.room)
	inside, escaped, err := r.inside()
	if err != nil {
		return word{}, err
	}
	if !escaped {
		r.room = append(r.room, inside...)
	} else if r.room, err = jsontext.AppendUnquote(r.room, r.b[start:r.at]); err != nil {
		return word{}, err // cannot be
	}
	return word{lo, len(r.room), r.newest()}, nil
}

func (r *reader) said(w word) []byte { return r.room[w.lo:w.hi] }

// keep notes that to is to be w.
func (r *reader) keep(w word, to *string) { r.texts = append(r.texts, text{to: to, word: w}) }

// plain reads a string that is written without escapes, or is not the one that is
// looked for.
func (r *reader) plain(what string) ([]byte, error) {
	if r.peek() != '"' {
		return nil, r.wrong(what, "a string")
	}
	inside, _, err := r.inside()
	return inside, err
}

// whole reads a whole number that canonical JSON can hold.
func (r *reader) whole(what string, to *int64) (err error) {
	if *to, err = r.integer(what); err == nil {
		r.note(note{whole: to})
	}
	return err
}

func (r *reader) integer(what string) (int64, error) {
	if c := r.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, r.wrong(what, "an integer")
	}
	end := r.number(r.at)
	if end < 0 {
		return 0, errUnsure
	}
	v := r.b[r.at:end]
	r.leaf(r.at, end)
	r.at = end
	n, ok := integer(v)
	if !ok {
		return 0, fmt.Errorf("%w: %s is not an integer: %.40s", ErrMalformed, what, v)
	}
	return n, nil
}

// integer returns the integer that the number v is, if it is one that canonical
// JSON can hold.
func integer(v []byte) (n int64, ok bool) {
	digits := bytes.TrimPrefix(v, []byte("-"))
	if len(digits) > len("9007199254740991") {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(v) {
		n = -n
	}
	return n, -MaxInteger <= n && n <= MaxInteger
}

// small reads a whole number of 32 bits.
func (r *reader) small(what string, to *int32) error {
	n, err := r.integer(what)
	if err != nil {
		return err
	}
	if n > math.MaxInt32 || n < math.MinInt32 {
		return fmt.Errorf("%w: %s out of range: %d", ErrMalformed, what, n)
	}
	*to = int32(n)
	r.note(note{small: to})
	return nil
}

// truth reads a boolean.
func (r *reader) truth(what string, to *bool) error {
	c := r.peek()
	if c != 't' && c != 'f' {
		return r.wrong(what, "a boolean")
	}
	*to = c == 't'
	err := r.skip()
	r.note(note{is: steers})
	return err
}

// wrong reports a value of a wrong type, if it is sure that it is a value.
func (r *reader) wrong(what, want string) error {
	c := r.peek()
	if !r.judged && r.sound(r.at, 0) < 0 {
		return errUnsure
	}
	if c == '-' || '0' <= c && c <= '9' {
		c = '0'
	}
	return fmt.Errorf("%w: %s is not %s but %v", ErrMalformed, what, want, jsontext.Kind(c))
}
