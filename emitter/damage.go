// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A damage is a place in a WAL file, or in one of an event set aside, that held
// acknowledged events and cannot be read any more.
type damage struct {
	file     string // relative to the WAL's directory
	from, to int64
	reason   string
}

// A notice is a damage to be told on the stream.
type notice struct {
	damage
	copied string // where the bytes were kept, relative to the WAL
	err    error  // why they were not
}

// notices are what waits to be told. The zero value works.
type notices struct {
	mu   sync.Mutex
	list []notice
	told map[damage]bool
}

// damaged keeps a copy of what is damaged, before trimming takes it away, and
// leaves a notice for the sequencer: once in each start, until the file is gone,
// so that a crash cannot silence it.
func (e *Emitter) damaged(d damage) {
	e.notices.mu.Lock()
	defer e.notices.mu.Unlock()
	if e.notices.told[d] {
		return
	}
	if e.notices.told == nil {
		e.notices.told = map[damage]bool{}
	}
	e.notices.told[d] = true
	copied, err := keepDamaged(e.cfg.FS, e.cfg.Dir, d)
	e.cfg.Logger.Error("WAL file is damaged", "file", d.file, "from", d.from, "to", d.to, "reason", d.reason, "copy", copied, "error", err)
	e.notices.list = append(e.notices.list, notice{damage: d, copied: copied, err: err})
	select {
	case e.noticed <- struct{}{}:
	default:
	}
}

func (e *Emitter) takeNotices() []notice {
	e.notices.mu.Lock()
	defer e.notices.mu.Unlock()
	list := e.notices.list
	e.notices.list = nil
	return list
}

// damagedDir is where copies of damaged bytes are kept, beside the WAL files.
const damagedDir = "damaged"

func keepDamaged(fs FS, dir string, d damage) (copied string, err error) {
	name := fmt.Sprintf("%s-%d-%d", strings.TrimSuffix(filepath.Base(d.file), walSuffix), d.from, d.to)
	copied = filepath.Join(damagedDir, name)
	path := filepath.Join(dir, copied)
	if _, err := os.Stat(path); err == nil {
		return copied, nil
	}
	if err := makeDir(fs, filepath.Dir(path)); err != nil {
		return "", err
	}
	b, err := readFile(filepath.Join(dir, d.file))
	if err != nil {
		return "", err
	}
	from, to := min(d.from, int64(len(b))), min(d.to, int64(len(b)))
	f, err := writeFile(fs, path, b[from:to])
	if err != nil {
		return "", err
	}
	return copied, f.Close()
}
