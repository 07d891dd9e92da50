// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Check is [Parse] and the verification of the fingerprint in one pass over raw.
// It fails with [ErrFingerprint] when raw is not, byte for byte, what [Seal]
// returned; of one whose fingerprint is not written as Seal writes it, it is computed
// over all of it, so that it differs.
func Check(raw []byte) (Header, error) {
	s, err := scan(raw)
	if err != nil {
		return Header{}, fmt.Errorf("check event: %w", err)
	}
	if err := s.check(raw, new(digest)); err != nil {
		return Header{}, err
	}
	return s.Header, nil
}

// check says whether s, which was read of raw, is an event with its own fingerprint.
func (s *scanned) check(raw []byte, d *digest) error {
	if err := s.complete(); err != nil {
		return fmt.Errorf("check event: %w", err)
	}
	if computed := s.compute(raw, d); string(computed) != s.Fingerprint {
		return fmt.Errorf("check event %s: %w: claims %s, has %s", s.MetadataUID, ErrFingerprint, s.Fingerprint, computed)
	}
	return nil
}

func (s *scanned) compute(raw []byte, d *digest) []byte {
	if s.exact {
		return d.of(raw[:s.cut], raw[s.cutEnd:])
	}
	return d.of(raw, nil)
}

// A digest makes fingerprints, one after the other.
type digest struct {
	hash   hash.Hash
	sum    []byte
	digits []byte
}

// of returns the SHA-256 of a and b behind it, in hex. It lasts until the next one.
func (d *digest) of(a, b []byte) []byte {
	if d.hash == nil {
		d.hash = sha256.New()
	}
	d.hash.Reset()
	d.hash.Write(a)
	d.hash.Write(b)
	d.sum = d.hash.Sum(d.sum[:0])
	d.digits = hex.AppendEncode(d.digits[:0], d.sum)
	return d.digits
}
