// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/ocsf"
)

// ErrCorrupt says that what the store says of itself does not fit together.
var ErrCorrupt = errors.New("the store is damaged")

// A Statement is what one commit says of itself. Its bytes are canonical JSON and
// never change; each has the SHA-256 of the one before it, and the ledger has the
// SHA-256 of each. Whoever holds the rows can tell that they are those: by the
// counts and roots, by the sets of sequences, and by the digest of what went into
// quarantine.
type Statement struct {
	Number uint64 `json:"number"` // from 1
	Prev   string `json:"prev"`   // hex SHA-256 of the previous statement; "" for the first
	Time   int64  `json:"time"`   // ms; the stored time of all that it added
	Writer int64  `json:"writer"` // the generation whose rows are meant

	Counts []Count `json:"counts"`
	// Epochs is what the commit adds to each epoch.
	Epochs map[string]Progress `json:"epochs"`
	// Quarantined is how many messages it put into quarantine, QuarantinedRoot the
	// RFC 6962 Merkle root over them, see [HeldLeaf]; "" without any.
	Quarantined     int64  `json:"quarantined,omitempty"`
	QuarantinedRoot string `json:"quarantined_root,omitempty"`
	// StreamSeqs is the hex SHA-256 over the stream sequences of the rows, which is
	// nowhere in the events; see [StreamSeqs]. "" without rows.
	StreamSeqs string `json:"stream_seqs,omitempty"`
	// StreamSeq is that of the last message that this and all earlier commits
	// account for.
	StreamSeq uint64 `json:"stream_seq"`
	// Fence is the token of the lease under which the commit was made, and never
	// lower than that of the one before; 0 without a lease.
	Fence uint64 `json:"fence,omitempty"`
}

// A Count is about the rows that a commit added for one tenant, class and day of
// the event time (UTC, YYYYMMDD). Root is the RFC 6962 Merkle root over their
// fingerprints, 32 bytes each, in the order of _pos.
type Count struct {
	Tenant   string `json:"tenant"`
	ClassUID int32  `json:"class_uid"`
	Day      string `json:"day"`
	Count    int64  `json:"count"`
	Root     string `json:"root"` // hex
}

// Progress is what a commit adds to one epoch.
type Progress struct {
	Tenant  string `json:"tenant"`
	Emitter string `json:"emitter"`
	// Stored, Quarantined and Conflicts are sequences; see [store.Epoch].
	Stored      store.Intervals `json:"stored,omitempty"`
	Quarantined store.Intervals `json:"quarantined,omitempty"`
	Conflicts   store.Intervals `json:"conflicts,omitempty"`
	// HeadSequence is the highest sequence among the added rows that are in no
	// conflict; 0 without any.
	HeadSequence    int64         `json:"head_sequence"`
	HeadFingerprint string        `json:"head_fingerprint"`
	Closed          *store.Closed `json:"closed,omitempty"`
}

// Events returns how many rows the commit added.
func (s *Statement) Events() int64 {
	var n int64
	for _, c := range s.Counts {
		n += c.Count
	}
	return n
}

// Encode returns the canonical bytes of s. It fails where they would not be read
// as s again, as with a number beyond what JSON can carry.
func (s *Statement) Encode() ([]byte, error) {
	b, err := canonical(s)
	if err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	if _, err := ParseStatement(b); err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	return b, nil
}

// ParseStatement reads a statement. It fails with [ErrCorrupt] on anything but the
// canonical bytes of one.
func ParseStatement(b []byte) (*Statement, error) {
	s := new(Statement)
	if err := decode(b, s); err != nil {
		return nil, fmt.Errorf("parse statement: %w", err)
	}
	return s, nil
}

// Digest returns the hex SHA-256 of a statement's bytes, by which the next one
// names it.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// canonical writes v as canonical JSON.
func canonical(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return ocsf.Canonicalize(b)
}

// decode reads canonical JSON into v, and refuses bytes that v would not be
// written as.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	again, err := canonical(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("%w: not the canonical bytes", ErrCorrupt)
	}
	return nil
}
