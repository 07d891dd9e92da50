// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
)

// A named file is one that a statement added and none took away.
type named struct {
	lake.File
	statement uint64         // that added it
	stubs     *lake.StubFile // of which File has what they have in common; nil for a segment
}

// segments returns the files that make up the lake now, in the order of a
// manifest. It goes by the statements that can be read, so that a broken one hides no more
// than its own files.
func (v *verifier) segments() []named {
	var files []named
	for i := range v.statements {
		s := v.statements[i].parsed
		if s == nil {
			continue
		}
		for _, r := range s.Removed {
			for j := range files {
				if files[j].Path == r.Path && files[j].SHA256 == r.SHA256 {
					files = append(files[:j], files[j+1:]...)
					break
				}
			}
		}
		for _, f := range s.Added {
			files = append(files, named{File: f, statement: v.statements[i].number})
		}
		for _, f := range s.Stubs {
			files = append(files, stubsAs(f, v.statements[i].number))
		}
	}
	slices.SortStableFunc(files, func(a, b named) int {
		return cmp.Or(cmp.Compare(a.FirstCommit, b.FirstCommit), cmp.Compare(a.Path, b.Path))
	})
	return files
}

// checkFiles reads every file that a statement names, some at a time, and
// returns what the rows say.
func (v *verifier) checkFiles(ctx context.Context) (*rows, error) {
	segments := v.inScope(v.segments())
	for i := range segments {
		v.total += segments[i].Bytes
	}
	for i := range v.statements {
		if s := v.statements[i].parsed; s != nil && v.scope.statement(s.Number) {
			for _, q := range s.Quarantined {
				v.total += q.Bytes
			}
		}
	}
	for i := range segments {
		if segments[i].stubs == nil {
			v.report.Segments++
		}
	}
	if v.believes() {
		if all := v.checkTold(ctx, segments); all != nil {
			v.checkQuarantine(all)
			return all, ctx.Err()
		}
	}
	all := newRows(v)
	v.eachSegment(ctx, segments, v.checkSegment, all.add)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v.checkQuarantine(all)
	all.finish()
	return all, ctx.Err()
}

// eachSegment calls check for files, some at a time, and add with what comes of
// it. That is in the order of the files, whichever is done first; so many are
// waited for as there are workers.
func (v *verifier) eachSegment(ctx context.Context, segments []named, check func(context.Context, *named) *segment, add func(*segment)) {
	type pending chan *segment
	queue := make(chan pending, v.opts.Workers)
	go func() {
		defer close(queue)
		for i := range segments {
			p := make(pending, 1)
			queue <- p
			go func() { p <- check(ctx, &segments[i]) }()
		}
	}()
	for p := range queue {
		if s := <-p; ctx.Err() == nil {
			add(s)
		}
	}
}

// checkSegment looks at one file: its bytes, and then its rows.
func (v *verifier) checkSegment(ctx context.Context, f *named) *segment {
	place := Place{File: inLake(f.Path), Statement: f.statement}
	s := &segment{named: f, place: place}
	if ctx.Err() != nil {
		s.damaged = true
	} else {
		v.checkFile(s)
	}
	if ctx.Err() != nil || !v.exists(f.Path) {
		return s
	}
	if f.stubs != nil {
		v.checkStubs(ctx, s)
		return s
	}
	// What nobody has signed for is judged in depth whatever is asked for.
	s.deep = v.opts.Deep || s.statement > uint64(v.signed)
	read := v.readColumns
	if s.deep {
		read = v.readEvents
	}
	if err := read(ctx, s); err != nil && ctx.Err() == nil && !s.damaged {
		// A file with the right digest that cannot be read was never right.
		s.damaged = true
		v.problem(Damage, place, "%v", err)
	}
	if !s.damaged && ctx.Err() == nil {
		v.checkRows(s)
		v.checkIndex(ctx, f)
	}
	if !s.damaged && s.deep && lake.Public(f.Path) {
		v.checkNested(ctx, s)
	}
	return s
}

// checkNested makes the columns of attributes again, from the bytes of the events.
func (v *verifier) checkNested(ctx context.Context, s *segment) {
	err := lake.CheckNested(ctx, v.lakePath(), s.Path, func(row int, column string) {
		e := event{row: row}
		if row < len(s.events) {
			e = s.events[row]
		}
		v.problem(Damage, s.at(&e, column), "the cell is not what the event's bytes say")
	})
	if err != nil && ctx.Err() == nil {
		v.problem(Damage, s.place, "%v", err)
	}
}

// checkIndex looks whether the index of a segment hides rows from look-ups. It
// is no evidence, and one that look-ups do not believe is nobody's problem.
func (v *verifier) checkIndex(ctx context.Context, f *named) {
	if !v.opts.Deep {
		return
	}
	if err := lake.CheckIndex(ctx, v.lakePath(), &f.File); errors.Is(err, lake.ErrCorrupt) {
		v.problem(Damage, Place{File: inLake(lake.IndexPath(f.Path))}, "%v", err)
	}
}

func (v *verifier) exists(path string) bool {
	_, err := os.Lstat(v.inLakeDir(path))
	return err == nil
}

func (v *verifier) inLakeDir(path string) string {
	return filepath.Join(v.lakePath(), filepath.FromSlash(path))
}

// checkFile looks at the bytes of a file, and notes what came of it.
func (v *verifier) checkFile(s *segment) {
	err := v.checkBytes(s.place, s.Path, s.Bytes, s.SHA256)
	s.damaged, s.unread = err != nil, errors.Is(err, errUnread)
}

// What is wrong with the bytes of a file, which is told.
var (
	errChanged = errors.New("the file is not what it was")
	errUnread  = errors.New("the file cannot be read")
)

// checkBytes compares the size and the digest of a file with what a statement
// says of it.
func (v *verifier) checkBytes(place Place, path string, size int64, digest string) error {
	if !filepath.IsLocal(filepath.FromSlash(path)) {
		v.problem(Damage, place, "the statement names a file outside of the lake")
		return errChanged
	}
	f, err := v.opts.open(v.inLakeDir(path), os.O_RDONLY)
	if err != nil {
		return v.whyNot(place, err)
	}
	defer func() { _ = f.Close() }() // was only read
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, size+1)) // no more can be right
	v.progress(n)
	if err != nil {
		return v.whyNot(place, err)
	}
	if n != size {
		if info, serr := f.Stat(); serr == nil {
			n = info.Size()
		}
		v.problem(Damage, place, "it has %d bytes instead of %d", n, size)
		return errChanged
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != digest {
		v.problem(Damage, place, "its SHA-256 is %.16s..., the statement says %.16s...", got, digest)
		return errChanged
	}
	return nil
}

func (v *verifier) progress(n int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hashed += n
	v.report.Bytes = v.hashed
	if v.opts.Progress != nil {
		v.opts.Progress(v.hashed, max(v.total, v.hashed))
	}
}

// checkQuarantine looks at the messages that could not be stored as events, and
// tells rows which sequences they claim.
func (v *verifier) checkQuarantine(all *rows) {
	for i := range v.statements {
		s := v.statements[i].parsed
		if s == nil || !v.scope.statement(s.Number) {
			continue
		}
		for _, q := range s.Quarantined {
			v.report.Quarantines++
			place := Place{File: inLake(q.Path), Statement: s.Number}
			if err := v.checkBytes(place, q.Path, q.Bytes, q.SHA256); err != nil {
				all.lose(errors.Is(err, errUnread))
				continue
			}
			messages, err := lake.ReadQuarantine(v.lakePath(), q.Path)
			if err != nil {
				v.problem(Damage, place, "%v", err)
				continue
			}
			var seqs store.Intervals
			for j := range messages {
				m := &messages[j]
				seqs.Add(int64(m.StreamSeq))
				if m.Epoch != "" && m.Sequence > 0 && v.scope.epoch(m.Epoch) {
					p := all.epoch(m.Epoch)
					p.touched = true
					p.quarantined.Add(m.Sequence)
				}
			}
			if int64(len(messages)) != q.Count || !equal(seqs, q.StreamSeqs) {
				v.problem(Damage, place, "it holds %d messages, stream sequences %v; the statement says %d, %v", len(messages), seqs, q.Count, q.StreamSeqs)
			}
		}
	}
}
