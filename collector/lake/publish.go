// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

const (
	// What goes to the Parquet writer at once, and what it keeps of a row group
	// until that is full, in bytes of events: whatever their length, a compaction
	// holds no more than this. What goes to it at once is read, gone through and
	// written while it is in the processor's cache.
	recordBytes   = 1 << 20
	rowGroupBytes = 64 << 20
)

// publish writes spilled rows into public files, each durable when it returns.
func (l *Lake) publish(ctx context.Context, s *spill) ([]File, error) {
	var files []File
	for _, p := range slices.SortedFunc(maps.Values(s.piles), func(a, b *pile) int {
		return cmp.Or(cmp.Compare(a.ClassUID, b.ClassUID), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Day, b.Day))
	}) {
		dir := p.Dir(l.opts.Region)
		if err := makeDirs(l.dir, dir); err != nil {
			return nil, fmt.Errorf("make directory of public files: %w", err)
		}
		for rows := p.rows; len(rows) > 0; {
			f := File{Path: path.Join(dir, l.opts.NewUID()+segmentSuffix)}
			l.mu.Lock()
			l.writing[f.Path] = true
			l.mu.Unlock()
			err := put(l.dir, f.Path, "public", l.opts.Fault, func(w io.Writer) error {
				return s.write(ctx, w, &f, p, rows, l.opts.SplitBytes)
			})
			if err != nil {
				return nil, fmt.Errorf("write %s: %w", f.Path, err)
			}
			rows = rows[f.Rows:]
			files = append(files, f)
		}
	}
	return files, nil
}

// makeDirs makes a directory below root, so that it outlasts a power cut.
func makeDirs(root, dir string) error {
	if dir == "." {
		return nil
	}
	full := filepath.Join(root, filepath.FromSlash(dir))
	if _, err := os.Stat(full); err == nil {
		return nil
	}
	if err := makeDirs(root, path.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(full, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(full))
}

// write makes one file of the first of rows, as many as fit into so many bytes,
// and describes it in f.
func (s *spill) write(ctx context.Context, to io.Writer, f *File, p *pile, rows []spilled, split int64) (err error) {
	out := &measured{w: to, hash: sha256.New()}
	defer s.room.trim()
	defer func() {
		// This Arrow panics when what it writes to fails.
		if r := recover(); r != nil {
			err = cmp.Or(out.err, fmt.Errorf("write Parquet: %v", r))
		}
	}()
	t, err := newTable(out, publicSchema(p.root), publicProperties, s.room)
	if err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	sh := newShredder(p.root, t.columns[schema.NumFields()+1:])
	group := 0
	for len(rows) > 0 && (f.Rows == 0 || out.n < split) {
		if err := ctx.Err(); err != nil {
			return err
		}
		taken, bytes, err := s.record(t, sh, f, p, rows)
		if err != nil {
			return err
		}
		rows, group = rows[taken:], group+bytes
		if group >= rowGroupBytes && len(rows) > 0 {
			if err := t.cut(); err != nil {
				return fmt.Errorf("write Parquet: %w", err)
			}
			group = 0
		}
	}
	if err := t.close(); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	f.SHA256, f.Bytes = hex.EncodeToString(out.hash.Sum(nil)), out.n
	f.own()
	return out.err
}

// record puts the first of rows into t. It returns how many, and their bytes.
func (s *spill) record(t *table, sh *shredder, f *File, p *pile, rows []spilled) (taken, bytes int, err error) {
	n := 0
	for n < min(len(rows), flushRows) && bytes < recordBytes {
		bytes += int(rows[n].length)
		n++
	}
	if err := s.load(rows[:n], bytes); err != nil {
		return 0, 0, err
	}
	at := 0
	for i := range n {
		r := &rows[i]
		raw := s.read[at : at+int(r.length)]
		at += len(raw)
		e := store.Entry{
			Raw: raw, StreamSeq: r.streamSeq, StoredTime: time.UnixMilli(r.stored).UTC(), Commit: r.commit, Pos: r.pos,
		}
		if e.Header, err = s.events.Parse(raw); err != nil {
			return 0, 0, fmt.Errorf("%w: row %d of commit %d: %w", ErrCorrupt, r.pos, r.commit, err)
		}
		if h := &e.Header; h.ClassUID != p.ClassUID || h.Tenant != p.Tenant || dayOf(h.Time) != p.day {
			is := Partition{h.ClassUID, h.Tenant, Day(h.Time)}
			return 0, 0, fmt.Errorf("%w: row %d of commit %d is of %v, its columns say %v", ErrCorrupt, r.pos, r.commit, is, p.Partition)
		}
		if err := s.row(t, sh, &e); err != nil {
			return 0, 0, err
		}
		f.describe(&e)
	}
	if err := t.flush(); err != nil {
		return 0, 0, fmt.Errorf("write Parquet: %w", err)
	}
	sh.flushed()
	return n, bytes, nil
}

// row puts one into t.
func (s *spill) row(t *table, sh *shredder, e *store.Entry) error {
	if err := t.add(e); err != nil {
		return err
	}
	timeDT := &t.columns[schema.NumFields()]
	timeDT.longs = append(timeDT.longs, e.Header.Time)
	if err := sh.shred(e); err != nil {
		return err
	}
	if err := t.next(); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	return nil
}

// measured hashes and counts what is written, and keeps the first error.
type measured struct {
	w    io.Writer
	hash hash.Hash
	n    int64
	err  error
}

func (m *measured) Write(b []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.w.Write(b)
	m.hash.Write(b[:n]) // never fails
	m.n += int64(n)
	if err == nil && n < len(b) {
		err = errors.Join(err, io.ErrShortWrite)
	}
	m.err = err
	return n, err
}
