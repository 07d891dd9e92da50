// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/regular"
)

// A Stub stands for a row that left the lake: enough to know that it was there,
// where, and what its bytes hash to. It has nothing of what the event said.
type Stub struct {
	Epoch       string
	Sequence    int64
	Kind        string
	ClassUID    int32
	Tenant      string
	Time        int64 // of the event, ms
	Fingerprint string
	Commit      uint64
	Pos         uint32
	// UID is that of an event of another producer, "" for ours: who ingests a file
	// again knows by it what left.
	UID string
}

// A StubFile is a file of stubs, sorted by (commit, pos). The rows that it
// stands for left by one statement, and by one rule.
type StubFile struct {
	Path        string `json:"path"`
	SHA256      string `json:"sha256"`
	Bytes       int64  `json:"bytes"`
	Count       int64  `json:"count"`
	FirstCommit uint64 `json:"first_commit"` // of the rows
	LastCommit  uint64 `json:"last_commit"`
	Reason      string `json:"reason"` // [ReasonRetention] or [ReasonErasure]
	// Rule is the rule of retention by which the rows left, as its text; "" for
	// an erasure.
	Rule string `json:"rule,omitempty"`
	// Epochs is the lowest and the highest sequence of each epoch in the file.
	Epochs map[string]store.Interval `json:"epochs"`
}

// stubColumns are those of a stub file, in their order. They have the names and
// types that they have in segments.
var stubColumns = []string{"epoch", "sequence", "kind", "class_uid", "tenant", "time", "fingerprint", ColumnCommit, ColumnPos, "metadata_uid"}

var stubSchema = func() *arrow.Schema {
	fields := make([]arrow.Field, len(stubColumns))
	for i, name := range stubColumns {
		fields[i] = schema.Field(columnIndex[name])
	}
	return arrow.NewSchema(fields, nil)
}()

// checkStubs says what is wrong with the stubs of a statement, as far as itself
// tells.
func checkStubs(s *Statement) error {
	for i := range s.Removed {
		if r := s.Removed[i].Reason; r != s.Removed[0].Reason {
			return fmt.Errorf("it removes files for %s and for %s", s.Removed[0].Reason, r)
		}
	}
	for i := range s.Stubs {
		f := &s.Stubs[i]
		switch {
		case len(s.Removed) == 0 || s.Removed[0].Reason == ReasonCompaction:
			return fmt.Errorf("it has stubs, and no rows leave by it: %s", f.Path)
		case f.Reason != s.Removed[0].Reason:
			return fmt.Errorf("it removes files for %s, and %s is for %.40q", s.Removed[0].Reason, f.Path, f.Reason)
		case path.Dir(f.Path) != StubsDir:
			return fmt.Errorf("its stubs lie in another place: %s", f.Path)
		case f.Count < 1 || f.FirstCommit < 1 || f.FirstCommit > f.LastCommit || f.LastCommit >= s.Number:
			return fmt.Errorf("%s is of %d rows of commits %d to %d", f.Path, f.Count, f.FirstCommit, f.LastCommit)
		}
	}
	return nil
}

// withStubs returns stubs and added, in order. The list is a new one if it is
// another: readers still hold the old one.
func withStubs(stubs, added []StubFile) []StubFile {
	if len(added) == 0 {
		return stubs
	}
	stubs = slices.Concat(stubs, added)
	slices.SortFunc(stubs, func(a, b StubFile) int {
		return cmp.Or(cmp.Compare(a.FirstCommit, b.FirstCommit), cmp.Compare(a.Path, b.Path))
	})
	return stubs
}

// encodeStubs returns a file of stubs and what a statement says of it; the path,
// the reason and the rule are the caller's to set. It sorts the stubs.
func encodeStubs(stubs []Stub) (b []byte, f StubFile, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("write stubs: %v", r)
		}
	}()
	slices.SortFunc(stubs, func(a, b Stub) int { return cmp.Or(cmp.Compare(a.Commit, b.Commit), cmp.Compare(a.Pos, b.Pos)) })
	var buf bytes.Buffer
	pw, err := pqarrow.NewFileWriter(stubSchema, &buf, writerProperties, pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, f, fmt.Errorf("write stubs: %w", err)
	}
	builder := array.NewRecordBuilder(memory.DefaultAllocator, stubSchema)
	defer builder.Release()
	for i := range stubs {
		appendStub(builder, &stubs[i])
		if (i+1)%recordRows != 0 && i+1 < len(stubs) {
			continue
		}
		rec := builder.NewRecord()
		err := pw.WriteBuffered(rec)
		rec.Release()
		if err != nil {
			return nil, f, fmt.Errorf("write stubs: %w", err)
		}
	}
	if err := pw.Close(); err != nil {
		return nil, f, fmt.Errorf("write stubs: %w", err)
	}
	sum := sha256.Sum256(buf.Bytes())
	f = StubFile{
		SHA256: hex.EncodeToString(sum[:]), Bytes: int64(buf.Len()), Count: int64(len(stubs)),
		FirstCommit: stubs[0].Commit, LastCommit: stubs[len(stubs)-1].Commit, Epochs: EpochsOf(stubs),
	}
	return buf.Bytes(), f, nil
}

// EpochsOf returns what a [StubFile] must say of the epochs of its stubs.
func EpochsOf(stubs []Stub) map[string]store.Interval {
	epochs := make(map[string]store.Interval)
	for i := range stubs {
		n := stubs[i].Sequence
		iv, ok := epochs[stubs[i].Epoch]
		if !ok {
			iv = store.Interval{First: n, Last: n}
		}
		epochs[stubs[i].Epoch] = store.Interval{First: min(iv.First, n), Last: max(iv.Last, n)}
	}
	return epochs
}

func appendStub(b *array.RecordBuilder, s *Stub) {
	text := func(i int, v string) { b.Field(i).(*array.StringBuilder).Append(v) }
	small := func(i int, v int32) { b.Field(i).(*array.Int32Builder).Append(v) }
	large := func(i int, v int64) { b.Field(i).(*array.Int64Builder).Append(v) }
	text(0, s.Epoch)
	large(1, s.Sequence)
	text(2, s.Kind)
	small(3, s.ClassUID)
	text(4, s.Tenant)
	large(5, s.Time)
	text(6, s.Fingerprint)
	large(7, int64(s.Commit))
	small(8, int32(s.Pos))
	text(9, s.UID)
}

// stubsIn makes stubs of what is in the columns of stubColumns. The texts are
// the arrays', whose memory is reused.
func stubsIn(c []arrow.Array) iter.Seq[Stub] {
	return func(yield func(Stub) bool) {
		text := func(c arrow.Array, i int) string { return c.(*array.String).Value(i) }
		large := func(c arrow.Array, i int) int64 { return c.(*array.Int64).Value(i) }
		for i := range c[0].Len() {
			uid := ""
			if text(c[2], i) == profile.KindForeign {
				uid = text(c[9], i)
			}
			if !yield(Stub{
				Epoch: text(c[0], i), Sequence: large(c[1], i), Kind: text(c[2], i), ClassUID: c[3].(*array.Int32).Value(i),
				Tenant: text(c[4], i), Time: large(c[5], i), Fingerprint: text(c[6], i),
				Commit: uint64(large(c[7], i)), Pos: uint32(c[8].(*array.Int32).Value(i)), UID: uid,
			}) {
				return
			}
		}
	}
}

// own returns s with texts that are its own; those that repeat are kept once, in
// known.
func (s Stub) own(known map[string]string) Stub {
	intern := func(v string) string {
		if k, ok := known[v]; ok {
			return k
		}
		v = strings.Clone(v)
		known[v] = v
		return v
	}
	s.Epoch, s.Kind, s.Tenant, s.Fingerprint, s.UID = intern(s.Epoch), intern(s.Kind), intern(s.Tenant), strings.Clone(s.Fingerprint), strings.Clone(s.UID)
	return s
}

// ReadStubs returns the stubs of one file of the lake in dir, just as they lie
// there. It fails with [ErrCorrupt] on what is no such file.
func ReadStubs(ctx context.Context, dir, path string) (stubs []Stub, err error) {
	defer guard(path, &err)
	b, err := regular.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	if err != nil {
		return nil, fmt.Errorf("read stubs: %w", err)
	}
	corrupt := func(err error) error { return fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err) }
	pr, err := file.NewParquetReader(bytes.NewReader(b))
	if err != nil {
		return nil, corrupt(err)
	}
	rows, err := pqarrow.NewFileReader(pr, pqarrow.ArrowReadProperties{BatchSize: recordRows}, memory.DefaultAllocator)
	if err != nil {
		return nil, corrupt(err)
	}
	got, err := rows.Schema()
	if err != nil {
		return nil, corrupt(err)
	}
	for i, want := range stubSchema.Fields() {
		if i >= got.NumFields() || got.Field(i).Name != want.Name || !arrow.TypeEqual(got.Field(i).Type, want.Type) {
			return nil, corrupt(errors.New("its columns are not those of stubs"))
		}
	}
	seg := &segment{path: path, rows: rows}
	known := make(map[string]string)
	for g := range seg.groups() {
		if stubs, err = seg.stubs(ctx, g, known, stubs); err != nil {
			return nil, err
		}
	}
	return stubs, ctx.Err()
}

// stubs appends those of a row group. It asks for one column after the other: all
// at once, the Parquet reader takes them by goroutines of its own, in which what it
// panics of ends the process; see guard.
func (s *segment) stubs(ctx context.Context, group int, known map[string]string, stubs []Stub) ([]Stub, error) {
	var names []string
	var readers []*pqarrow.ColumnReader
	defer func() {
		for _, r := range readers {
			r.Release()
		}
	}()
	for i, f := range stubSchema.Fields() {
		r, err := s.rows.GetFieldReader(ctx, i, map[int]bool{i: true}, []int{group})
		if err != nil {
			return nil, fmt.Errorf("%s: %w: column %s: %w", s.path, ErrCorrupt, f.Name, err)
		}
		names, readers = append(names, f.Name), append(readers, r)
	}
	for left := s.groupRows(group); left > 0; left -= recordRows {
		err := s.batch(readers, names, min(left, recordRows), func(columns []arrow.Array) error {
			for stub := range stubsIn(columns) {
				stubs = append(stubs, stub.own(known))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return stubs, nil
}

// StubsOf returns the stubs of the rows of one commit, in the order of their
// positions.
func (m *Manifest) StubsOf(ctx context.Context, dir string, commit uint64) ([]Stub, error) {
	var stubs []Stub
	for i := range m.Stubs {
		f := &m.Stubs[i]
		if commit < f.FirstCommit || commit > f.LastCommit {
			continue
		}
		all, err := ReadStubs(ctx, dir, f.Path)
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			if s.Commit == commit {
				stubs = append(stubs, s)
			}
		}
	}
	slices.SortFunc(stubs, func(a, b Stub) int { return cmp.Compare(a.Pos, b.Pos) })
	return stubs, nil
}

// Left returns the sequences of an epoch whose rows left the lake.
func (l *Lake) Left(ctx context.Context, epoch string) (store.Intervals, error) {
	var left store.Intervals
	m := l.Manifest()
	for i := range m.Stubs {
		if _, ok := m.Stubs[i].Epochs[epoch]; !ok {
			continue
		}
		stubs, err := ReadStubs(ctx, l.dir, m.Stubs[i].Path)
		if err != nil {
			return nil, err
		}
		for _, s := range stubs {
			if s.Epoch == epoch {
				left.Add(s.Sequence)
			}
		}
	}
	return left, nil
}

// LeftSince returns what left by the statements behind one, and the number of the
// last statement.
func (l *Lake) LeftSince(number uint64) (all []retention.Leaving, last uint64, err error) {
	m := l.Manifest()
	if len(m.Stubs) == 0 {
		return nil, m.Number, nil
	}
	for number++; number <= m.Number; number++ {
		s, err := statement(l.dir, number)
		if err != nil {
			return nil, 0, err
		}
		if len(s.Stubs) == 0 {
			continue
		}
		reason := s.Removed[0].Reason
		if n := len(all); n == 0 || all[n-1].Reason != reason || all[n-1].Reference != s.Reference || all[n-1].By != s.By {
			all = append(all, retention.Leaving{Reason: reason, Reference: s.Reference, By: s.By, First: number, Events: make(map[string]int64)})
		}
		of := &all[len(all)-1]
		of.Last = number
		for i := range s.Stubs {
			of.Events[s.Stubs[i].Rule] += s.Stubs[i].Count
		}
	}
	return all, m.Number, nil
}

// Left returns how many rows left the lake by retention and by erasure.
func (m *Manifest) Left() (expired, erased int64) {
	for i := range m.Stubs {
		if m.Stubs[i].Reason == ReasonErasure {
			erased += m.Stubs[i].Count
		} else {
			expired += m.Stubs[i].Count
		}
	}
	return expired, erased
}
