// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// errStop ends a query whose reader wants no more.
var errStop = errors.New("stop")

func (s *server) head(ctx context.Context) (h head, err error) { return headBy(ctx, s.query) }

func headBy(ctx context.Context, ask func(ctx context.Context, sql string, each func(scan func(to ...any) error) error) error) (h head, err error) {
	var number int64
	err = ask(ctx, "SELECT (SELECT max(generation) FROM docket_writers),"+
		" ifNull((SELECT uid FROM docket_writers ORDER BY generation DESC LIMIT 1), ''),"+
		" ifNull((SELECT number FROM docket_commits ORDER BY number DESC LIMIT 1), 0),"+
		" ifNull((SELECT digest FROM docket_commits ORDER BY number DESC LIMIT 1), ''),"+
		" toUnixTimestamp64Milli(now64(3))",
		func(scan func(...any) error) error {
			return scan(&h.generation, &h.uid, &number, &h.digest, &h.now)
		})
	h.number = uint64(number)
	return h, err
}

func (s *server) generation(ctx context.Context, generation int64) (uid string, err error) {
	err = s.query(ctx, fmt.Sprintf("SELECT uid FROM docket_writers WHERE generation = %d", generation), func(scan func(...any) error) error {
		return scan(&uid)
	})
	return uid, err
}

func (s *server) piles(ctx context.Context, number uint64) (piles []pile, err error) {
	err = s.query(ctx, fmt.Sprintf("SELECT _writer, toInt64(count()) FROM docket_events WHERE _commit = %d GROUP BY _writer ORDER BY _writer", number),
		func(scan func(...any) error) error {
			var p pile
			defer func() { piles = append(piles, p) }()
			return scan(&p.writer, &p.rows)
		})
	return piles, err
}

func (s *server) entries(ctx context.Context, at place) (entries []store.Entry, err error) {
	err = s.query(ctx, fmt.Sprintf("SELECT %s FROM docket_events WHERE _commit = %d AND _writer = %d ORDER BY _pos", rawColumns, at.number, at.writer),
		func(scan func(...any) error) error {
			e, err := scanRaw(scan)
			entries = append(entries, e)
			return err
		})
	return entries, err
}

func (s *server) prepared(ctx context.Context, at place) (out *record, err error) {
	err = s.query(ctx, fmt.Sprintf("SELECT number, writer, digest, statement FROM docket_prepared WHERE number = %d AND writer = %d", at.number, at.writer),
		func(scan func(...any) error) error {
			r, err := scanRecord(scan)
			out = &r
			return err
		})
	return out, err
}

func scanRecord(scan func(...any) error) (r record, err error) {
	var number int64
	err = scan(&number, &r.writer, &r.digest, &r.statement)
	r.number = uint64(number)
	return r, err
}

// pageRows is how many statements are read at a time: whoever reads them may take
// long over each, and no query stays open for that.
const pageRows = 500

func (s *server) commits(ctx context.Context, from uint64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		var last record
		for {
			var page []record
			err := s.query(ctx, fmt.Sprintf("%sSELECT number, writer, digest, statement FROM docket_commits WHERE number >= %d AND %s ORDER BY number LIMIT %d",
				ranges, from, visible("number", "writer"), s.page), func(scan func(...any) error) error {
				r, err := scanRecord(scan)
				page = append(page, r)
				return err
			})
			if err != nil {
				yield(record{}, err)
				return
			}
			for _, r := range page {
				switch {
				case r.number == last.number && r.digest == last.digest:
					continue // the same once more, from before the server's memory of tokens
				case r.number == last.number:
					yield(record{}, fmt.Errorf("%w: there are two commits %d", ErrCorrupt, r.number))
					return
				case !yield(r, nil):
					return
				}
				last = r
			}
			if len(page) < s.page {
				return
			}
			from = last.number + 1
		}
	}
}

func (s *server) snapshot(ctx context.Context) (out *state, err error) {
	err = s.query(ctx, "SELECT number, digest, state FROM docket_snapshots"+
		" WHERE (number, digest) IN (SELECT number, digest FROM docket_commits WHERE number IN (SELECT number FROM docket_snapshots))"+
		" ORDER BY number DESC LIMIT 1", func(scan func(...any) error) error {
		var number int64
		var digest string
		var raw []byte
		if err := scan(&number, &digest, &raw); err != nil {
			return err
		}
		st, err := parseState(raw)
		if err != nil {
			return err
		}
		if st.Number != uint64(number) || st.Statement != digest {
			return fmt.Errorf("%w: the snapshot at commit %d is of another", ErrCorrupt, number)
		}
		out = st
		return nil
	})
	return out, err
}

// mostTerms is how many terms a condition gets: a server bounds the length of
// queries.
const mostTerms = 500

func (s *server) fingerprints(ctx context.Context, asked map[string]store.Intervals, known map[identity][]string) error {
	var terms []string
	ask := func() error {
		if len(terms) == 0 {
			return nil
		}
		err := s.query(ctx, ranges+"SELECT epoch, sequence, fingerprint FROM docket_stubs WHERE ("+strings.Join(terms, " OR ")+") AND "+visible("_commit", "_writer")+
			" ORDER BY _commit, _pos", func(scan func(...any) error) error {
			var id identity
			var sum []byte
			if err := scan(&id.epoch, &id.sequence, &sum); err != nil {
				return err
			}
			known[id] = append(known[id], hex.EncodeToString(sum))
			return nil
		})
		terms = terms[:0]
		return err
	}
	for _, epoch := range slices.Sorted(maps.Keys(asked)) {
		for _, iv := range asked[epoch] {
			terms = append(terms, fmt.Sprintf("epoch = %s AND sequence BETWEEN %d AND %d", text(epoch), iv.First, iv.Last))
			if len(terms) == mostTerms {
				if err := ask(); err != nil {
					return err
				}
			}
		}
	}
	return ask()
}

// rawColumns are what an entry is made of whose header follows from its bytes.
const rawColumns = "_raw, _stored_time, _stream_seq, _commit, _pos"

func scanRaw(scan func(...any) error) (e store.Entry, err error) {
	var stored, streamSeq, commit int64
	var pos int32
	if err := scan(&e.Raw, &stored, &streamSeq, &commit, &pos); err != nil {
		return e, err
	}
	e.StoredTime, e.StreamSeq, e.Commit, e.Pos = timeOf(stored), uint64(streamSeq), uint64(commit), uint32(pos)
	if e.Header, err = profile.Parse(e.Raw); err != nil {
		return e, fmt.Errorf("%w: row %d of commit %d: %w", ErrCorrupt, pos, commit, err)
	}
	return e, nil
}

const heldColumns = "subject, headers, data, reason, epoch, sequence, _stored_time, _stream_seq, _commit, _index"

func scanHeld(scan func(...any) error) (h store.Held, err error) {
	var stored, streamSeq, commit int64
	var index int32
	if err := scan(&h.Subject, &h.Headers, &h.Data, &h.Reason, &h.Epoch, &h.Sequence, &stored, &streamSeq, &commit, &index); err != nil {
		return h, err
	}
	h.StoredTime, h.StreamSeq = timeOf(stored), uint64(streamSeq)
	h.ID = strconv.FormatInt(commit, 10) + "." + strconv.FormatInt(int64(index), 10)
	return h, nil
}

func (s *server) held(ctx context.Context, of []store.Quarantined) (held []store.Held, err error) {
	for part := range slices.Chunk(of, mostTerms) {
		var terms []string
		for i := range part {
			q := &part[i]
			terms = append(terms, fmt.Sprintf("(_stream_seq = %d AND digest = %s)", q.StreamSeq, text(digestOf(q.Data))))
			if ids := q.Headers[store.HeaderRequeued]; len(ids) == 1 {
				commit, index, ok := strings.Cut(ids[0], ".")
				c, err1 := strconv.ParseInt(commit, 10, 64)
				n, err2 := strconv.ParseInt(index, 10, 32)
				if ok && err1 == nil && err2 == nil {
					terms = append(terms, fmt.Sprintf("(_commit = %d AND _index = %d)", c, n))
				}
			}
		}
		err = s.query(ctx, ranges+"SELECT "+heldColumns+" FROM docket_quarantine WHERE ("+strings.Join(terms, " OR ")+") AND "+visible("_commit", "_writer"),
			func(scan func(...any) error) error {
				h, err := scanHeld(scan)
				held = append(held, h)
				return err
			})
		if err != nil {
			return nil, err
		}
	}
	return held, nil
}

// heldRows is how many messages are read at a time.
const heldRows = 32

// quarantined gives what is in quarantine, in the order in which it came.
func (s *server) quarantined(ctx context.Context) iter.Seq2[store.Held, error] {
	return func(yield func(store.Held, error) bool) {
		commit, index := "0", "0"
		for {
			var page []store.Held
			err := s.query(ctx, fmt.Sprintf("%sSELECT %s FROM docket_quarantine WHERE (_commit, _index) > (%s, %s) AND %s ORDER BY _commit, _index LIMIT %d",
				ranges, heldColumns, commit, index, visible("_commit", "_writer"), heldRows), func(scan func(...any) error) error {
				h, err := scanHeld(scan)
				page = append(page, h)
				return err
			})
			if err != nil {
				yield(store.Held{}, s.failed("read quarantine of ClickHouse", err))
				return
			}
			for _, h := range page {
				if !yield(h, nil) {
					return
				}
			}
			if len(page) < heldRows {
				return
			}
			commit, index, _ = strings.Cut(page[heldRows-1].ID, ".")
		}
	}
}

func (s *server) sweep(ctx context.Context, from, to uint64) (int, error) {
	removed := make(map[place]bool)
	for _, t := range []struct{ table, number, writer string }{
		{"docket_events", "_commit", "_writer"},
		{"docket_stubs", "_commit", "_writer"},
		{"docket_quarantine", "_commit", "_writer"},
		{"docket_prepared", "number", "writer"},
	} {
		var pairs []string
		err := s.query(ctx, fmt.Sprintf("%sSELECT DISTINCT %s, %s FROM %s WHERE %s BETWEEN %d AND %d AND NOT (%s)",
			ranges, t.number, t.writer, t.table, t.number, from, to, visible(t.number, t.writer)), func(scan func(...any) error) error {
			var number, writer int64
			err := scan(&number, &writer)
			removed[place{uint64(number), writer}] = true
			pairs = append(pairs, fmt.Sprintf("(%d, %d)", number, writer))
			return err
		})
		if err != nil || len(pairs) == 0 {
			if err != nil {
				return 0, err
			}
			continue
		}
		err = s.exec(ctx, map[string]any{"mutations_sync": 1}, fmt.Sprintf("ALTER TABLE %s DELETE WHERE (%s, %s) IN (%s)",
			s.altered(t.table), t.number, t.writer, strings.Join(pairs, ", ")))
		if err != nil {
			return 0, err
		}
	}
	return len(removed), nil
}
