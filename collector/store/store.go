// SPDX-License-Identifier: Apache-2.0

// Package store is the contract between the collector and what keeps its
// events: a [Writer] that takes batches and a [Reader] that gives entries back.
//
// A store is exactly once: per epoch it keeps the set of sequences that it
// holds, committed together with the rows, and takes an event that it already
// holds as a duplicate. Package storetest checks that an implementation keeps
// the contract.
package store

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/docket-audit/docket/internal/profile"
)

// ErrNotFound says that the store holds no such event.
var ErrNotFound = errors.New("not found")

// ErrUnfit says that a batch cannot be committed for what is in it: the same
// batch fails again, however often it is tried. Nothing of it was committed.
var ErrUnfit = errors.New("the batch cannot be stored")

// ErrFenced says that a batch comes from a writer whose time is over: a commit
// with a higher fence was made. Nothing of the batch was committed, and nothing
// of that writer will be.
var ErrFenced = errors.New("a later writer has committed")

// An Entry is an event as stored: its exact bytes and where and when they were
// put. Header is always that of Raw, parsed from the bytes.
type Entry struct {
	Raw        []byte
	Header     profile.Header
	StreamSeq  uint64    // of the JetStream message it came by
	StoredTime time.Time // to the millisecond
	Commit     uint64    // number of the commit that added it, from 1
	Pos        uint32    // its place in that commit, from 0
}

// A Quarantined message is one that could not be stored as an event.
type Quarantined struct {
	Subject   string
	Headers   map[string][]string
	Data      []byte
	StreamSeq uint64
	Reason    string
	// Epoch and Sequence are what the message claims; "" and 0 when unreadable.
	Epoch    string
	Sequence int64
}

// A Batch is what one commit adds. Entries come in stream order; StoredTime,
// Commit and Pos are for the store to set.
type Batch struct {
	Entries     []Entry
	Quarantined []Quarantined
	StreamSeq   uint64 // of the last message that the batch accounts for
	// Fence is the token of the lease under which the batch was made; 0 without
	// one. A later holder has a higher one.
	Fence uint64
}

// A Committed tells what became of a batch.
type Committed struct {
	Number     uint64  // of the commit; 0 when nothing was new
	Added      []Entry // in commit order
	Duplicates int     // entries and quarantined messages that it held already
	// Conflicts are those of Added that have the epoch and sequence of another
	// event and not its fingerprint. Both are kept: the hash chain decides.
	Conflicts []Entry
}

// An Epoch is what a store knows of one epoch.
type Epoch struct {
	Tenant  string
	Emitter string
	// Stored, Quarantined and Conflicts are sequences. A quarantined message
	// counts by what it claims, an event in conflict with a stored one twice.
	Stored, Quarantined, Conflicts Intervals
	// HeadSequence is the highest stored sequence, HeadFingerprint its event's.
	HeadSequence    int64
	HeadFingerprint string
	Closed          *Closed // nil while nothing says that it ended
}

// Accounted returns what is stored or quarantined.
func (e *Epoch) Accounted() Intervals {
	return Union(e.Stored, e.Quarantined)
}

// Watermark returns the sequence up to which the epoch is accounted for. It is
// never beyond the highest stored sequence: what a quarantined message claims
// is believed only where the epoch itself has gone on behind it, for anybody
// may claim to be events that are still to come.
func (e *Epoch) Watermark() int64 {
	accounted := e.Accounted()
	return min(accounted.Watermark(), e.HeadSequence)
}

// A Writer takes batches. Commit is durable when it returns, and idempotent:
// what is stored already is a duplicate. A quarantined message never keeps an
// event out: its claim may be forged. A batch that can never be committed fails
// with [ErrUnfit], unlike one that a disk is in the way of. A batch whose Fence is
// lower than that of the last commit fails with [ErrFenced], even if nothing of
// it is new. One goroutine at a time may call Commit.
type Writer interface {
	Commit(ctx context.Context, b Batch) (Committed, error)
	// Epoch returns what is known of an epoch; nil when nothing is. The result
	// is the caller's own.
	Epoch(uid string) *Epoch
	// Epochs returns the uids of all epochs, sorted.
	Epochs() []string
	// Sequences returns the sequences that are stored or quarantined, by epoch.
	// The result is the caller's own.
	Sequences() map[string]Intervals
	// Statements returns the canonical statements of the commits from number
	// on, which the ledger takes.
	Statements(number uint64) iter.Seq2[[]byte, error]
	// StreamSeq returns the stream sequence up to which every message is
	// accounted for by commits.
	StreamSeq() uint64
}

// A Compactor is a store that, beside its commits, puts what it took in haste
// into the form in which it is kept. What it gives to readers does not change.
type Compactor interface {
	// Compact does the next part of that work if there is one that is due; force
	// makes everything due. It may run beside Commit, one Compact at a time. When
	// the new form is written, commit is called with the function that puts it in
	// place, which adds one statement; commit MUST call that function once, or
	// return an error. A fence lower than that of the last commit is [ErrFenced].
	//
	// After an error nothing is lost: the next Compact begins again.
	Compact(ctx context.Context, force bool, commit func(put func(fence uint64) error) error) (Compacted, error)
}

// A Compacted tells what one Compact did; the zero value is nothing.
type Compacted struct {
	Number uint64 // of the statement
	Rows   int64
	// Before and After count the files that were taken and made, BytesBefore and
	// BytesAfter their bytes.
	Before, After           int
	BytesBefore, BytesAfter int64
}

// A Sizer is a store that knows what it takes.
type Sizer interface {
	// Sizes returns what the parts of the store take now. It asks no disk.
	Sizes() []Size
}

// A Size is what one part of a store takes.
type Size struct {
	Part  string
	Files int
	Bytes int64
}

// A Query selects entries; zero fields select everything.
type Query struct {
	Since, Until int64 // ms, Since <= time < Until; 0 is open
	Tenant       string
	Kinds        []string
	Event        string // metadata_uid
	Operation    string // operation_uid
	Trace        string // trace_uid
	Epoch        string
	// Texts has, by the name of a text column of [profile.Header], the values of
	// which an entry must have one there; see [Query.Holds].
	Texts map[string][]string
	// AsOf is the number of a commit: only entries of it and of those before it,
	// as the store was then; 0 is all.
	AsOf       uint64
	After      Cursor // only entries behind it in commit order
	Descending bool   // newest commit first; After then means before
	Limit      int
	// WithoutRaw leaves Raw nil, for those who need headers only. The headers
	// may then be what the store keeps beside the bytes.
	WithoutRaw bool
}

// A Cursor is a place in a store: entries are ordered by (Commit, Pos).
type Cursor struct {
	Commit uint64
	Pos    uint32
}

// Compare returns -1, 0 or 1 as c is before, at or behind d in commit order.
func (c Cursor) Compare(d Cursor) int {
	return cmp.Or(cmp.Compare(c.Commit, d.Commit), cmp.Compare(c.Pos, d.Pos))
}

// A Reader gives entries in commit order.
type Reader interface {
	Scan(ctx context.Context, q Query) iter.Seq2[Entry, error]
}
