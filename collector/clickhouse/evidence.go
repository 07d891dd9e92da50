// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/docket-audit/docket/collector/evidence"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

var _ evidence.Tables = (*judged)(nil)

// judged is a reader, with what follows from what it gives.
type judged struct {
	*Reader
	rules
}

// Evidence returns the tables as who judges them reads them.
func (r *Reader) Evidence() evidence.Tables { return &judged{Reader: r} }

// Addr is where the store is, without who asks.
func (r *Reader) Addr() string { return r.s.addr }

// rowsOf gives the rows of a query on tables, in the words that an error has.
func rowsOf[T any](ctx context.Context, s *server, what, sql string, one func(scan func(...any) error) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := s.query(ctx, sql, func(scan func(...any) error) error {
			row, err := one(scan)
			if err == nil && !yield(row, nil) {
				return errStop
			}
			return err
		})
		if err != nil && !errors.Is(err, errStop) {
			var none T
			yield(none, s.failed("read "+what+" of ClickHouse", err))
		}
	}
}

// Ranges gives each writer and the first and the last commit that it has a row of,
// by writer.
func (r *Reader) Ranges(ctx context.Context) iter.Seq2[[3]int64, error] {
	return rowsOf(ctx, r.s, "commits", "SELECT writer, min(number), max(number) FROM "+evidence.TableCommits+" GROUP BY writer ORDER BY writer",
		func(scan func(...any) error) (t [3]int64, err error) { return t, scan(&t[0], &t[1], &t[2]) })
}

// Commits gives all rows of commits from a number on, by number and writer, whether
// readers see them or not.
func (r *Reader) Commits(ctx context.Context, from uint64) iter.Seq2[evidence.CommitRow, error] {
	return rowsOf(ctx, r.s, "commits", fmt.Sprintf("SELECT number, writer, time, events, bytes, quarantined, fence, stream_seq, digest, statement FROM %s WHERE number >= %d ORDER BY number, writer", evidence.TableCommits, from),
		func(scan func(...any) error) (c evidence.CommitRow, err error) {
			return c, scan(&c.Number, &c.Writer, &c.Time, &c.Events, &c.Bytes, &c.Quarantined, &c.Fence, &c.StreamSeq, &c.Digest, &c.Statement)
		})
}

// Events gives all rows of events of commits from first to last, by commit and
// place, whoever put them.
func (r *Reader) Events(ctx context.Context, first, last uint64) iter.Seq2[evidence.EventRow, error] {
	return rowsOf(ctx, r.s, "events", fmt.Sprintf("SELECT %s, _raw, _writer FROM %s WHERE _commit BETWEEN %d AND %d ORDER BY _commit, _pos, _writer", headColumns, evidence.TableEvents, first, last),
		func(scan func(...any) error) (e evidence.EventRow, err error) {
			var raw []byte
			e.Entry, err = scanHead(func(to ...any) error { return scan(append(to, &raw, &e.Writer)...) })
			e.Raw = raw
			return e, err
		})
}

// Stubs gives all stubs of commits from first to last, by commit and place, whoever
// put them.
func (r *Reader) Stubs(ctx context.Context, first, last uint64) iter.Seq2[evidence.StubRow, error] {
	return rowsOf(ctx, r.s, "stubs", fmt.Sprintf("SELECT epoch, sequence, fingerprint, kind, tenant, class_uid, day, _commit, _pos, _writer FROM %s WHERE _commit BETWEEN %d AND %d ORDER BY _commit, _pos, _writer", evidence.TableStubs, first, last),
		func(scan func(...any) error) (s evidence.StubRow, err error) {
			var commit int64
			var pos int32
			var sum []byte
			err = scan(&s.Epoch, &s.Sequence, &sum, &s.Kind, &s.Tenant, &s.ClassUID, &s.Day, &commit, &pos, &s.Writer)
			s.Fingerprint, s.Commit, s.Pos = hex.EncodeToString(sum), uint64(commit), uint32(pos)
			return s, err
		})
}

// Held gives all messages in quarantine, by commit and place, whoever put them.
func (r *Reader) Held(ctx context.Context) iter.Seq2[evidence.HeldRow, error] {
	return rowsOf(ctx, r.s, "quarantine", "SELECT subject, headers, data, digest, reason, epoch, sequence, _stored_time, _stream_seq, _commit, _index, _writer FROM "+evidence.TableQuarantine+" ORDER BY _commit, _index, _writer",
		func(scan func(...any) error) (h evidence.HeldRow, err error) {
			var streamSeq, commit int64
			var digest []byte
			err = scan(&h.Subject, &h.Headers, &h.Data, &digest, &h.Reason, &h.Epoch, &h.Sequence, &h.StoredTime, &streamSeq, &commit, &h.Index, &h.Writer)
			h.StreamSeq, h.Commit, h.Digest = uint64(streamSeq), uint64(commit), hex.EncodeToString(digest)
			return h, err
		})
}

// Snapshots gives what a start would begin with, instead of reading the statements.
func (r *Reader) Snapshots(ctx context.Context) iter.Seq2[evidence.SnapshotRow, error] {
	return rowsOf(ctx, r.s, "snapshots", "SELECT number, digest, state FROM "+evidence.TableSnapshots+" ORDER BY number, digest",
		func(scan func(...any) error) (s evidence.SnapshotRow, err error) {
			var number int64
			err = scan(&number, &s.Digest, &s.State)
			s.Number = uint64(number)
			return s, err
		})
}

// A view is one that readers go by, of one table.
type view struct {
	name, table    string
	number, writer string // columns of the table; a view has the first
	shown, kept    string // what the one has of a row, and the other
	only           string // which rows of the table it shows; "" is all
}

// views are those that show a table as it is, all of it or by the kind of the event.
func views() []view {
	const (
		commits    = "number, writer, time, events, bytes, quarantined, fence, stream_seq, digest, statement"
		held       = "subject, headers, data, digest, reason, epoch, sequence, _stored_time, _stream_seq, _commit, _index"
		operations = "operation_uid, tenant, time, service, method, principal, source, decision, ran, status_code, %s, message, duration_ms, interceptor, binding, " +
			"plan_digest, trace_uid, metadata_uid, emitter, epoch, sequence, _commit, _pos"
		stubs = "epoch, sequence, %s, kind, tenant, class_uid, day, _commit, _pos"
	)
	events := headColumns + ", _raw"
	return []view{
		{"events", evidence.TableEvents, "_commit", "_writer", events, events, ""},
		{"operations", evidence.TableEvents, "_commit", "_writer", fmt.Sprintf(operations, "reason"), fmt.Sprintf(operations, "status_detail"), "kind = 'outcome'"},
		{"stubs", evidence.TableStubs, "_commit", "_writer", fmt.Sprintf(stubs, "fingerprint"), fmt.Sprintf(stubs, "lower(hex(fingerprint))"), ""},
		{"commits", evidence.TableCommits, "number", "writer", commits, commits, ""},
		{"quarantine", evidence.TableQuarantine, "_commit", "_writer", held, held, ""},
	}
}

// Views implements [evidence.Tables].
func (r *Reader) Views() (names []string) {
	for _, v := range views() {
		names = append(names, v.name)
	}
	return names
}

// viewOf returns the view of a name, which is one of them.
func viewOf(name string) view {
	all := views()
	return all[slices.IndexFunc(all, func(v view) bool { return v.name == name })]
}

// Seen implements [evidence.Tables].
func (r *Reader) Seen(ctx context.Context, name string, first, last uint64) (evidence.Sum, error) {
	v := viewOf(name)
	return r.s.sum(ctx, v.shown, v.name, fmt.Sprintf("%s BETWEEN %d AND %d", v.number, first, last))
}

// Want implements [evidence.Tables].
func (r *Reader) Want(ctx context.Context, name string, spans []evidence.Span) (evidence.Sum, error) {
	v := viewOf(name)
	terms := make([]string, len(spans))
	for i, s := range spans {
		terms[i] = fmt.Sprintf("(%s BETWEEN %d AND %d AND %s = %d)", v.number, s.First, s.Last, v.writer, s.Writer)
	}
	where := strings.Join(terms, " OR ")
	if v.only != "" {
		where = v.only + " AND (" + where + ")"
	}
	return r.s.sum(ctx, v.kept, v.table, where)
}

func (s *server) sum(ctx context.Context, columns, from, where string) (out evidence.Sum, err error) {
	err = s.query(ctx, fmt.Sprintf("SELECT toInt64(count()), sum(cityHash64(%s)) FROM %s WHERE %s", columns, from, where),
		func(scan func(...any) error) error { return scan(&out.Rows, &out.Hash) })
	return out, s.failed("read views of ClickHouse", err)
}

type fold struct{ last state }

func (f *fold) Add(of *evidence.Statement, digest string) error {
	st := of.Own.(*Statement) //nolint:forcetypeassert // of Parse
	epochs := f.last.Epochs
	f.last.Epochs = nil // not to be copied for each
	next, err := f.last.after(st, digest)
	f.last.Epochs = epochs
	if err != nil {
		return err
	}
	if epochs == nil {
		epochs = make(map[string]epoch)
	}
	for uid, p := range st.Epochs {
		epochs[uid] = epochs[uid].after(p)
	}
	next.Epochs = epochs
	f.last = *next
	return nil
}

func (f *fold) Number() uint64 { return f.last.Number }

func (f *fold) Epochs() map[string]*store.Epoch {
	all := make(map[string]*store.Epoch, len(f.last.Epochs))
	for uid, e := range f.last.Epochs {
		all[uid] = e.public()
	}
	return all
}

func (f *fold) Snapshot() ([]byte, error) { return canonical(&f.last) }

// streamSeqs returns what a statement says of the stream sequences of n rows in the
// order of _pos: the hex SHA-256 over them, 8 bytes each, big-endian; "" without rows.
func streamSeqs(n int, of func(i int) uint64) string {
	if n == 0 {
		return ""
	}
	h := sha256.New()
	var b [8]byte
	for i := range n {
		binary.BigEndian.PutUint64(b[:], of(i))
		h.Write(b[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// rules implement [evidence.Rules].
type rules struct{}

// Parse implements [evidence.Rules].
func (rules) Parse(raw []byte) (*evidence.Statement, error) {
	st, err := ParseStatement(raw)
	if err != nil {
		return nil, err
	}
	out := &evidence.Statement{
		Number: st.Number, StreamSeq: st.StreamSeq, Fence: st.Fence, Prev: st.Prev, Time: st.Time, Writer: st.Writer,
		Events: st.Events(), Quarantined: st.Quarantined, QuarantinedRoot: st.QuarantinedRoot, StreamSeqs: st.StreamSeqs, Own: st,
	}
	for _, c := range st.Counts {
		out.Counts = append(out.Counts, evidence.Count(c))
	}
	return out, nil
}

// NewFold implements [evidence.Rules].
func (rules) NewFold() evidence.Fold { return new(fold) }

// HeldRoot implements [evidence.Rules].
func (rules) HeldRoot(messages []store.Quarantined) (string, error) { return heldRoot(messages) }

// StreamSeqs implements [evidence.Rules].
func (rules) StreamSeqs(n int, of func(i int) uint64) string { return streamSeqs(n, of) }

// Day implements [evidence.Rules].
func (rules) Day(ms int64) string { return Day(ms) }

// Expires implements [evidence.Rules]. It is what the TTL of that policy does.
func (rules) Expires(p *retention.Policy, tenant string, class int32, stored time.Time) (retention.Rule, time.Time) {
	return expires(p, tenant, class, stored)
}

// Corrupt implements [evidence.Rules].
func (rules) Corrupt(err error) bool { return errors.Is(err, ErrCorrupt) }

// Lacks implements [evidence.Rules].
func (rules) Lacks(err error) bool {
	refused := new(clickhouse.Exception)
	return errors.As(err, &refused) && slices.Contains([]int32{10, 16, 47, 60}, refused.Code)
}

// Unreached implements [evidence.Rules].
func (rules) Unreached(err error) bool {
	refused := new(clickhouse.Exception)
	return !errors.As(err, &refused)
}

// Last returns the number of the last commit, 0 when there is none, and how many
// events and messages all commits have added, by the word of docket_commits.
func (r *Reader) Last(ctx context.Context) (number uint64, rows int64, err error) {
	h, err := r.s.head(ctx)
	if err == nil {
		err = r.s.query(ctx, "SELECT sum(events) + sum(quarantined) FROM "+evidence.TableCommits, func(scan func(...any) error) error { return scan(&rows) })
	}
	return h.number, rows, r.s.failed("read commits of ClickHouse", err)
}

// Last returns the number of the last commit and the digest of its statement.
func (s *Store) Last() (number uint64, digest string) {
	last := s.last()
	return last.Number, last.Statement
}

// Addr is what a DSN names, without who asks: hosts and database.
func Addr(dsn string) (string, error) {
	s, err := connect(dsn, "")
	if err != nil {
		return "", err
	}
	return s.addr, s.close()
}
