// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/ocsf"
)

// A Statement is what one commit says of itself, written as canonical JSON. Each
// has the SHA-256 of the one before it, so that a ledger that has the last one has
// all of them, and whoever holds the events can tell that they are those.
type Statement struct {
	Number uint64 `json:"number"` // from 1
	Prev   string `json:"prev"`   // hex SHA-256 of the previous statement; "" for the first
	Time   int64  `json:"time"`   // ms; the stored time of all that it added
	// Events is how many events it added, EventsDigest the hex SHA-256 over their
	// fingerprints, 32 bytes each, in the order of Pos; "" without any.
	Events       int    `json:"events"`
	EventsDigest string `json:"events_digest"`
	// Quarantined and QuarantinedDigest are the same of the messages that it put
	// into quarantine, over the SHA-256 of the data of each.
	Quarantined       int    `json:"quarantined"`
	QuarantinedDigest string `json:"quarantined_digest"`
	StreamSeq         uint64 `json:"stream_seq"`
	Fence             uint64 `json:"fence,omitempty"`

	digest string // of the statement's own bytes
}

// next begins the statement that follows s.
func (s *Statement) next(ms int64, b store.Batch) Statement {
	return Statement{Number: s.Number + 1, Prev: s.digest, Time: ms, StreamSeq: b.StreamSeq, Fence: b.Fence}
}

// encode fills in what s says of events and messages, and returns its bytes. It
// fails where a fingerprint is none.
func (s *Statement) encode(added []store.Entry, held []store.Held) ([]byte, error) {
	events := sha256.New()
	for i := range added {
		h := &added[i].Header
		leaf, err := hex.DecodeString(h.Fingerprint)
		if err != nil || len(leaf) != sha256.Size {
			return nil, fmt.Errorf("state event %s: fingerprint %.80q is not a SHA-256", h.MetadataUID, h.Fingerprint)
		}
		events.Write(leaf)
	}
	messages := sha256.New()
	for i := range held {
		sum := sha256.Sum256(held[i].Data)
		messages.Write(sum[:])
	}
	if s.Events = len(added); s.Events > 0 {
		s.EventsDigest = hex.EncodeToString(events.Sum(nil))
	}
	if s.Quarantined = len(held); s.Quarantined > 0 {
		s.QuarantinedDigest = hex.EncodeToString(messages.Sum(nil))
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	if b, err = ocsf.Canonicalize(b); err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	sum := sha256.Sum256(b)
	s.digest = hex.EncodeToString(sum[:])
	return b, nil
}
