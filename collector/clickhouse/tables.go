// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"iter"

	"github.com/docket-audit/docket/collector/store"
)

// A place is where rows belong: the number of a commit, and the generation of the
// writer that means to make it.
type place struct {
	number uint64
	writer int64
}

// A head is how far the store has come: by the writers that were, and by commits.
type head struct {
	generation int64  // the highest
	uid        string // whose it is
	number     uint64
	digest     string // of the last statement
	now        int64  // of the server's clock, in ms; 0 when that was not asked for
}

// A record is a row of docket_prepared, and of docket_commits.
type record struct {
	place

	digest    string
	statement []byte
}

// A pile is how many rows one writer has put for one number.
type pile struct {
	writer int64
	rows   int64
}

// An identity is what there should be one event of.
type identity struct {
	epoch    string
	sequence int64
}

// tables is what the protocol of commits needs of a server. The rows of one call of
// a put are there as a whole or not at all, whatever the call returns, and may
// come to be there after it has failed. A token names a put: of two with the same
// token, into the same table and for the same number, the second does nothing and
// says so to nobody.
//
// server is the real one; a test has one that fails in every way that this allows.
type tables interface { //nolint:interfacebloat // what is asked of a server, in one place
	// head reads the highest generation, and the last commit.
	head(ctx context.Context) (head, error)
	// putGeneration adds generation after to the writers if after is the highest;
	// generation returns whose one is, "" if it is nobody's.
	putGeneration(ctx context.Context, after int64, uid, token string) error
	generation(ctx context.Context, generation int64) (uid string, err error)

	putHeld(ctx context.Context, at place, ms int64, messages []store.Quarantined) error
	putStubs(ctx context.Context, at place, entries []store.Entry) error
	putPrepared(ctx context.Context, at place, st *Statement, raw []byte, bytes int64) error
	putEvents(ctx context.Context, at place, token string, entries []store.Entry) error
	// forget makes the server forget the tokens of events.
	forget(ctx context.Context) error
	// putCommit copies a prepared statement into the commits if the number before
	// it is the last one, and so many rows of its writer are there; of a commit
	// without events, none of anybody.
	putCommit(ctx context.Context, at place, token string, rows int64) error

	// views tells how many materialised views of events there are whose tables
	// remember tokens as the table of events does, and how many with others.
	views(ctx context.Context) (remember, forget int, err error)

	// piles tells who has rows of events for a number, by generation.
	piles(ctx context.Context, number uint64) ([]pile, error)
	// entries returns the rows of events of a place, in order.
	entries(ctx context.Context, at place) ([]store.Entry, error)
	// prepared returns the statement of a place; nil when there is none.
	prepared(ctx context.Context, at place) (*record, error)

	// commits returns what readers see of commits from a number on, in order.
	commits(ctx context.Context, from uint64) iter.Seq2[record, error]
	// snapshot returns the highest snapshot; nil when there is none.
	snapshot(ctx context.Context) (*state, error)
	putSnapshot(ctx context.Context, number uint64, digest string, raw []byte) error

	// fingerprints adds to known those of the stored events of asked.
	fingerprints(ctx context.Context, asked map[string]store.Intervals, known map[identity][]string) error
	// held returns those messages in quarantine that have the place on the stream
	// and the data of one of these, or the ID that one of them names.
	held(ctx context.Context, of []store.Quarantined) ([]store.Held, error)
	// sweep removes rows for numbers from..to that are of no commit, and returns
	// of how many places.
	sweep(ctx context.Context, from, to uint64) (int, error)
}
