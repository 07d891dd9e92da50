// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ours are the names that a writer gives to files.
var ours = regexp.MustCompile(`^([0-9a-f-]{36}\.(parquet|ndjson)|[0-9]{12}\.json|_manifest\.json)(\.tmp)?$`)

// A gone file is no longer part of the lake.
type gone struct {
	path      string
	statement uint64 // that removed it
}

// sweep removes what an interrupted commit or compaction left, files of ours
// that no statement names, and remembers the files that were removed and not
// deleted.
func (l *Lake) sweep(m *Manifest) error {
	keep := make(map[string]bool, len(m.Files)+len(m.Quarantined)+1)
	keep[ManifestPath] = true
	for i := range m.Files {
		keep[m.Files[i].Path] = true
	}
	for i := range m.Quarantined {
		keep[m.Quarantined[i].Path] = true
	}
	for i := range m.Stubs {
		keep[m.Stubs[i].Path] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed = nil
	// Reads every statement, so it is asked only for the few that keep lacks.
	var named map[string]uint64
	return l.walk(func(path string) error {
		partial := filepath.Ext(path) == aside
		switch {
		case keep[path], l.writing[strings.TrimSuffix(path, aside)]:
			return nil
		case !partial && (filepath.Dir(path) == "." || strings.HasPrefix(path, CommitsDir+"/")):
			return nil
		case !partial && named == nil:
			var err error
			if named, err = l.named(); err != nil {
				return err
			}
		}
		if removal, ok := named[path]; ok && !partial {
			if removal > 0 {
				l.removed = append(l.removed, gone{path, removal})
			}
			return nil
		}
		return l.remove(path)
	})
}

// walk calls each for the files of ours in the places where the lake has some.
func (l *Lake) walk(each func(path string) error) error {
	return filepath.WalkDir(l.dir, func(full string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		path, err := filepath.Rel(l.dir, full)
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		switch {
		case d.IsDir() && strings.HasPrefix(path, "_") && path != HotDir && path != QuarantineDir && path != CommitsDir && path != StubsDir:
			return fs.SkipDir
		case !d.Type().IsRegular(), !ours.MatchString(d.Name()):
			return nil
		}
		return each(path)
	})
}

// named returns every path that a statement ever named, with the statement that
// removed it, 0 if none did.
func (l *Lake) named() (map[string]uint64, error) {
	paths := make(map[string]uint64)
	for b, err := range Statements(l.dir, 1) {
		if err != nil {
			return nil, err
		}
		s, err := ParseStatement(b)
		if err != nil {
			return nil, err
		}
		for i := range s.Added {
			paths[s.Added[i].Path] = 0
		}
		for i := range s.Quarantined {
			paths[s.Quarantined[i].Path] = 0
		}
		for i := range s.Stubs {
			paths[s.Stubs[i].Path] = 0
		}
		for i := range s.Removed {
			paths[s.Removed[i].Path] = s.Number
		}
	}
	return paths, nil
}

// tidy removes what a compaction or the like left that failed.
func (l *Lake) tidy() error {
	if !l.leftovers.Load() {
		return nil
	}
	l.commit.Lock()
	defer l.commit.Unlock()
	if l.closed || l.dirty.Load() {
		return nil // the next start does it
	}
	err := l.sweep(l.Manifest())
	l.leftovers.Store(err != nil)
	return err
}

// reap deletes the removed files that nobody reads any more.
func (l *Lake) reap() error {
	l.mu.Lock()
	waiting := l.removed
	l.mu.Unlock()
	if len(waiting) == 0 {
		return nil
	}
	// A reader that begins now begins with a manifest that is no older.
	oldest, err := oldestPin(l.dir, l.pins.oldest(l.Manifest().Number))
	if err != nil {
		return err
	}
	var errs []error
	deleted := make(map[string]bool)
	for _, g := range waiting {
		if g.statement > oldest {
			continue
		}
		if err := l.remove(g.path); err != nil {
			errs = append(errs, err)
			continue
		}
		l.indexes.drop(g.path)
		deleted[g.path] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed = slices.DeleteFunc(slices.Clone(l.removed), func(g gone) bool { return deleted[g.path] })
	return errors.Join(errs...)
}

// remove deletes a file of ours.
func (l *Lake) remove(path string) error {
	if err := l.opts.Fault("remove begin"); err != nil {
		return err
	}
	if !filepath.IsLocal(filepath.FromSlash(path)) {
		return fmt.Errorf("delete %s: %w: it lies outside of the lake", path, ErrCorrupt)
	}
	if err := os.Remove(filepath.Join(l.dir, filepath.FromSlash(path))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", path, err)
	}
	if strings.HasSuffix(path, segmentSuffix) {
		l.indexes.drop(path)
	}
	// The names of its directories say whose events there were. A compaction that
	// was about to put a file into one fails, and is tried again.
	if Public(path) {
		for dir := filepath.Dir(filepath.FromSlash(path)); dir != "." && os.Remove(filepath.Join(l.dir, dir)) == nil; {
			dir = filepath.Dir(dir)
		}
	}
	return nil
}
