// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A wal is the directory of WAL files of one emitter that runs.
type wal struct {
	dir       string
	fs        FS
	emitter   string
	fileBytes int64
	now       func() time.Time
	reached   func(place string)

	// Owned by the sequencer.
	out    File     // the newest file; nil when it was given up
	newest *walFile // what is known of it; read without mu by its only writer
	number uint64   // the highest ever used
	buf    []byte
	synced time.Duration // how long the last sync took; written by who syncs

	mu    sync.Mutex // guards files, and size, records and last of each
	files []*walFile // oldest first; the last one is being written
	bytes int64      // of all files
}

// A walFile is what is known of a file without reading it.
type walFile struct {
	number  uint64
	path    string
	start   int64 // of its records
	size    int64 // how much of it is on stable storage and counts
	records int
	leaving bool             // it is being removed: nobody needs what is in it
	last    map[string]int64 // by epoch, the highest sequence in it
}

// A position is a place in the WAL: everything before it, in files and bytes.
type position struct {
	number uint64
	offset int64
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.number, q.number), cmp.Compare(p.offset, q.offset))
}

// openWAL begins a new file behind what was recovered. From then on a torn tail
// is settled: the header says how much of the file before counts.
func openWAL(cfg *Config, rec *recovery) (*wal, error) {
	w := &wal{
		dir: cfg.Dir, fs: cfg.FS, emitter: cfg.Name, fileBytes: cfg.WALFileBytes, now: cfg.Now, reached: cfg.reached,
		number: rec.highest, files: rec.files,
	}
	for _, f := range w.files {
		w.bytes += f.size
		w.newest = f
	}
	if err := w.rotate(rec.epochs); err != nil {
		return nil, err
	}
	w.reached("before-leftovers")
	for _, path := range rec.useless {
		// A left-over is void wherever it stays; the next start tries again.
		_ = w.fs.Remove(path)
	}
	w.reached("after-leftovers")
	return w, nil
}

// append writes records as one group and returns when they are on stable
// storage. On an error nobody knows which of them are: the file is given up,
// and the caller appends the same records again, to a new one. states tells
// where the open epochs stand without these records.
func (w *wal) append(records []record, states func() []epochState) (position, error) {
	f, err := w.write(records, states)
	if err != nil {
		return position{}, err
	}
	if err := w.sync(f); err != nil {
		w.giveUp()
		return position{}, err
	}
	return w.wrote(records), nil
}

// write writes records as one group. It is to be synced, and then told to wrote or
// giveUp, before anything else is done.
func (w *wal) write(records []record, states func() []epochState) (File, error) {
	if w.out == nil || w.newest.size >= w.fileBytes {
		if err := w.rotate(states()); err != nil {
			return nil, fmt.Errorf("begin WAL file: %w", err)
		}
	}
	w.buf = w.buf[:0]
	for i := range records {
		records[i].group = uint32(w.newest.size) //nolint:gosec // Config bounds a file's size
		w.buf = records[i].append(w.buf)
	}
	if _, err := w.out.Write(w.buf); err != nil {
		w.giveUp()
		return nil, fmt.Errorf("write WAL: %w", err)
	}
	w.reached("before-sync")
	return w.out, nil
}

// sync waits until what was written to f is on stable storage. Any goroutine may
// call it, while no other method that is the sequencer's runs.
func (w *wal) sync(f File) error {
	begun := time.Now()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync WAL: %w", err)
	}
	w.synced = time.Since(begun)
	return nil
}

// wrote takes in that records are on stable storage, and returns where they end.
func (w *wal) wrote(records []record) position {
	f := w.newest
	w.mu.Lock()
	defer w.mu.Unlock()
	f.size += int64(len(w.buf))
	w.bytes += int64(len(w.buf))
	f.records += len(records)
	for i := range records {
		f.last[records[i].epoch] = records[i].sequence
	}
	return position{f.number, f.size}
}

func (w *wal) giveUp() {
	_ = w.out.Close() // it failed already
	w.out = nil
}

// rotate begins a new file.
func (w *wal) rotate(states []epochState) error {
	w.number++ // also after a failure: a number is used once
	h := walHeader{Number: w.number, Created: w.now().UnixMilli(), Emitter: w.emitter, Epochs: states}
	if w.newest != nil {
		h.Prev, h.PrevBytes = w.newest.number, w.newest.size
	}
	head, err := h.encode()
	if err != nil {
		return err
	}
	path := filepath.Join(w.dir, walName(w.number))
	w.reached("before-rotate")
	f, err := writeFile(w.fs, path, head)
	if err != nil {
		return err
	}
	w.reached("after-rotate")
	if w.out != nil {
		_ = w.out.Close() // everything in it is synced
	}
	w.out = f
	size := int64(len(head))
	w.newest = &walFile{number: w.number, path: path, start: size, size: size, last: map[string]int64{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files = append(w.files, w.newest)
	w.bytes += size
	return nil
}

func (w *wal) close() error {
	if w.out == nil {
		return nil
	}
	err := w.out.Close()
	w.out = nil
	return err
}

// size returns how many bytes and files there are.
func (w *wal) size() (bytes int64, files int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes, len(w.files)
}

// begin returns the position of the oldest record, end the one behind the newest.
func (w *wal) begin() position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return position{w.files[0].number, w.files[0].start}
}

func (w *wal) end() position {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.files[len(w.files)-1]
	return position{f.number, f.size}
}

// settle moves p over ends of files, so that two names of one place compare
// equal.
func (w *wal) settle(p position) position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settleLocked(p)
}

func (w *wal) settleLocked(p position) position {
	i, _ := slices.BinarySearchFunc(w.files, p.number, func(f *walFile, n uint64) int { return cmp.Compare(f.number, n) })
	for ; i < len(w.files); i++ {
		f := w.files[i]
		if f.number > p.number {
			p = position{f.number, f.start}
		}
		if p.offset < f.size || i == len(w.files)-1 {
			break
		}
	}
	return p
}

// oldest returns the files that drop says yes to, from the oldest on until it
// says no; never the newest.
func (w *wal) oldest(drop func(*walFile) bool) []*walFile {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.files)-1 && drop(w.files[n]) {
		n++
	}
	return slices.Clone(w.files[:n])
}

// remove deletes the oldest files, as [wal.oldest] returned them. Only a prefix
// may go: each header is needed to know how much of the file before counts. The
// directory is synced after each, so that a power cut takes none but the oldest: an
// older file beside one that is gone is damage.
func (w *wal) remove(files []*walFile) error {
	for _, f := range files {
		w.mu.Lock()
		f.leaving = true
		w.mu.Unlock()
		if err := w.fs.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove WAL file: %w", err)
		}
		if err := w.fs.SyncDir(w.dir); err != nil {
			return fmt.Errorf("remove WAL file: %w", err)
		}
		w.mu.Lock()
		if len(w.files) > 1 && w.files[0] == f {
			w.files = w.files[1:]
			w.bytes -= f.size
		}
		w.mu.Unlock()
	}
	return nil
}

func (r *record) hexFingerprint() string { return hex.EncodeToString(r.fingerprint[:]) }
