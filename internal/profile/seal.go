// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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

// Seal makes e the event at link: it sets metadata.sequence and
// metadata.loggers, attests the event, and returns its canonical bytes, which
// are the event from here on, with their fingerprint.
//
// Where the attestation is follows from metadata.version: in unmapped for
// 1.8.0, the default, else in attestation_list, with its profile named. Maps and
// slices that e shares with other events stay as they are.
//
// It fails with a [*VersionError] on another version, and on an event that
// [Parse] would refuse, or that has no canonical form.
func Seal(e ocsf.Event, link Link) (raw []byte, fingerprint string, err error) {
	raw, h, err := SealHeader(e, link)
	return raw, h.Fingerprint, err
}

// SealHeader is [Seal] for who needs more of the event than its fingerprint: it
// returns the header that [Parse] would read from raw, without a second pass.
func SealHeader(e ocsf.Event, link Link) (raw []byte, h Header, err error) {
	if (link.PrevUID == "") != (link.PrevFingerprint == "") || (link.PrevUID == "") != (link.Sequence == 1) {
		return nil, Header{}, errors.New("seal event: a link names its predecessor if and only if it is not the first")
	}
	b := e.Common()
	f, err := formOf(b.Metadata.Version)
	if err != nil {
		return nil, Header{}, fmt.Errorf("seal event: %w", err)
	}
	b.Metadata.Sequence = new(link.Sequence)
	b.Metadata.Loggers = []ocsf.Logger{{UID: link.Epoch, Name: link.Emitter, EventUID: b.Metadata.UID}}
	f.put(b, link)

	buffer, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	open, err := ocsf.AppendCanonical((*buffer)[:0], e)
	if err != nil {
		return nil, Header{}, fmt.Errorf("seal event: %w", err)
	}
	if cap(open) <= maxBuffer {
		*buffer = open
	}
	s, err := scan(open)
	if err != nil {
		return nil, Header{}, fmt.Errorf("seal event: %w", err)
	}
	sum := sha256.Sum256(open)
	s.Fingerprint = hex.EncodeToString(sum[:])
	if err := s.complete(); err != nil {
		return nil, Header{}, fmt.Errorf("seal event: %w", err)
	}
	raw = make([]byte, 0, len(open)+len(f.head)+len(s.Fingerprint)+len(tail))
	raw = append(raw, open[:s.cut]...)
	raw = append(raw, f.head...)
	raw = append(raw, s.Fingerprint...)
	raw = append(raw, tail...)
	raw = append(raw, open[s.cut:]...)
	return raw, s.Header, nil
}

// buffers hold events while they are sealed. A rare giant is not kept.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const maxBuffer = 256 << 10

// Fingerprint returns the fingerprint that raw claims to have and the one that
// its bytes do have. They are equal if and only if raw is, byte for byte, what
// [Seal] returned; that of a raw whose fingerprint is not written as Seal
// writes it is computed over all of it, so that it differs.
func Fingerprint(raw []byte) (claimed, computed string, err error) {
	s, err := scan(raw)
	if err != nil {
		return "", "", fmt.Errorf("fingerprint event: %w", err)
	}
	if s.form == nil || s.Fingerprint == "" {
		return "", "", fmt.Errorf("fingerprint event: %w: no fingerprint, or no version", ErrIncomplete)
	}
	return s.Fingerprint, s.compute(raw), nil
}

// Check is [Parse] and the verification of the fingerprint in one pass over raw.
// It fails with [ErrFingerprint] when raw is not what was sealed.
func Check(raw []byte) (Header, error) {
	s, err := scan(raw)
	if err != nil {
		return Header{}, fmt.Errorf("check event: %w", err)
	}
	if err := s.complete(); err != nil {
		return Header{}, fmt.Errorf("check event: %w", err)
	}
	if computed := s.compute(raw); computed != s.Fingerprint {
		return Header{}, fmt.Errorf("check event %s: %w: claims %s, has %s", s.MetadataUID, ErrFingerprint, s.Fingerprint, computed)
	}
	return s.Header, nil
}

func (s *scanned) compute(raw []byte) string {
	h := sha256.New()
	if s.exact {
		h.Write(raw[:s.cut])
		h.Write(raw[s.cutEnd:])
	} else {
		h.Write(raw)
	}
	var sum [sha256.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0]))
}
