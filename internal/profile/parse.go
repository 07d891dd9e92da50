// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"errors"
	"fmt"
	"strconv"
)

// Why bytes are not an event of Docket. [Check] and [Parse] wrap them.
var (
	// ErrMalformed says that the bytes are not JSON, or that an attribute has
	// the wrong type.
	ErrMalformed = errors.New("malformed event")
	// ErrIncomplete says that the event lacks what every event of Docket has:
	// uid, time, tenant, kind, class, version, emitter, epoch, sequence,
	// attestation.
	ErrIncomplete = errors.New("incomplete event")
	// ErrFingerprint says that the bytes are not those that were sealed.
	ErrFingerprint = errors.New("fingerprint mismatch")
)

// MaxInteger is the largest integer that canonical JSON can hold exactly.
const MaxInteger = 1<<53 - 1

// Parse reads the header out of an event's canonical bytes, in one pass and
// without looking into payloads. It fails with [ErrMalformed] on a wrong type
// anywhere in what it reads, and with [ErrIncomplete] where an event cannot be
// told from others. It does not verify the fingerprint; [Check] does.
func Parse(raw []byte) (Header, error) {
	s, err := scanFor(raw, nil, false)
	if err != nil {
		return Header{}, fmt.Errorf("parse event: %w", err)
	}
	if err := s.complete(); err != nil {
		return Header{}, fmt.Errorf("parse event: %w", err)
	}
	return s.Header, nil
}

// complete says whether s has an identity of its own, and one only.
func (s *scanned) complete() error {
	if err := s.identity(); err != nil {
		return err
	}
	switch {
	case s.Fingerprint == "":
		return fmt.Errorf("%w: no fingerprint in attestation_list[0]", ErrIncomplete)
	case s.chain != s.Epoch:
		return fmt.Errorf("%w: attested in hash chain %q, logged in epoch %q", ErrIncomplete, s.chain, s.Epoch)
	case !isAttestationUID(s.attestation, s.Epoch, s.Sequence):
		return fmt.Errorf("%w: attestation %q is not that of sequence %d", ErrIncomplete, s.attestation, s.Sequence)
	}
	return nil
}

// identity says whether s has all of an identity but for what attests it.
func (s *scanned) identity() error {
	missing := func(what string) error { return fmt.Errorf("%w: no %s", ErrIncomplete, what) }
	switch {
	case s.MetadataUID == "":
		return missing("metadata.uid")
	case s.Kind == "":
		return missing("metadata.event_code")
	case s.Tenant == "":
		return missing("metadata.tenant_uid")
	case s.Time <= 0:
		return missing("time")
	case s.ClassUID == 0 || s.TypeUID == 0:
		return missing("class_uid and type_uid")
	case s.Emitter == "":
		return missing("metadata.loggers[0].name")
	case s.Epoch == "":
		return missing("metadata.loggers[0].uid")
	case s.Sequence < 1:
		return missing("metadata.sequence")
	case s.form == nil:
		return missing("metadata.version")
	}
	return nil
}

// isAttestationUID says whether s is "<epoch>:<sequence>", without building it.
func isAttestationUID(s, epoch string, sequence int64) bool {
	if len(s) <= len(epoch)+1 || s[:len(epoch)] != epoch || s[len(epoch)] != ':' {
		return false
	}
	var digits [20]byte
	return s[len(epoch)+1:] == string(strconv.AppendInt(digits[:0], sequence, 10))
}
