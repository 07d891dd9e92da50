// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/docket-audit/docket/collector/lake/index"
	"github.com/docket-audit/docket/internal/regular"
)

// IndexDir holds the side index of each segment, see package index. Nothing in
// it is evidence: it may be deleted at any time, and is made again.
const IndexDir = "_index"

const indexSuffix = ".idx"

// IndexPath returns where the index of a segment lies.
func IndexPath(segment string) string { return IndexDir + "/" + path.Base(segment) + indexSuffix }

// indexed returns what a segment's index must be of.
func (f *File) indexed() (s index.Segment, err error) {
	sum, err := hex.DecodeString(f.SHA256)
	if err != nil || len(sum) != sha256.Size {
		return s, fmt.Errorf("%s: %w: its digest is %q", f.Path, ErrCorrupt, f.SHA256)
	}
	return index.Segment{SHA256: [sha256.Size]byte(sum), Bytes: f.Bytes, Rows: f.Rows}, nil
}

// openIndex opens the index of a segment; close ends the use of it.
func openIndex(dir string, f *File) (x *index.Index, closeIndex func(), err error) {
	of, err := f.indexed()
	if err != nil {
		return nil, nil, err
	}
	file, err := regular.Open(filepath.Join(dir, filepath.FromSlash(IndexPath(f.Path))), os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	closeIndex = func() { _ = file.Close() } // was only read
	info, err := file.Stat()
	if err == nil {
		x, err = index.Open(file, info.Size(), of)
	}
	if err != nil {
		closeIndex()
		return nil, nil, err
	}
	return x, closeIndex, nil
}

// indexes makes the indexes of a writer's lake: those of new segments behind
// the commits, one at a time, and what a look-up lacks at once.
type indexes struct {
	dir string
	log *slog.Logger

	build  sync.Mutex      // held while an index is made
	failed map[string]bool // segments of which none can be made; guarded by build

	mu      sync.Mutex
	waiting []File             // guarded by mu
	stop    context.CancelFunc // of the goroutine that makes them, nil without one; guarded by mu
	closed  bool               // guarded by mu
	work    sync.WaitGroup
}

func newIndexes(dir string, log *slog.Logger) *indexes {
	return &indexes{dir: dir, log: log, failed: make(map[string]bool)}
}

// later has the indexes of new segments made, and returns at once.
func (x *indexes) later(files []File) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed || len(files) == 0 {
		return
	}
	x.waiting = append(x.waiting, files...)
	if x.stop == nil {
		var ctx context.Context
		ctx, x.stop = context.WithCancel(context.Background())
		x.work.Go(func() { x.run(ctx) })
	}
}

// run makes what waits, and ends when nothing does.
func (x *indexes) run(ctx context.Context) {
	for {
		x.mu.Lock()
		if len(x.waiting) == 0 || x.closed {
			x.stop()
			x.stop = nil
			x.mu.Unlock()
			return
		}
		f := x.waiting[0]
		x.waiting = x.waiting[1:]
		x.mu.Unlock()
		if _, done, err := x.open(ctx, &f); err == nil {
			done()
		} // else it was logged, and a look-up does without
	}
}

// close ends what is being made. What is not made yet a look-up makes.
func (x *indexes) close() {
	x.mu.Lock()
	x.closed = true
	if x.stop != nil {
		x.stop()
	}
	x.mu.Unlock()
	x.work.Wait()
}

// open opens the index of a segment, and makes it if there is none that is good.
func (x *indexes) open(ctx context.Context, f *File) (*index.Index, func(), error) {
	if i, done, err := openIndex(x.dir, f); err == nil {
		return i, done, nil
	}
	x.build.Lock()
	defer x.build.Unlock()
	i, done, err := openIndex(x.dir, f) // somebody may have made it meanwhile
	if err == nil {
		return i, done, nil
	}
	if x.failed[f.Path] {
		return nil, nil, fmt.Errorf("%s: no index can be made", f.Path)
	}
	b, err := buildIndex(ctx, x.dir, f)
	switch {
	case errors.Is(err, index.ErrSegment), errors.Is(err, index.ErrLayout), errors.Is(err, ErrCorrupt):
		x.failed[f.Path] = true
		x.log.WarnContext(ctx, "look-ups in a segment do without an index", "error", err)
		return nil, nil, err
	case err != nil: // it was removed, or this was cancelled
		return nil, nil, err
	}
	if err := x.write(f, b); err != nil {
		x.log.WarnContext(ctx, "an index was made and not kept", "error", err)
	}
	of, err := f.indexed()
	if err != nil {
		return nil, nil, err
	}
	i, err = index.Open(bytes.NewReader(b), int64(len(b)), of)
	return i, func() {}, err
}

// discard removes an index that turned out to be damaged.
func (x *indexes) discard(f *File) {
	x.build.Lock()
	defer x.build.Unlock()
	x.log.Warn("an index is damaged; made again", "segment", f.Path)
	x.remove(IndexPath(f.Path))
}

func buildIndex(ctx context.Context, dir string, f *File) ([]byte, error) {
	of, err := f.indexed()
	if err != nil {
		return nil, err
	}
	file, err := regular.Open(filepath.Join(dir, filepath.FromSlash(f.Path)), os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("index segment: %w", err)
	}
	defer func() { _ = file.Close() }() // was only read
	b, err := index.Build(ctx, file, of)
	if err != nil {
		return nil, fmt.Errorf("index segment %s: %w", f.Path, err)
	}
	return b, nil
}

// CheckIndex compares the index of a segment of the lake in dir with the
// segment. It fails with [ErrCorrupt] when look-ups believe it, and it says
// something else: by that rows can be hidden from them. None, and one that is
// not believed, is fine.
func CheckIndex(ctx context.Context, dir string, f *File) error {
	x, done, err := openIndex(dir, f)
	if err != nil {
		return nil //nolint:nilerr // nor will a look-up use it
	}
	err = x.Check()
	done()
	if err != nil {
		return nil //nolint:nilerr // nor will a look-up believe it
	}
	has, err := regular.ReadFile(filepath.Join(dir, filepath.FromSlash(IndexPath(f.Path))))
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	b, err := buildIndex(ctx, dir, f)
	if err != nil {
		return err
	}
	if !bytes.Equal(has, b) {
		return fmt.Errorf("%s: %w: it is not the index of its segment; delete it, and it is made again", IndexPath(f.Path), ErrCorrupt)
	}
	return nil
}

// write puts an index in its place. It is not synced: what a power cut leaves
// of it is no index, or all of it.
func (x *indexes) write(f *File, b []byte) error {
	to := filepath.Join(x.dir, filepath.FromSlash(IndexPath(f.Path)))
	err := os.MkdirAll(filepath.Dir(to), 0o755)
	if err == nil {
		err = os.WriteFile(to+aside, b, 0o644)
	}
	if err == nil {
		err = os.Rename(to+aside, to)
	}
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	return nil
}

// drop removes the index of a segment that is deleted.
func (x *indexes) drop(segment string) {
	x.build.Lock()
	defer x.build.Unlock()
	delete(x.failed, segment)
	x.remove(IndexPath(segment))
}

func (x *indexes) remove(path string) {
	err := os.Remove(filepath.Join(x.dir, filepath.FromSlash(path)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.log.Warn("an index stays that is of no use", "error", err)
	}
}

// sweep removes the indexes of segments that are not among files.
func (x *indexes) sweep(files []File) {
	list, err := os.ReadDir(filepath.Join(x.dir, IndexDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.log.Warn("indexes cannot be read", "error", err)
	}
	keep := make(map[string]bool, len(files))
	for i := range files {
		keep[path.Base(IndexPath(files[i].Path))] = true
	}
	x.build.Lock()
	defer x.build.Unlock()
	for _, d := range list {
		name := strings.TrimSuffix(d.Name(), aside)
		if segment, ok := strings.CutSuffix(name, indexSuffix); ok && ours.MatchString(segment) && d.Type().IsRegular() && !keep[d.Name()] {
			x.remove(IndexDir + "/" + d.Name())
		}
	}
}
