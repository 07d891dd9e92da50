// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// A Survival decides what is left of what was not synced. With its zero value
// nothing is.
type Survival struct {
	// Entry decides about a change of a directory, or a directory.
	Entry func() bool
	// Content returns what is left of the bytes that begin at offset of a file.
	Content func(offset int64, unsynced []byte) []byte
}

// Everything is what a machine finds that only lost its processes.
func Everything() Survival {
	return Survival{
		Entry:   func() bool { return true },
		Content: func(_ int64, unsynced []byte) []byte { return unsynced },
	}
}

// SectorBytes are written as a whole or not at all.
const SectorBytes = 512

// Sectors returns of unsynced, which begins at offset, what kept says was written,
// sector by sector of the file, and zeros for what was not. Without grown, the
// file ends with the last sector that was.
func Sectors(offset int64, unsynced []byte, grown bool, kept func(sector int) bool) []byte {
	left := make([]byte, 0, len(unsynced))
	end := 0
	for i := 0; len(left) < len(unsynced); i++ {
		from := len(left)
		to := min(len(unsynced), int((offset/SectorBytes+int64(i)+1)*SectorBytes-offset))
		if kept(i) {
			left = append(left, unsynced[from:to]...)
			end = to
		} else {
			left = append(left, make([]byte, to-from)...)
		}
	}
	if !grown {
		left = left[:end]
	}
	return left
}

// content of one file.
type content struct{ synced, unsynced []byte }

// state is what is on the disk after some steps.
type state struct {
	files   map[int]*content
	now     map[string]int // what a process sees
	durable map[string]int
	pending []step          // changes of directories, in order
	dirs    map[string]bool // that are durable
}

// Cut makes dst, a new directory, what is found in the place of the disk's root
// when the power fails after the first at steps.
func (d *Disk) Cut(at int, dst string, s Survival) error {
	d.mu.Lock()
	steps := d.steps[:at:at]
	d.mu.Unlock()
	st := &state{files: map[int]*content{}, now: map[string]int{}, durable: map[string]int{}, dirs: map[string]bool{d.root: true}}
	for _, step := range steps {
		st.do(step)
	}
	return d.leave(st, dst, s)
}

func (st *state) do(s step) {
	switch s.kind {
	case create:
		st.files[s.file] = &content{}
		st.now[s.path] = s.file
		st.pending = append(st.pending, s)
	case write:
		f := st.files[s.file]
		f.unsynced = append(f.unsynced, s.data...)
	case syncFile:
		f := st.files[s.file]
		f.synced, f.unsynced = append(f.synced, f.unsynced...), nil
	case rename:
		s.file = st.now[s.path]
		delete(st.now, s.path)
		st.now[s.to] = s.file
		st.pending = append(st.pending, s)
	case remove:
		delete(st.now, s.path)
		st.pending = append(st.pending, s)
	case syncDir:
		var left []step
		for _, p := range st.pending {
			if filepath.Dir(p.path) == s.path {
				apply(st.durable, p)
			} else {
				left = append(left, p)
			}
		}
		st.pending = left
		for _, dir := range s.dirs {
			st.dirs[dir] = true
		}
	}
}

func apply(names map[string]int, s step) {
	switch s.kind {
	case create:
		names[s.path] = s.file
	case rename:
		delete(names, s.path)
		names[s.to] = s.file
	case remove:
		delete(names, s.path)
	}
}

// leave writes what is left of st.
func (d *Disk) leave(st *state, dst string, s Survival) error {
	names := maps.Clone(st.durable)
	for _, p := range st.pending {
		if s.Entry != nil && s.Entry() {
			apply(names, p)
		}
	}
	gone := map[string]bool{}
	for dir := range st.dirsOf(names) {
		gone[dir] = !st.dirs[dir] && (s.Entry == nil || !s.Entry())
	}
	if err := os.MkdirAll(dst, 0o700); err != nil {
		return err
	}
	for path, id := range names {
		if st.lost(gone, path, d.root) {
			continue
		}
		rel, ok := strings.CutPrefix(path, d.root+string(filepath.Separator))
		if !ok {
			return fmt.Errorf("cut the power: %s is not below %s", path, d.root)
		}
		f := st.files[id]
		b := append([]byte(nil), f.synced...)
		if s.Content != nil && len(f.unsynced) > 0 {
			b = append(b, s.Content(int64(len(f.synced)), f.unsynced)...)
		}
		to := filepath.Join(dst, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// dirsOf returns the directories in which names lie.
func (st *state) dirsOf(names map[string]int) map[string]bool {
	dirs := map[string]bool{}
	for path := range names {
		for dir := filepath.Dir(path); !dirs[dir] && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			dirs[dir] = true
		}
	}
	return dirs
}

// lost says whether path lies in a directory that is gone.
func (st *state) lost(gone map[string]bool, path, root string) bool {
	for dir := filepath.Dir(path); dir != root && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if gone[dir] {
			return true
		}
	}
	return false
}
