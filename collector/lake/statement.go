// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/regular"
	"github.com/docket-audit/docket/ocsf"
)

// The places in a lake's directory. Paths in statements are relative to it,
// with slashes.
const (
	HotDir        = "_hot"
	CommitsDir    = "_commits"
	QuarantineDir = "_quarantine"
	PinsDir       = "_pins"
	StubsDir      = "_stubs"
	ManifestPath  = "_manifest.json"
	LockPath      = "_lock"
)

// ErrCorrupt says that a file of the lake is not what it was written as, or is
// missing. The text names the file.
var ErrCorrupt = errors.New("the lake is damaged")

// A Statement is one commit: what it added and what it took away. One without
// counts brought no events: it says that rows went from files into others. Its bytes are
// canonical JSON and never change; each names the SHA-256 of the one before it,
// and the ledger has the SHA-256 of each.
type Statement struct {
	Number uint64 `json:"number"` // from 1
	Prev   string `json:"prev"`   // hex SHA-256 of the previous statement; "" for the first
	Time   int64  `json:"time"`   // ms; the stored time of all that it added

	Added   []File    `json:"added"`
	Removed []Removed `json:"removed"`
	Counts  []Count   `json:"counts"`
	// Epochs is what the commit adds to each epoch.
	Epochs      map[string]Progress `json:"epochs"`
	Quarantined []Quarantine        `json:"quarantined"`
	// StreamSeq is that of the last message that this and all earlier commits
	// account for.
	StreamSeq uint64 `json:"stream_seq"`
	// Fence is the token of the lease under which the commit was made, and never
	// lower than that of the one before; 0 without a lease.
	Fence uint64 `json:"fence,omitempty"`

	// Stubs are the files that stand for the rows that left the lake by this
	// statement; only such as remove by [ReasonRetention] or [ReasonErasure] have
	// any.
	Stubs []StubFile `json:"stubs,omitempty"`
	// Reference is what the operator who had something erased calls the reason,
	// such as the number of a ticket, and By who that was.
	Reference string `json:"reference,omitempty"`
	By        string `json:"by,omitempty"`
}

// A File is one segment. What it says beside the digest follows from its rows
// and lets a reader pass over it.
type File struct {
	Path        string `json:"path"`
	SHA256      string `json:"sha256"`
	Bytes       int64  `json:"bytes"`
	Rows        int64  `json:"rows"`
	FirstCommit uint64 `json:"first_commit"`
	LastCommit  uint64 `json:"last_commit"`
	MinTime     int64  `json:"min_time"`
	MaxTime     int64  `json:"max_time"`
	// The first and the last event uid and operation uid in byte order, the
	// empty ones aside. Both begin with a time, so the ranges are narrow.
	MinEvent     string `json:"min_event"`
	MaxEvent     string `json:"max_event"`
	MinOperation string `json:"min_operation"`
	MaxOperation string `json:"max_operation"`
	// Epochs is the lowest and the highest sequence of each epoch in the file.
	Epochs map[string]store.Interval `json:"epochs"`
}

// Why a segment was removed.
const (
	ReasonCompaction = "compaction" // its rows are in the files that the statement adds

	// ReasonRetention and ReasonErasure: its rows are in the files that the statement
	// adds, or left the lake, where stubs stand for them.
	ReasonRetention = retention.Expired // their time was over
	ReasonErasure   = retention.Erased  // somebody asked for it
)

// A Removed names a segment that is no longer part of the lake, and why.
type Removed struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Reason string `json:"reason"`
}

// A Count is about the rows that a commit added for one tenant, class and day
// of the event time (UTC, YYYYMMDD). Root is the RFC 6962 Merkle root over
// their fingerprints, 32 bytes each, in the order of _pos.
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
	// HeadSequence is the highest sequence among the added rows; 0 without any.
	HeadSequence    int64         `json:"head_sequence"`
	HeadFingerprint string        `json:"head_fingerprint"`
	Closed          *store.Closed `json:"closed,omitempty"`
}

// A Quarantine is one file of messages that could not be stored as events, one
// JSON object per line.
type Quarantine struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
	Count  int64  `json:"count"`
	// StreamSeqs are those of the messages.
	StreamSeqs store.Intervals `json:"stream_seqs"`
}

// Encode returns the canonical bytes of s.
func (s *Statement) Encode() ([]byte, error) {
	return encode(s)
}

// encode writes v as canonical JSON.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	return ocsf.Canonicalize(b)
}

// ParseStatement reads a statement. It fails with [ErrCorrupt] on anything but
// the canonical bytes of one.
func ParseStatement(b []byte) (*Statement, error) {
	s := new(Statement)
	if err := decode(b, s); err != nil {
		return nil, fmt.Errorf("parse statement: %w", err)
	}
	return s, nil
}

// decode reads canonical JSON into v, and refuses bytes that v would not be
// written as.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	canonical, err := encode(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if !bytes.Equal(canonical, b) {
		return fmt.Errorf("%w: not the canonical bytes", ErrCorrupt)
	}
	return nil
}

// Removes says of the bytes of a statement whether events leave the lake by it. A
// compaction only moves them.
func Removes(statement []byte) (bool, error) {
	s, err := ParseStatement(statement)
	if err != nil {
		return false, err
	}
	return s.removes(), nil
}

func (s *Statement) removes() bool {
	return len(s.Stubs) > 0 || slices.ContainsFunc(s.Removed, func(r Removed) bool { return r.Reason != ReasonCompaction })
}

// Digest returns the hex SHA-256 of a statement's bytes, by which the next one
// names it.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// StatementPath returns where statement number lies.
func StatementPath(number uint64) string {
	return fmt.Sprintf("%s/%012d.json", CommitsDir, number)
}

// ReadStatement returns the bytes of statement number of the lake in dir. It
// fails with [fs.ErrNotExist] when there is none.
func ReadStatement(dir string, number uint64) ([]byte, error) {
	b, err := regular.ReadFile(filepath.Join(dir, filepath.FromSlash(StatementPath(number))))
	if err != nil {
		return nil, fmt.Errorf("read statement %d: %w", number, err)
	}
	return b, nil
}

// Statements returns the bytes of the statements of the lake in dir, from
// number on, until the first that is not there. It says nothing about what they
// mean; [Manifest.Apply] does.
func Statements(dir string, number uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for n := number; ; n++ {
			b, err := ReadStatement(dir, n)
			if errors.Is(err, fs.ErrNotExist) {
				return
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}
