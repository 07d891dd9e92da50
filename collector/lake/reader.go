// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/regular"
)

// A Reader reads a lake as of the last Refresh: beside a writer, which it asks
// by a [Pin] to leave the files, or alone, also from a directory that it may not
// write to. Its methods may be called concurrently.
type Reader struct {
	dir     string
	damaged error // of the manifest file; nil when it was as it should be
	pin     *Pin
	pins    pins
	left    left

	mu       sync.RWMutex
	manifest *Manifest // guarded by mu; replaced, never changed
}

var _ store.Reader = (*Reader)(nil)

// OpenReader opens the lake in dir for reading. A manifest that is missing,
// behind or damaged is made again in memory from the statements; see
// [Reader.Damaged]. A directory that is no lake is an error. The caller MUST
// Close it.
func OpenReader(dir string) (*Reader, error) {
	if _, err := os.Stat(filepath.Join(dir, CommitsDir)); err != nil {
		return nil, failed("open lake", dir, err)
	}
	pin, err := NewPin(dir)
	if err != nil {
		return nil, failed("open lake", dir, err)
	}
	m, damaged, err := load(dir)
	if err == nil {
		err = pin.At(m.Number)
	}
	if err != nil {
		pin.Release()
		return nil, failed("open lake", dir, err)
	}
	return &Reader{dir: dir, damaged: damaged, pin: pin, manifest: m}, nil
}

// Close lets the writer delete what it removed.
func (r *Reader) Close() { r.pin.Release() }

// load reads the manifest and applies the statements behind it. damaged tells
// what is wrong with the manifest file when it could not be used.
func load(dir string) (m *Manifest, damaged, err error) {
	m, damaged = readManifest(dir)
	if m == nil {
		m = new(Manifest)
	}
	for b, err := range Statements(dir, m.Number+1) {
		if err != nil {
			return nil, damaged, err
		}
		if err := m.Apply(b); err != nil {
			return nil, damaged, err
		}
	}
	return m, damaged, nil
}

// readManifest returns nil without an error when there is no manifest.
func readManifest(dir string) (*Manifest, error) {
	b, err := regular.ReadFile(filepath.Join(dir, ManifestPath))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	m, err := ParseManifest(b)
	if err != nil {
		return nil, err
	}
	if m.Number == 0 {
		return m, nil
	}
	last, err := ReadStatement(dir, m.Number)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: it is of statement %d: %w", ManifestPath, ErrCorrupt, m.Number, err)
	}
	if Digest(last) != m.Statement {
		return nil, fmt.Errorf("%s: %w: it is of another statement %d", ManifestPath, ErrCorrupt, m.Number)
	}
	return m, nil
}

// Refresh takes in what was committed since.
func (r *Reader) Refresh() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.manifest.snapshot()
	for b, err := range Statements(r.dir, next.Number+1) {
		if err == nil {
			err = next.Apply(b)
		}
		if err != nil {
			return failed("refresh lake", r.dir, err)
		}
	}
	if next.Number > r.manifest.Number {
		r.manifest = next
	}
	// Scans that are under way read by an older one.
	return r.pin.At(r.pins.oldest(r.manifest.Number))
}

// Damaged tells what was wrong with the manifest file when the lake was opened;
// nil when nothing was. What the reader gives then comes from the statements.
func (r *Reader) Damaged() error { return r.damaged }

// Dir returns the lake's directory.
func (r *Reader) Dir() string { return r.dir }

// Manifest returns what the lake consists of. It is shared: it MUST NOT be
// changed.
func (r *Reader) Manifest() *Manifest {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.manifest
}

// Files returns the segments of the manifest. A compaction may delete them when
// nobody has called Pin.
func (r *Reader) Files() []File { return r.Manifest().Files }

// Pin returns the manifest, and keeps its files where they are until release is
// called: for those who read Parquet by themselves. The manifest MUST NOT be
// changed; the paths in it are relative to Dir.
func (r *Reader) Pin() (m *Manifest, release func()) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.manifest, r.pins.hold(r.manifest.Number)
}

// Scan implements [store.Reader].
func (r *Reader) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		m, release := r.Pin()
		defer release()
		search(ctx, r.dir, m.Files, q, nil)(yield)
	}
}
