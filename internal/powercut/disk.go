// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// A Disk notes what is done to the files below a directory. Its methods may be
// called at any time, by anybody.
type Disk struct {
	root string

	mu    sync.Mutex
	steps []step // guarded by mu
	files int    // made so far; guarded by mu
}

// New returns a disk of what lies below root, a directory. What is there already
// is durable.
func New(root string) (*Disk, error) {
	d := &Disk{root: filepath.Clean(root)}
	err := filepath.WalkDir(d.root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			d.steps = append(d.steps, step{kind: syncDir, path: filepath.Dir(path), dirs: []string{path}})
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		d.files++
		d.steps = append(d.steps, step{kind: create, path: path, file: d.files}, step{kind: write, file: d.files, data: b},
			step{kind: syncFile, file: d.files}, step{kind: syncDir, path: filepath.Dir(path)})
		return nil
	})
	return d, err
}

type kind int

const (
	create kind = iota
	write
	syncFile
	rename
	remove
	syncDir
)

// A step is one change.
type step struct {
	kind kind
	path string // of the file, or the directory
	to   string // of a rename
	file int    // which was made as the how manieth
	data []byte
	dirs []string // that were in a directory when it was synced
}

func (d *Disk) note(s step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps = append(d.steps, s)
}

// Steps returns how many steps there were.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.steps)
}

// Syncs says whether step i makes something durable.
func (d *Disk) Syncs(i int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps[i].kind == syncFile || d.steps[i].kind == syncDir
}

// A File is being appended to.
type File struct {
	*os.File
	disk *Disk
	id   int
}

// Create makes a new file.
func (d *Disk) Create(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files++
	d.steps = append(d.steps, step{kind: create, path: path, file: d.files})
	return &File{f, d, d.files}, nil
}

// Write appends b.
func (f *File) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.disk.note(step{kind: write, file: f.id, data: append([]byte(nil), b[:n]...)})
	return n, err
}

// Sync makes what was written durable.
func (f *File) Sync() error {
	f.disk.note(step{kind: syncFile, file: f.id})
	return nil
}

// Rename renames a file within its directory.
func (d *Disk) Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d.note(step{kind: rename, path: from, to: to})
	return nil
}

// Remove removes a file.
func (d *Disk) Remove(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	d.note(step{kind: remove, path: path})
	return nil
}

// SyncDir makes the names in dir durable.
func (d *Disk) SyncDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	s := step{kind: syncDir, path: filepath.Clean(dir)}
	for _, e := range entries {
		if e.IsDir() {
			s.dirs = append(s.dirs, filepath.Join(s.path, e.Name()))
		}
	}
	d.note(s)
	return nil
}

// Unsynced returns how many bytes of content are not durable after the first at
// steps.
func (d *Disk) Unsynced(at int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	by := map[int]int{}
	for _, s := range d.steps[:at] {
		switch s.kind {
		case write:
			by[s.file] += len(s.data)
		case syncFile:
			by[s.file] = 0
		case create, rename, remove, syncDir:
		}
	}
	sum := 0
	for _, n := range by {
		sum += n
	}
	return sum
}
