// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// A reserve is room on the disk that nobody else can take: a file of real blocks
// beside the WAL. When the disk is full it is given up, so that what was taken
// before can still be written: outcomes, gap findings, stop events. From then on
// the queue takes outcomes only, for anything else would eat up what they need;
// when there is room again, the file is made anew and the queue opens.
//
// It is made when the emitter opens, by the sequencer from then on.
type reserve struct {
	fs   FS
	path string
	want int64 // 0 for none

	held  atomic.Int64 // what there is of it
	tried time.Time    // to make it
}

// reserveFile is its name in the directory.
const reserveFile = "reserve"

// reserveRetry is how often a reserve that was given up is tried to be made.
const reserveRetry = time.Second

func (r *reserve) init(cfg *Config) {
	r.fs, r.path, r.want = cfg.FS, filepath.Join(cfg.Dir, reserveFile), max(0, cfg.ReserveBytes)
	info, err := os.Stat(r.path)
	if err != nil {
		return // there is none, or make will say what is wrong
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && info.Size() == r.want && stat.Blocks*512 >= r.want {
		r.held.Store(r.want)
		return
	}
	// Of another size, or copied without its blocks.
	_ = r.fs.Remove(r.path) // what it takes would be taken twice, no more
}

// make takes the room, unless it is held already.
func (r *reserve) make() error {
	if r.held.Load() == r.want {
		return nil
	}
	r.tried = time.Now()
	tmp := r.path + tmpSuffix
	_ = r.fs.Remove(tmp) // of an attempt that was cut off
	err := allocate(r.fs, tmp, r.want)
	if err == nil {
		err = r.fs.Rename(tmp, r.path)
	}
	if err != nil {
		_ = r.fs.Remove(tmp)
		return fmt.Errorf("keep a reserve of %d bytes: %w", r.want, err)
	}
	r.held.Store(r.want)
	return nil
}

// giveUp gives the room back and reports whether there was any.
func (r *reserve) giveUp() bool {
	if r.held.Load() == 0 || r.fs.Remove(r.path) != nil {
		return false
	}
	r.held.Store(0)
	r.tried = time.Time{} // the fault may have been brief
	return true
}

// diskFull reports whether err says that the disk, or what the user may have of
// it, is full.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// A reserveError says that the disk is full and what that means.
type reserveError struct{ err error }

func (e *reserveError) Error() string {
	return fmt.Sprintf("the disk of the WAL is full, nothing but outcomes is taken: %v", e.err)
}

// Unwrap returns what the file system said.
func (e *reserveError) Unwrap() error { return e.err }

// Hint tells what to do about it.
func (e *reserveError) Hint() string {
	return "make room on the disk of the WAL, or give it one of its own; it goes on by itself then"
}

// spend gives the reserve up, for a write that failed with err, and reports
// whether that may have made room.
func (s *sequencer) spend(err error) bool {
	r := &s.e.reserve
	if !diskFull(err) || r.want == 0 {
		return false
	}
	gave := r.giveUp()
	s.e.short(err)
	if s.refill == nil {
		s.refill = time.NewTicker(reserveRetry)
	}
	return gave
}

// short notes that there is no reserve because the disk is full.
func (e *Emitter) short(err error) {
	e.trouble(troubleReserve, &reserveError{err})
	e.queue.shut(true)
}

// restore makes the reserve anew when there is room for it.
func (s *sequencer) restore() {
	if s.refill == nil || time.Since(s.e.reserve.tried) < reserveRetry {
		return
	}
	if err := s.e.reserve.make(); err != nil {
		return // told already
	}
	s.refill.Stop()
	s.refill = nil
	s.e.trouble(troubleReserve, nil)
	s.e.queue.shut(false)
}

// refilling ticks while the reserve waits to be made.
func (s *sequencer) refilling() <-chan time.Time {
	if s.refill == nil {
		return nil
	}
	return s.refill.C
}
