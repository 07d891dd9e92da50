// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/docket-audit/docket/ocsf"
)

// A Link is an event's place in a hash chain.
type Link struct {
	Emitter  string // the emitter's name, which answers for the event
	Epoch    string
	Sequence int64 // from 1

	// PrevUID and PrevFingerprint are those of the event before it; both are
	// empty for the first.
	PrevUID         string
	PrevFingerprint string
	// PrevTypeUID is the previous event's type_uid, which OCSF 1.9 wants told; 0
	// leaves it out.
	PrevTypeUID int64
}

// Seal makes e the event at link: it sets metadata.sequence and metadata.loggers,
// attests the event, and returns its canonical bytes, which are the event from here
// on, with their fingerprint.
//
// Where the attestation is follows from metadata.version: in unmapped for
// 1.8.0, the default, else in attestation_list, with its profile named. It is in
// the bytes alone: e has none, also if it had one. Maps and slices that e shares
// with other events stay as they are.
//
// It fails with a [*VersionError] on another version, and on an event that
// [Parse] would refuse, or that has no canonical form.
func Seal(e ocsf.Event, link Link) (raw []byte, fingerprint string, err error) {
	raw, h, err := AppendSealed(nil, e, link)
	return raw, h.Fingerprint, err
}

// SealHeader is [Seal] and [Parse] of what it returns.
func SealHeader(e ocsf.Event, link Link) (raw []byte, h Header, err error) {
	if raw, _, err = AppendSealed(nil, e, link); err == nil {
		h, err = Parse(raw)
	}
	return raw, h, err
}

// AppendSealed is [Seal] for who has room for the bytes: it appends them to dst.
// It returns what it knows of the header without a second pass: all that is not
// text, what makes up a subject, the uid, and the place in the hash chain. The uid,
// the epoch and the fingerprints may be kept for long; the other strings share
// memory.
func AppendSealed(dst []byte, e ocsf.Event, link Link) (raw []byte, h Header, err error) {
	s, _ := sealers.Get().(*sealer)
	defer sealers.Put(s)
	return s.sealed(dst, e, link, nil)
}

// A Sealer seals many events, one after the other: what it has encoded is not parsed
// again where it is like one before it. The zero value is ready; one goroutine at a
// time may use it.
type Sealer struct {
	sealer
	series Series
}

// Append is [AppendSealed].
func (s *Sealer) Append(dst []byte, e ocsf.Event, link Link) (raw []byte, h Header, err error) {
	return s.sealed(dst, e, link, &s.series)
}

// A sealer is what is needed to seal an event, to be used again.
type sealer struct {
	event       []byte // as it is encoded, without an attestation
	attestation []byte // what is put into it
	digest      digest
}

var sealers = sync.Pool{New: func() any { return new(sealer) }}

// maxBuffer bounds what is kept: a rare giant is not.
const maxBuffer = 256 << 10

func (s *sealer) sealed(dst []byte, e ocsf.Event, link Link, among *Series) (raw []byte, h Header, err error) {
	if raw, h, err = s.seal(dst, e, link, among); err != nil {
		return nil, Header{}, fmt.Errorf("seal event: %w", err)
	}
	return raw, h, nil
}

// seal reads what it encodes among others, if there are any.
func (s *sealer) seal(dst []byte, e ocsf.Event, link Link, among *Series) (raw []byte, h Header, err error) {
	if err := link.check(); err != nil {
		return nil, Header{}, err
	}
	b := e.Common()
	f, err := formOf(b.Metadata.Version)
	if err != nil {
		return nil, Header{}, err
	}
	own := &struct {
		sequence int64
		loggers  [1]ocsf.Logger
	}{link.Sequence, [1]ocsf.Logger{{UID: link.Epoch, Name: link.Emitter, EventUID: b.Metadata.UID}}}
	b.Metadata.Sequence, b.Metadata.Loggers = &own.sequence, own.loggers[:]
	f.clear(b)
	event, err := ocsf.AppendCanonical(s.event[:0], e)
	if err != nil {
		return nil, Header{}, err
	}
	if cap(event) <= maxBuffer {
		s.event = event
	}
	var read *scanned
	if among != nil {
		read, err = among.scan(event, f)
	} else {
		var alone scanned
		alone, err = scanFor(event, f, true)
		read = &alone
	}
	if err != nil {
		return nil, Header{}, err
	}
	if err := read.identity(); err != nil {
		return nil, Header{}, err
	}
	if read.form != f || read.Epoch != link.Epoch || read.Sequence != link.Sequence {
		return nil, Header{}, fmt.Errorf("%w: it says another version, epoch or sequence than its own", ErrMalformed)
	}
	text, cut, err := read.gap.fill(s.attestation[:0], f, link)
	if err != nil {
		return nil, Header{}, err
	}
	s.attestation = text

	// The fingerprint is of what is around it.
	width := len(f.head) + hex.EncodedLen(sha256.Size) + len(tail)
	raw = slices.Grow(dst, len(event)+len(text)+width)
	raw = append(append(raw, event[:read.gap.at]...), text[:cut]...)
	before := len(raw)
	after := before + width
	raw = append(append(raw[:after], text[cut:]...), event[read.gap.at:]...)
	digits := raw[before+copy(raw[before:], f.head) : after-len(tail)]
	copy(digits, s.digest.of(raw[len(dst):before], raw[after:]))
	copy(raw[after-len(tail):], tail)

	h = read.Header
	h.Fingerprint, h.PrevFingerprint, h.Epoch = string(digits), link.PrevFingerprint, link.Epoch
	if h.MetadataUID == b.Metadata.UID {
		h.MetadataUID = b.Metadata.UID
	}
	return raw, h, nil
}

// check says whether the link is one.
func (l Link) check() error {
	if (l.PrevUID == "") != (l.PrevFingerprint == "") || (l.PrevUID == "") != (l.Sequence == 1) {
		return errors.New("a link names its predecessor if and only if it is not the first")
	}
	if l.PrevFingerprint != "" && !isHexSHA256(l.PrevFingerprint) {
		return fmt.Errorf("%w: prev_event.fingerprint is not a SHA-256 in lower-case hex: %.80q", ErrMalformed, l.PrevFingerprint)
	}
	return nil
}
