// SPDX-License-Identifier: Apache-2.0

// Package evidence is what is read of a store in tables by who judges it: rows as
// they are, whoever put them. [Tables] is implemented by the reader of package
// clickhouse and asked by package verify, which neither knows a client of the server
// nor how it is asked.
package evidence

import (
	"context"
	"iter"
	"time"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

// The tables. Who judges a store names them as the places where something is wrong.
const (
	TableEvents     = "docket_events"
	TableStubs      = "docket_stubs"
	TableQuarantine = "docket_quarantine"
	TableCommits    = "docket_commits"
	TableSnapshots  = "docket_snapshots"
	TableRetention  = "docket_retention"
)

// Tables are a store in tables. Rows come in order, and one at a time, so that it
// does not matter how many somebody has put there.
type Tables interface { //nolint:interfacebloat // a method for each table and what is seen of it
	// Addr is where the store is, without who asks.
	Addr() string
	// Ranges gives each writer and the first and the last commit that it has a row of,
	// by writer.
	Ranges(ctx context.Context) iter.Seq2[[3]int64, error]
	// Commits gives all rows of commits from a number on, by number and writer, whether
	// readers see them or not.
	Commits(ctx context.Context, from uint64) iter.Seq2[CommitRow, error]
	// Events and Stubs give all rows of commits from first to last, by commit and place.
	Events(ctx context.Context, first, last uint64) iter.Seq2[EventRow, error]
	Stubs(ctx context.Context, first, last uint64) iter.Seq2[StubRow, error]
	// Held gives all messages in quarantine, by commit and place.
	Held(ctx context.Context) iter.Seq2[HeldRow, error]
	// Snapshots gives what a start would begin with, instead of reading the statements.
	Snapshots(ctx context.Context) iter.Seq2[SnapshotRow, error]
	// Kept gives how long events were to be kept, in order of time. It fails with an
	// error that is Corrupt at a row that no collector has put.
	Kept(ctx context.Context) ([]Kept, error)
	// Seen sums up what a view shows of commits from first to last, Want the rows of its
	// table that it should show.
	Views() []string
	Seen(ctx context.Context, view string, first, last uint64) (Sum, error)
	Want(ctx context.Context, view string, spans []Span) (Sum, error)
	// Altered gives the tables and views that are defined otherwise than the program
	// makes them, so that somebody may be shown what is not there, or not all of it.
	Altered(ctx context.Context) ([]Altered, error)
	Rules
}

// Rules are what follows from rows and bytes, without asking anybody.
type Rules interface {
	// Parse reads the canonical bytes of a statement, and nothing else.
	Parse(statement []byte) (*Statement, error)
	// NewFold returns what no statements amount to.
	NewFold() Fold
	// HeldRoot and StreamSeqs are what a statement says of messages and of rows.
	HeldRoot(messages []store.Quarantined) (string, error)
	StreamSeqs(n int, of func(i int) uint64) string
	// Day is that of an event time, in ms, as stubs have it.
	Day(ms int64) string
	// Expires returns the rule of a policy for events, and when such as were stored then
	// expire at the earliest; zero if never.
	Expires(p *retention.Policy, tenant string, class int32, stored time.Time) (retention.Rule, time.Time)
	// Lacks reports whether an error says that a table or a column is gone, Unreached
	// that no server answered, Corrupt that what is there is nothing that was put.
	Lacks(err error) bool
	Unreached(err error) bool
	Corrupt(err error) bool
}

// A Fold is what statements amount to, in order from the first.
type Fold interface {
	// Add adds the next statement. It changes nothing when that does not follow the last.
	Add(st *Statement, digest string) error
	Number() uint64
	Epochs() map[string]*store.Epoch
	// Snapshot returns the bytes that docket_snapshots should have of it.
	Snapshot() ([]byte, error)
}

// A Statement is what one says, as far as it is compared.
type Statement struct {
	Number, StreamSeq, Fence    uint64
	Prev                        string
	Time, Writer                int64
	Events, Quarantined         int64
	QuarantinedRoot, StreamSeqs string
	Counts                      []Count
	// Own is the statement as its store knows it, for [Fold].
	Own any
}

// A Count is about the rows of one tenant, class and day.
type Count struct {
	Tenant   string
	ClassUID int32
	Day      string
	Count    int64
	Root     string // hex
}

// A CommitRow is a row of docket_commits, as it is.
type CommitRow struct {
	Number, Writer, Time, Events, Bytes, Quarantined, Fence, StreamSeq int64

	Digest    string
	Statement []byte
}

// An EventRow is a row of docket_events, as it is: Header is what is in the cells,
// and need not be that of Raw.
type EventRow struct {
	store.Entry

	Writer int64
}

// A StubRow is a row of docket_stubs, as it is.
type StubRow struct {
	Epoch       string
	Sequence    int64
	Fingerprint string // hex
	Kind        string
	Tenant      string
	ClassUID    int32
	Day         string
	Commit      uint64
	Pos         uint32
	Writer      int64
}

// A HeldRow is a row of docket_quarantine, as it is.
type HeldRow struct {
	store.Quarantined

	Digest     string // hex
	StoredTime int64
	Commit     uint64
	Index      int32
	Writer     int64
}

// A SnapshotRow is a row of docket_snapshots, as it is.
type SnapshotRow struct {
	Number uint64
	Digest string
	State  []byte
}

// A Kept is how long events were to be kept, in a time.
type Kept struct {
	Policy retention.Policy
	// From is when it was set, Until when something else was; zero for the last one.
	From, Until time.Time
}

// Altered is a table or view that is not defined as it was made.
type Altered struct {
	Name    string
	What    string // is otherwise, in words
	Missing bool
}

// A Span is commits that are of one writer.
type Span struct {
	Writer      int64
	First, Last uint64
}

// A Sum stands for rows: how many they are, and all their cells, in any order.
type Sum struct {
	Rows int64
	Hash uint64
}
