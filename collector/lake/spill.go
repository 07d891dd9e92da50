// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/regular"
)

// A spill holds the rows of some hot segments: in memory where each belongs, in
// a file without a name the bytes of all. So a row costs a compaction a few
// dozen bytes of memory, however long it is, and each segment is read once.
type spill struct {
	file   *os.File
	piles  map[pileKey]*pile
	end    int64
	text   text
	read   []byte         // what load read
	events profile.Series // reads the headers again
	room   *room
	// leaves says which rows are not taken: of these there are stubs. nil: all are.
	leaves func(store.Cursor) bool
	stubs  []Stub
}

// A pile is the rows of one partition.
type pile struct {
	Partition
	day  int64
	rows []spilled
	root *node // what occurs in them
}

// A pileKey says of which partition a row is.
type pileKey struct {
	class  int32
	tenant string
	day    int64 // see dayOf
}

// pile returns that of a row.
func (s *spill) pile(class int32, tenant []byte, time int64) *pile {
	if p := s.piles[pileKey{class, string(tenant), dayOf(time)}]; p != nil {
		return p
	}
	key := pileKey{class, string(tenant), dayOf(time)}
	p := &pile{Partition: Partition{class, key.tenant, Day(time)}, day: key.day, root: newRoot(class)}
	s.piles[key] = p
	return p
}

// A spilled row: what is not in its bytes, and where these are.
type spilled struct {
	time      int64
	commit    uint64
	stored    int64
	streamSeq uint64
	offset    int64
	length    int32
	pos       uint32
}

// spill reads segments. It fails with [ErrCorrupt] if one is not what its
// statement says: what was changed must not get a new digest.
func (l *Lake) spill(ctx context.Context, files []File, leaves func(store.Cursor) bool) (_ *spill, err error) {
	// The name is one that a sweep removes, should the process end right here.
	name := filepath.Join(l.dir, HotDir, l.opts.NewUID()+segmentSuffix+aside)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spill rows: %w", err)
	}
	s := &spill{file: f, piles: make(map[pileKey]*pile), leaves: leaves, room: &l.public}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := os.Remove(name); err != nil {
		return nil, fmt.Errorf("spill rows: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range files {
		if err := s.take(ctx, l.dir, &files[i], w); err != nil {
			return nil, err
		}
	}
	if err := w.Flush(); err != nil {
		return nil, fmt.Errorf("spill rows: %w", err)
	}
	for _, p := range s.piles {
		p.root.prune()
		slices.SortFunc(p.rows, func(a, b spilled) int {
			return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.commit, b.commit), cmp.Compare(a.pos, b.pos))
		})
	}
	return s, nil
}

func (s *spill) close() { _ = s.file.Close() } // nobody reads it again

// spillColumns are what take reads of a row.
var spillColumns = []string{"tenant", "class_uid", "time", ColumnRaw, ColumnStoredTime, ColumnStreamSeq, ColumnCommit, ColumnPos}

// take adds the rows of one segment.
func (s *spill) take(ctx context.Context, dir string, f *File, w io.Writer) error {
	if err := checkDigest(dir, f); err != nil {
		return err
	}
	var left map[int64]bool
	if s.leaves != nil {
		var err error
		if left, err = s.leave(ctx, dir, f); err != nil {
			return err
		}
	}
	rows := int64(0)
	err := readChunks(ctx, dir, f.Path, spillColumns, func(_ int, c []chunk) error {
		tenants, classes, times, raws := c[0].texts, c[1].ints, c[2].longs, c[3].texts
		stored, streamSeqs, commits, positions := c[4].longs, c[5].longs, c[6].longs, c[7].ints
		for i, raw := range raws {
			if left[rows+int64(i)] {
				continue
			}
			p := s.pile(classes[i], tenants[i], times[i])
			if err := s.text.see(p.root, raw); err != nil {
				return fmt.Errorf("%s: %w: row %d: %w", f.Path, ErrCorrupt, rows+int64(i), err)
			}
			p.rows = append(p.rows, spilled{
				time: times[i], commit: uint64(commits[i]), stored: stored[i], streamSeq: uint64(streamSeqs[i]),
				offset: s.end, length: int32(len(raw)), pos: uint32(positions[i]),
			})
			s.end += int64(len(raw))
			if _, err := w.Write(raw); err != nil {
				return fmt.Errorf("spill rows: %w", err)
			}
		}
		rows += int64(len(raws))
		return nil
	})
	if err == nil && rows != f.Rows {
		err = fmt.Errorf("%s: %w: it has %d rows instead of %d", f.Path, ErrCorrupt, rows, f.Rows)
	}
	return err
}

// leave makes stubs of the rows of a segment that leave, and says which these
// are.
func (s *spill) leave(ctx context.Context, dir string, f *File) (map[int64]bool, error) {
	left := make(map[int64]bool)
	known := make(map[string]string)
	row := int64(0)
	err := ReadColumns(ctx, dir, f.Path, stubColumns, func(c []arrow.Array) error {
		for stub := range stubsIn(c) {
			if s.leaves(store.Cursor{Commit: stub.Commit, Pos: stub.Pos}) {
				left[row] = true
				s.stubs = append(s.stubs, stub.own(known))
			}
			row++
		}
		return nil
	})
	return left, err
}

// checkDigest compares a file with what its statement says.
func checkDigest(dir string, f *File) error {
	file, err := regular.Open(filepath.Join(dir, filepath.FromSlash(f.Path)), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: the segment is missing", f.Path, ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer func() { _ = file.Close() }() // was only read
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.SHA256 {
		return fmt.Errorf("%s: %w: its SHA-256 is %.16s, the statement says %.16s", f.Path, ErrCorrupt, got, f.SHA256)
	}
	return nil
}

// load reads the bytes of some rows, which are so many, one after the other into
// read. Those that it held are gone.
func (s *spill) load(rows []spilled, bytes int) error {
	if cap(s.read) < bytes {
		s.read = make([]byte, bytes, bytes+bytes/4)
	}
	s.read = s.read[:bytes]
	at := 0
	for i := 0; i < len(rows); {
		// Rows that came together lie together.
		first := &rows[i]
		end := first.offset + int64(first.length)
		for i++; i < len(rows) && rows[i].offset == end; i++ {
			end += int64(rows[i].length)
		}
		n := int(end - first.offset)
		if _, err := s.file.ReadAt(s.read[at:at+n], first.offset); err != nil {
			return fmt.Errorf("read spilled rows: %w", err)
		}
		at += n
	}
	return nil
}
