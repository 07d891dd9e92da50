// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/lake"
)

// compact cuts all hot segments into public files, as a collector does.
func (h *house) compact() {
	h.t.Helper()
	done, err := h.lake.Compact(context.Background(), true, func(put func(uint64) error) error { return put(0) })
	if err != nil || done.Number == 0 {
		h.t.Fatalf("compacted %+v: %v", done, err)
	}
	h.add(done.Number)
}

// compacted is that story in public files of two compactions, and one hot segment.
var compacted made

// newCompacted returns a copy of it, closed.
func newCompacted(t *testing.T) *house {
	t.Helper()
	return compacted.copy(t, func(dir string) *house {
		h := newFurnished(t)
		copyDir(t, dir, h.dir)
		h.dir = dir
		h.open()
		h.compact()
		c := h.begin("acme", "gw-2")
		h.outcomes(c, 2)
		h.commit()
		d := h.begin("globex", "gw-2")
		h.outcomes(c, 2)
		h.outcomes(d, 3)
		h.commit()
		h.compact()
		h.stop(c)
		h.commit()
		return h
	})
}

// public returns the first public file whose path has all of the parts.
func (h *house) public(parts ...string) string {
	h.t.Helper()
	for _, path := range h.files("lake", ".parquet") {
		if lake.Public(strings.TrimPrefix(path, "lake/")) && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(path, p) }) {
			return path
		}
	}
	h.t.Fatalf("no public file %v", parts)
	return ""
}

func TestCompactedIsWhole(t *testing.T) {
	h := newCompacted(t)
	want := []string{
		"11 of 11, closed", "3 of 3 to the last one stored; end unknown",
		"4 of 4 to the last one stored; end unknown",
		"6 of 6 to the crash; at most 503 ms of best_effort unknown",
		"6 of 6 to the signed head; end unknown", "6 of 6, closed",
	}
	for _, opts := range []Options{{}, {Deep: true}, {Deep: true, Key: h.key.Verifier(), Workers: 1}} {
		r := h.run(opts)
		if r.Code() != CodeFine || len(r.Problems) > 0 || len(r.Notes) != len(h.run(Options{}).Notes) {
			t.Fatalf("deep %v: problems %v, notes %v", opts.Deep, r.Problems, r.Notes)
		}
		if diff := cmp.Diff(want, sortedLines(r)); diff != "" {
			t.Errorf("epochs (-want +got):\n%s", diff)
		}
		if r.Statements != 10 || r.Events != 36 || r.Ledger.Size != 10 {
			t.Errorf("report %+v", r)
		}
	}
}

// TestCompactedTampered does to every file of a compacted directory what the
// tests above do to one that was not.
func TestCompactedTampered(t *testing.T) {
	h := newCompacted(t)
	for _, path := range some(slices.Concat(h.files("lake", ".parquet"), h.files("lake/_commits", ".json"))) {
		good := h.read(path)
		at := rand.IntN(len(good))
		flipped := slices.Clone(good)
		flipped[at] ^= 1 << rand.IntN(8)
		for _, bad := range [][]byte{flipped, good[:len(good)-1], append(slices.Clone(good), ' ')} {
			h.write(path, bad)
			h.expect(Options{}, path)
		}
		h.remove(path)
		h.expect(Options{}, "missing", path)
		h.write(path, good)
	}
	files := h.files("lake/api_activity", ".parquet")
	a, b := h.read(files[0]), h.read(files[1])
	h.write(files[0], b)
	h.write(files[1], a)
	h.expect(Options{}, files[0])
	h.expect(Options{}, files[1])
	h.write(files[0], a)
	h.write(files[1], b)
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("afterwards: %v", r.Problems)
	}
}

// TestCompactedForged does what takes the ledger's key, too.
func TestCompactedForged(t *testing.T) {
	h := newCompacted(t)
	keep := filepath.Join(t.TempDir(), "keep")
	copyDir(t, keep, h.dir)
	acme := h.public("api_activity", "accountId=acme")
	expect := h.expectDeep // whoever has the key can let the statements agree
	forge := func(change func(*lake.Statement), phrases ...string) {
		t.Helper()
		h.restate(acme, change)
		h.resign()
		expect(Options{Key: h.key.Verifier()}, phrases...)
		if err := os.RemoveAll(h.dir); err != nil {
			t.Fatal(err)
		}
		copyDir(t, h.dir, keep)
	}
	at := func(s *lake.Statement) *lake.File {
		i := slices.IndexFunc(s.Added, func(f lake.File) bool { return inLake(f.Path) == acme })
		return &s.Added[i]
	}
	// The file goes to another tenant, to another class, to another day.
	for _, to := range []string{
		strings.Replace(acme, "accountId=acme", "accountId=globex", 1), strings.Replace(acme, "api_activity", "detection_finding", 1),
		acme[:strings.Index(acme, "eventDay=")] + "eventDay=20200101/" + filepath.Base(acme),
	} {
		h.write(to, h.read(acme))
		forge(func(s *lake.Statement) { at(s).Path = strings.TrimPrefix(to, "lake/") }, to, "lies in another directory")
	}
	forge(func(s *lake.Statement) { at(s).LastCommit-- }, "the commits")
	forge(func(s *lake.Statement) { at(s).MinTime++ }, "the times")
	expect = h.expect
	// A compaction that leaves a file out, one that takes none away, a reason.
	forge(func(s *lake.Statement) {
		s.Added = slices.DeleteFunc(s.Added, func(f lake.File) bool { return inLake(f.Path) == acme })
	}, "it counts", "are there")
	forge(func(s *lake.Statement) { s.Removed = s.Removed[1:] }, "missing", "lake/_hot")
	// An event is in two files.
	twice := strings.TrimSuffix(acme, ".parquet")[:len(acme)-len(".parquet")-1] + "0.parquet"
	h.write(twice, h.read(acme))
	forge(func(s *lake.Statement) {
		f := *at(s)
		f.Path = strings.TrimPrefix(twice, "lake/")
		s.Added = append(s.Added, f)
	}, "conflict", "another row has this place")
}

// TestEveryPublicColumn changes one cell of every column of a public file, with
// all digests right.
func TestEveryPublicColumn(t *testing.T) {
	h := newCompacted(t)
	segment := h.public("api_activity", "accountId=acme")
	good := h.read(segment)
	names, types := lake.Columns()
	for _, name := range some(names) {
		value := map[string]string{"UTF8": "forged", "INT32": "4711", "INT64": "4711", "BOOLEAN": "true"}[types[slices.Index(names, name)]]
		h.rewrite(segment, name, 1, value)
		h.restate(segment, nil)
		r := h.run(Options{Deep: true})
		switch name {
		case lake.ColumnStreamSeq:
			h.find(r, "a row has stream sequence")
		case lake.ColumnPos:
			h.find(r, "position")
		default:
			h.find(r, segment, "row 1", "column "+name)
		}
		h.write(segment, good)
	}
}

// otherThan returns another value of a cell's type.
func otherThan(cell, column string) string {
	_, err := strconv.Atoi(cell)
	switch {
	case column == lake.ColumnTimeDT:
		return "2020-01-01T00:00:00Z"
	case err == nil:
		return "4711"
	case cell[0] == '{', cell[0] == '[':
		return "(null)"
	default:
		return "forged"
	}
}

// TestEveryAttribute changes one cell of each column of an attribute, and takes
// each away, with all digests right.
func TestEveryAttribute(t *testing.T) {
	h := newCompacted(t)
	segment := h.public("api_activity", "accountId=acme")
	good := h.read(segment)
	base, _ := lake.Columns()
	columns := h.columns(segment)[len(base):]
	if len(columns) < 5 || columns[0] != lake.ColumnTimeDT {
		t.Fatalf("columns of attributes: %v", columns)
	}
	for _, name := range some(columns) {
		h.cells(segment, func(c string, cells []string) []string {
			if c == name {
				cells[1] = otherThan(cells[1], name)
			}
			return cells
		})
		h.restate(segment, nil)
		h.find(h.run(Options{Deep: true}), segment, "row 1", "column "+name)
		h.cells(segment, func(c string, cells []string) []string {
			if c == name {
				return nil
			}
			return cells
		})
		h.restate(segment, nil)
		h.find(h.run(Options{Deep: true}), segment, "no column", name)
		h.write(segment, good)
	}
}

// TestBesideCompaction verifies again and again while the owner commits and
// compacts.
func TestBesideCompaction(t *testing.T) {
	h := newFurnished(t)
	h.open()
	c := h.begin("acme", "gw-0")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range commitsBeside {
			h.outcomes(c, 20)
			h.commit()
			if i%4 == 3 {
				h.compact()
			}
		}
	}()
	runs := 0
	for running := true; running; runs++ {
		select {
		case <-done:
			running = false
		default:
		}
		if r := h.run(Options{Deep: runs%2 == 0}); r.Code() != CodeFine {
			t.Fatalf("run %d: %v", runs, r.Problems)
		}
	}
	h.close()
	// Those of the story, these, and a compaction after every fourth.
	want := uint64(5 + commitsBeside + commitsBeside/4)
	if r := h.run(Options{}); r.Statements != want || r.Ledger.Size != want || r.Code() != CodeFine {
		t.Errorf("in the end %d statements, %d leaves, problems %v", r.Statements, r.Ledger.Size, r.Problems)
	}
	t.Logf("%d runs", runs)
}
