// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/lake/index"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
)

// indexFiles returns the paths of a lake's indexes.
func indexFiles(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, lake.IndexDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// indexed makes a lake with some commits and the indexes of all, whether or not
// Close let them be made behind the commits.
func indexed(t *testing.T, commits int) string {
	t.Helper()
	dir := filled(t, commits)
	l, err := lake.Open(dir, lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range l.Files() {
		all(t, l, store.Query{Event: f.MinEvent})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(indexFiles(t, dir)); n != commits {
		t.Fatalf("%d indexes of %d segments", n, commits)
	}
	return dir
}

// deriveIndex makes an index again, of the segment that its name says.
func deriveIndex(t storetest.TB, dir, path string, m *lake.Manifest) {
	t.Helper()
	i := slices.IndexFunc(m.Files, func(f lake.File) bool { return filepath.Base(f.Path)+".idx" == filepath.Base(path) })
	if i < 0 {
		t.Errorf("%s is of no segment", path)
		return
	}
	got, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatalf("%v", err)
	}
	segment, err := os.ReadFile(filepath.Join(dir, m.Files[i].Path))
	if err != nil {
		t.Fatalf("%v", err)
	}
	of := index.Segment{SHA256: sha256.Sum256(segment), Bytes: int64(len(segment)), Rows: m.Files[i].Rows}
	want, err := index.Build(context.Background(), bytes.NewReader(segment), of)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not the index of %s (%v)", path, m.Files[i].Path, err)
	}
}

// Look-ups give what scans give, in the same order, whatever else is asked, of
// hot and of public files, and beside a writer or without one.
func TestLookUps(t *testing.T) {
	type subject struct {
		l      *lake.Lake
		r      *lake.Reader
		stored []store.Entry
	}
	subjects := make([]subject, 6)
	for i := range subjects {
		dir := t.TempDir()
		l := open(t, dir)
		stored := fill(t, l, rand.New(rand.NewPCG(uint64(i), 0)))
		all(t, l, store.Query{Trace: storetest.NewUID()}) // so that the reader finds every index
		r, err := lake.OpenReader(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		subjects[i] = subject{l, r, stored}
	}
	rapid.Check(t, func(r *rapid.T) {
		s := rapid.SampledFrom(subjects).Draw(r, "lake")
		q := drawQuery(r, s.stored)
		want := all(t, scans{s.l.Dir(), s.l.Files()}, q)
		for name, from := range map[string]store.Reader{"writer": s.l, "reader": s.r} {
			if got := all(t, from, q); !cmp.Equal(want, got, cmpopts.EquateEmpty()) {
				r.Fatalf("%+v, of the %s (-scan +look-up):\n%s", q, name, cmp.Diff(want, got))
			}
		}
		for name, l := range map[string]*lake.Lake{"writer": s.l, "reader": nil} {
			found, err := lake.LookUp(t.Context(), s.l.Dir(), s.l.Files(), q, l)
			if err != nil || found < len(want) {
				r.Fatalf("%+v, of the %s: %d rows looked up, %d are right (%v)", q, name, found, len(want), err)
			}
		}
	})
}

// scans reads without indexes.
type scans struct {
	dir   string
	files []lake.File
}

func (s scans) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return lake.ScanOnly(ctx, s.dir, s.files, q)
}

// fill commits some batches, in which operations and traces run into each other,
// and compacts now and then.
func fill(t *testing.T, l *lake.Lake, random *rand.Rand) []store.Entry {
	t.Helper()
	epochs := []*storetest.Epoch{storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "other", "gateway-1")}
	operations := []string{"caller's own", "caller's own 2", storetest.NewUID(), storetest.NewUID()}
	traces := []string{"", storetest.NewUID(), storetest.NewUID()}
	var stored []store.Entry
	for range 2 + random.IntN(4) {
		var b store.Batch
		for range 1 + random.IntN(20) {
			e := epochs[random.IntN(len(epochs))]
			e.Trace = traces[random.IntN(len(traces))]
			kind := []string{profile.KindEvaluation, profile.KindOutcome}[random.IntN(2)]
			entry := e.API(kind, operations[random.IntN(len(operations))], "")
			entry.StreamSeq = uint64(len(stored) + len(b.Entries) + 1)
			b.Entries = append(b.Entries, entry)
		}
		stored = append(stored, commit(t, l, b).Added...)
		if random.IntN(3) == 0 {
			_, err := l.Compact(t.Context(), true, func(put func(uint64) error) error { return put(0) })
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return stored
}

func drawQuery(r *rapid.T, stored []store.Entry) store.Query {
	pick := func(name string) *store.Entry { return &stored[rapid.IntRange(0, len(stored)-1).Draw(r, name)] }
	q := store.Query{WithoutRaw: rapid.Bool().Draw(r, "without raw"), Descending: rapid.Bool().Draw(r, "descending"), Limit: rapid.IntRange(0, 3).Draw(r, "limit")}
	switch rapid.SampledFrom([]string{"event", "operation", "operation", "trace", "none"}).Draw(r, "uid") {
	case "event":
		q.Event = pick("event").Header.MetadataUID
	case "operation":
		q.Operation = pick("operation").Header.OperationUID
	case "trace":
		q.Trace = pick("trace").Header.TraceUID
	case "none":
		q.Operation, q.Event = storetest.NewUID(), ""
	}
	if q.Trace == "" && q.Event == "" && q.Operation == "" {
		q.Operation = "caller's own"
	}
	if rapid.Bool().Draw(r, "narrower") {
		q.Tenant = rapid.SampledFrom([]string{"", "acme", "other"}).Draw(r, "tenant")
		if q.Trace == "" {
			q.Trace = rapid.SampledFrom([]string{"", pick("of trace too").Header.TraceUID}).Draw(r, "of trace")
		}
		q.Kinds = rapid.SampledFrom([][]string{nil, {profile.KindOutcome}}).Draw(r, "kinds")
		q.Epoch = rapid.SampledFrom([]string{"", pick("epoch").Header.Epoch}).Draw(r, "of epoch")
		q.Since = rapid.SampledFrom([]int64{0, pick("since").Header.Time}).Draw(r, "since this")
		q.Until = rapid.SampledFrom([]int64{0, pick("until").Header.Time}).Draw(r, "until this")
		at := pick("after")
		q.After = rapid.SampledFrom([]store.Cursor{{}, {Commit: at.Commit, Pos: at.Pos}}).Draw(r, "after this")
	}
	return q
}

// An index that is damaged, gone or of another segment changes nothing: a writer
// makes it again, a reader does without.
func TestIndexesAreMadeAgain(t *testing.T) {
	dir := indexed(t, 3)
	r, err := lake.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := all(t, r, store.Query{})
	for name, damage := range map[string]func(path string) error{
		"whole": func(string) error { return nil },
		"gone":  os.Remove,
		"empty": func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"header": func(path string) error {
			return changeFile(path, func(b []byte) []byte { b[3] ^= 1; return b })
		},
		"last block": func(path string) error {
			return changeFile(path, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
		},
		"any block": func(path string) error {
			return changeFile(path, func(b []byte) []byte { return append(b[:len(b)-40], make([]byte, 40)...) })
		},
		"of another": func(path string) error {
			return changeFile(path, func([]byte) []byte { return bytes.Repeat([]byte("DOCKETIX"), 100) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range indexFiles(t, dir) {
				if err := damage(path); err != nil {
					t.Fatal(err)
				}
			}
			readAll := func(s store.Reader) {
				t.Helper()
				for i := range want {
					for _, q := range []store.Query{{Event: want[i].Header.MetadataUID}, {Operation: want[i].Header.OperationUID}} {
						if got := all(t, s, q); !slices.ContainsFunc(got, func(e store.Entry) bool { return cmp.Equal(e, want[i]) }) {
							t.Errorf("%+v: event %d is not among %d", q, i, len(got))
						}
					}
				}
			}
			readAll(r)
			l := open(t, dir)
			readAll(l)
			for _, f := range l.Files() {
				deriveIndex(t, dir, filepath.Join(lake.IndexDir, filepath.Base(f.Path)+".idx"), l.Manifest())
			}
		})
	}
}

// Somebody who rewrites an index, checksums and all, hides an event from
// look-ups: it is still in the lake, and CheckIndex tells.
func TestForgedIndex(t *testing.T) {
	dir := indexed(t, 1)
	l := open(t, dir)
	f := l.Files()[0]
	path := indexFiles(t, dir)[0]
	stored := all(t, l, store.Query{})
	if err := lake.CheckIndex(t.Context(), dir, &f); err != nil {
		t.Errorf("an honest index: %v", err)
	}
	honest, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The last byte of the first block is the row of its last event, which is
	// said to be another one; every checksum is that of what is there.
	le := binary.LittleEndian
	crc := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	forged := bytes.Clone(honest)
	directory, blocks := forged[72:72+le.Uint32(forged[12:])], forged[72+le.Uint32(forged[12:]):]
	first := blocks[:le.Uint32(directory[8:])]
	hidden := first[len(first)-1]
	first[len(first)-1] = (hidden + 1) % 3
	le.PutUint32(directory[12:], crc(first))
	le.PutUint32(forged[64:], crc(directory))
	le.PutUint32(forged[68:], crc(forged[:68]))
	if err := os.WriteFile(path, forged, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := len(all(t, l, store.Query{Event: stored[hidden].Header.MetadataUID})); n != 0 {
		t.Errorf("%d events, where one is hidden", n)
	}
	if err := lake.CheckIndex(t.Context(), dir, &f); !errors.Is(err, lake.ErrCorrupt) {
		t.Errorf("a forged index: %v", err)
	}
	if err := os.WriteFile(path, append(honest[:len(honest)-1], 'x'), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := lake.CheckIndex(t.Context(), dir, &f); err != nil {
		t.Errorf("an index that no look-up believes: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := lake.CheckIndex(t.Context(), dir, &f); err != nil {
		t.Errorf("no index: %v", err)
	}
}

func changeFile(path string, change func([]byte) []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, change(b), 0o600)
}

// A damaged segment gets no index, so that what was found in it never outlives
// the damage; and it is found out as a scan finds it.
func TestNoIndexOfADamagedSegment(t *testing.T) {
	dir := filled(t, 1)
	for _, path := range indexFiles(t, dir) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, dir)
	path := filepath.Join(dir, l.Files()[0].Path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := changeFile(path, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }); err != nil {
		t.Fatal(err)
	}
	for _, err := range l.Scan(t.Context(), store.Query{Event: l.Files()[0].MinEvent}) {
		if err != nil && !errors.Is(err, lake.ErrCorrupt) {
			t.Error(err)
		}
	}
	if left := indexFiles(t, dir); len(left) > 0 {
		t.Errorf("there is %v", left)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := len(all(t, l, store.Query{Event: l.Files()[0].MinEvent})); n != 1 {
		t.Errorf("%d events, when the segment was put back", n)
	}
}

// Where no index can be kept, look-ups and commits go on.
func TestNoPlaceForIndexes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, lake.IndexDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	events := e.Operation()
	commit(t, l, store.Batch{Entries: events})
	if n := len(all(t, l, store.Query{Operation: events[0].Header.OperationUID})); n != 3 {
		t.Errorf("%d events of 3", n)
	}
}

// What is of use to no segment goes with the next start; what is not the lake's
// stays.
func TestIndexesAreSwept(t *testing.T) {
	dir := indexed(t, 2)
	own := indexFiles(t, dir)
	gone := []string{storetest.NewUID() + ".parquet.idx", filepath.Base(own[0]) + ".tmp"}
	for _, name := range append(gone, "notes.idx") {
		if err := os.WriteFile(filepath.Join(dir, lake.IndexDir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	if left := indexFiles(t, dir); len(left) != len(own)+1 {
		t.Errorf("there are %v", left)
	}
	for _, name := range gone {
		if _, err := os.Stat(filepath.Join(dir, lake.IndexDir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there (%v)", name, err)
		}
	}
}

// Somebody who gives all operations one uid gets a scan, and all of them.
func TestLookUpOfVeryManyRows(t *testing.T) {
	l := open(t, t.TempDir())
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	const events = 10_500
	var b store.Batch
	for i := range events {
		b.Entries = append(b.Entries, e.API(profile.KindOutcome, "hostile", ""))
		if i%3000 == 0 {
			b.Entries = append(b.Entries, e.API(profile.KindOutcome, fmt.Sprintf("honest-%d", i), ""))
		}
	}
	commit(t, l, b)
	if n := len(all(t, l, store.Query{Operation: "hostile"})); n != events {
		t.Errorf("%d of %d events", n, events)
	}
	if got := all(t, l, store.Query{Operation: "honest-9000"}); len(got) != 1 || !strings.Contains(string(got[0].Raw), "honest-9000") {
		t.Errorf("%d events of one", len(got))
	}
}
