// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/docket-audit/docket/collector/store"
)

// What one query of a scan may give, about; and what the first one of a scan looks
// at, as many who ask want a page.
const (
	firstRows   = 256
	windowRows  = 16 << 10
	windowBytes = 32 << 20
)

// widen is by how much more a query looks at, when the one before found next to
// nothing in what it looked at.
const widen = 8

// everything is a number that no commit comes to.
const everything = 1 << 62

// A scan gives what a query selects, in pieces: commits follow each other, and those
// of a piece are so many as their statements say are not too much. So neither the
// server nor this process sorts or holds more than a piece, and nothing stays open
// between two.
type scan struct {
	s     *server
	query store.Query
	where []string // conditions that are the same for all pieces
	last  int64    // commit of the snapshot that is read, or more until it is pinned

	pinned bool // no later commit can become the last
	more   bool // the last piece was full

	at    store.Cursor // behind which to go on; zero: at the beginning
	ahead []weight     // commits that come next
	ended bool         // there are none behind those
	rows  int64        // what the next piece looks at
}

// A weight is how much a commit has.
type weight struct{ number, rows, bytes int64 }

func (s *server) scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		sc := &scan{s: s, query: q, at: q.After}
		if err := sc.run(ctx, yield); err != nil && !errors.Is(err, errStop) {
			yield(store.Entry{}, s.failed("read ClickHouse", err))
		}
	}
}

func (sc *scan) run(ctx context.Context, yield func(store.Entry, error) bool) error {
	var possible bool
	if sc.where, possible = conditions(sc.query); !possible {
		return ctx.Err()
	}
	if sc.last = everything; sc.query.AsOf != 0 {
		sc.last = int64(min(sc.query.AsOf, everything))
	}
	if sc.finds() {
		// An index tells where to look: mostly this is one query, which sees what it
		// sees at once.
		sc.rows = everything
	} else {
		sc.rows = firstRows
		if err := sc.pin(ctx); err != nil {
			return err
		}
	}
	for given := 0; ; {
		most := windowRows
		if sc.query.Limit > 0 {
			most = min(most, sc.query.Limit-given)
		}
		piece, err := sc.next(ctx, most)
		if err != nil || piece == nil {
			return err
		}
		for i := range piece {
			if !yield(piece[i], nil) {
				return errStop
			}
			piece[i] = store.Entry{} // it is the caller's now
		}
		if given += len(piece); given == sc.query.Limit && given > 0 {
			return nil
		}
	}
}

// pin makes what is committed now the last that the scan gives.
func (sc *scan) pin(ctx context.Context) error {
	h, err := headBy(ctx, sc.s.lookUp)
	sc.last, sc.pinned = min(sc.last, int64(h.number)), true
	return err
}

// next returns the next piece, which may be empty but not nil; nil at the end.
func (sc *scan) next(ctx context.Context, most int) ([]store.Entry, error) {
	first, last, looked, err := sc.window(ctx)
	if err != nil || looked == 0 {
		return nil, err
	}
	piece, err := sc.read(ctx, first, last, most)
	if err != nil {
		return nil, err
	}
	if len(piece) == most {
		// There may be more of these commits.
		sc.at = store.Cursor{Commit: piece[most-1].Commit, Pos: piece[most-1].Pos}
		sc.ahead, sc.ended, sc.more = nil, false, true
		return piece, nil
	}
	sc.at = edge(last, sc.query.Descending)
	if sc.rows < 1<<50 && int64(len(piece)) < looked/widen {
		sc.rows *= widen
	} else if sc.rows < windowRows {
		sc.rows *= 4
	}
	return piece, nil
}

// edge is the place behind all of a commit.
func edge(commit int64, descending bool) store.Cursor {
	if descending {
		return store.Cursor{Commit: uint64(commit)}
	}
	return store.Cursor{Commit: uint64(commit), Pos: ^uint32(0)}
}

// window returns the first and the last commit of the next piece, in the order of
// the scan, and how many rows they have; 0 at the end.
func (sc *scan) window(ctx context.Context) (first, last, rows int64, err error) {
	if sc.rows > 1<<60 {
		if sc.more && !sc.pinned {
			if err := sc.pin(ctx); err != nil {
				return 0, 0, 0, err
			}
		}
		first, last = sc.bounds()
		if first > last {
			return 0, 0, 0, nil
		}
		if sc.query.Descending {
			first, last = last, first
		}
		return first, last, 1 << 60, nil
	}
	factor := max(1, sc.rows/windowRows)
	var bytes int64
	for rows == 0 || rows < sc.rows && bytes < windowBytes*factor {
		if len(sc.ahead) == 0 {
			if sc.ended {
				break
			}
			if err := sc.look(ctx, last); err != nil {
				return 0, 0, 0, err
			}
			continue
		}
		w := sc.ahead[0]
		if rows > 0 && (rows+w.rows > max(sc.rows, windowRows) || bytes+w.bytes > windowBytes*factor) {
			break
		}
		sc.ahead = sc.ahead[1:]
		if rows == 0 {
			first = w.number
		}
		last, rows, bytes = w.number, rows+w.rows, bytes+w.bytes
	}
	return first, last, rows, nil
}

// bounds are the lowest and the highest commit that may have what comes next.
func (sc *scan) bounds() (low, high int64) {
	low, high = 1, sc.last
	if sc.at != (store.Cursor{}) {
		if sc.query.Descending {
			high = min(high, int64(min(sc.at.Commit, everything)))
			if sc.at.Pos == 0 {
				high = min(high, int64(min(sc.at.Commit, everything))-1)
			}
		} else {
			low = int64(min(sc.at.Commit, everything))
			if sc.at.Pos == ^uint32(0) {
				low++
			}
		}
	}
	return low, high
}

// look reads how much the next commits have, behind those of the window so far.
func (sc *scan) look(ctx context.Context, taken int64) error {
	const most = 4096
	low, high := sc.bounds()
	order := "number"
	if sc.query.Descending {
		order = "number DESC"
	}
	if taken > 0 {
		if sc.query.Descending {
			high = min(high, taken-1)
		} else {
			low = max(low, taken+1)
		}
	}
	n := 0
	err := sc.s.lookUp(ctx, fmt.Sprintf("%sSELECT number, events, bytes FROM docket_commits WHERE number BETWEEN %d AND %d AND events > 0 AND %s ORDER BY %s LIMIT %d",
		ranges, low, high, visible("number", "writer"), order, most), func(scan func(...any) error) error {
		var w weight
		n++
		err := scan(&w.number, &w.rows, &w.bytes)
		sc.ahead = append(sc.ahead, w)
		return err
	})
	sc.ended = n < most
	return err
}

// read returns what is selected of some commits.
func (sc *scan) read(ctx context.Context, first, last int64, most int) ([]store.Entry, error) {
	order := "_commit, _pos"
	where := sc.where
	if low, high := min(first, last), max(first, last); low > 1 || high < everything {
		where = append([]string{fmt.Sprintf("_commit BETWEEN %d AND %d", low, high)}, where...)
	}
	if sc.query.Descending {
		order = "_commit DESC, _pos DESC"
	}
	if sc.at != (store.Cursor{}) {
		than := ">"
		if sc.query.Descending {
			than = "<"
		}
		where = append([]string{fmt.Sprintf("(_commit, _pos) %s (%d, %d)", than, sc.at.Commit, sc.at.Pos)}, where...)
	}
	if sc.finds() {
		if piece, err := sc.find(ctx, where, order, most); err != nil || piece != nil {
			return piece, err
		}
	}
	where = append([]string{visible("_commit", "_writer")}, where...)
	piece := []store.Entry{}
	columns, one := sc.columns()
	err := sc.s.query(ctx, fmt.Sprintf("%sSELECT %s FROM docket_events WHERE %s ORDER BY %s LIMIT %d",
		ranges, columns, strings.Join(where, " AND "), order, most), func(scan func(...any) error) error {
		e, err := one(scan)
		piece = append(piece, e)
		return err
	})
	return piece, err
}

// columns are what is asked for of a row, and what makes an entry of them.
func (sc *scan) columns() (string, func(scan func(...any) error) (store.Entry, error)) {
	if sc.query.WithoutRaw {
		return headColumns, scanHead
	}
	return rawColumns, scanRaw
}

// finds reports whether the scan is for rows that an index finds.
func (sc *scan) finds() bool {
	return sc.query.Event != "" || sc.query.Operation != "" || sc.query.Trace != ""
}

// find reads rows of which the server is not asked whether they are of commits: that would
// take it as long as to find them. Each must be so by what was known before it was asked:
// then these are all that there are, as a commit that was made before has its rows there.
// If one is not, what is known is read anew, and the rows once more; and if that does not
// help, find returns nil, for the server to say which they are.
func (sc *scan) find(ctx context.Context, where []string, order string, most int) ([]store.Entry, error) {
	columns, one := sc.columns()
	sql := fmt.Sprintf("SELECT %s, _writer FROM docket_events WHERE %s ORDER BY %s LIMIT %d", columns, strings.Join(where, " AND "), order, most)
	known := sc.s.memory.get()
	for again := range 2 {
		if again > 0 {
			var err error
			if known, _, err = sc.s.learn(ctx); err != nil {
				return nil, err
			}
		}
		piece, all := []store.Entry{}, true
		err := sc.s.lookUp(ctx, sql, func(scan func(...any) error) error {
			var writer int64
			e, err := one(func(to ...any) error { return scan(append(to, &writer)...) })
			if all = all && known.have(int64(e.Commit), writer); all {
				piece = append(piece, e)
			}
			return err
		})
		if err != nil || all {
			return piece, err
		}
	}
	return nil, nil
}

// conditions returns what a query asks of single rows; not possible when none can
// have it.
func conditions(q store.Query) (where []string, possible bool) {
	equal := func(column, want string) {
		if want != "" {
			where = append(where, column+" = "+text(want))
		}
	}
	equal("metadata_uid", q.Event)
	equal("operation_uid", q.Operation)
	equal("trace_uid", q.Trace)
	equal("epoch", q.Epoch)
	equal("tenant", q.Tenant)
	for _, column := range slices.Sorted(maps.Keys(q.Texts)) {
		if len(q.Texts[column]) == 0 || !store.IsText(column) {
			return nil, false
		}
		where = append(where, column+" IN ("+texts(q.Texts[column])+")")
	}
	if len(q.Kinds) > 0 {
		where = append(where, "kind IN ("+texts(q.Kinds)+")")
	}
	if q.Since != 0 {
		where = append(where, fmt.Sprintf("time >= %d", q.Since))
	}
	if q.Until != 0 {
		where = append(where, fmt.Sprintf("time < %d", q.Until))
	}
	return where, true
}

// headColumns are what an entry without its bytes is made of.
var headColumns = strings.Join(headerNames, ", ") + ", _stored_time, _stream_seq, _commit, _pos"

func scanHead(scan func(...any) error) (e store.Entry, err error) {
	var stored, streamSeq, commit int64
	var pos int32
	v := reflect.ValueOf(&e.Header).Elem()
	to := make([]any, 0, len(headerFields)+4)
	for _, f := range headerFields {
		to = append(to, v.FieldByIndex(f.Index).Addr().Interface())
	}
	if err := scan(append(to, &stored, &streamSeq, &commit, &pos)...); err != nil {
		return e, err
	}
	e.StoredTime, e.StreamSeq, e.Commit, e.Pos = timeOf(stored), uint64(streamSeq), uint64(commit), uint32(pos)
	return e, nil
}
