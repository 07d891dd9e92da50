// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/google/uuid"
)

// A reader pins the manifest that it reads by: files that later statements
// remove stay until it is done.

// pins are the manifests that are read by within one process, by number. The
// zero value has none.
type pins struct {
	mu      sync.Mutex
	readers map[uint64]int // guarded by mu
}

// hold pins a manifest until release, which may be called more than once.
func (p *pins) hold(number uint64) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readers == nil {
		p.readers = make(map[uint64]int)
	}
	p.readers[number]++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.readers[number]--; p.readers[number] == 0 {
			delete(p.readers, number)
		}
	})
}

// oldest returns the lowest number that is pinned, or number if none is lower.
func (p *pins) oldest(number uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range p.readers {
		number = min(number, n)
	}
	return number
}

// A Pin tells the writer, which may be another process, by which manifest a
// directory is read. It is a file under [PinsDir] that holds the number, and a
// lock on it, which ends with the process that has it.
type Pin struct {
	file *os.File // nil where nothing can be pinned
}

// NewPin pins whatever manifest the directory has, until Release: load the
// manifest afterwards. Where no writer has been that deletes anything, and in a
// directory that cannot be written to, the pin holds nothing, and says so by
// [Pin.Held].
func NewPin(dir string) (*Pin, error) {
	for {
		path := filepath.Join(dir, PinsDir, uuid.NewString())
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			return new(Pin), nil
		}
		if err != nil {
			return nil, fmt.Errorf("pin lake: %w", err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
			return nil, errors.Join(fmt.Errorf("pin lake: %w", err), f.Close(), os.Remove(path))
		}
		// Before it was locked it looked like one that a dead process left.
		if _, err := os.Lstat(path); err == nil {
			return &Pin{f}, nil
		}
		_ = f.Close() // holds nothing
	}
}

// Held reports whether the files of the manifest stay.
func (p *Pin) Held() bool { return p.file != nil }

// At says that manifests before number are no longer read.
func (p *Pin) At(number uint64) error {
	if p.file == nil {
		return nil
	}
	if _, err := p.file.WriteAt(fmt.Appendf(nil, "%020d\n", number), 0); err != nil {
		return fmt.Errorf("move pin of lake: %w", err)
	}
	return nil
}

// Release gives the files up.
func (p *Pin) Release() {
	if p.file == nil {
		return
	}
	_ = os.Remove(p.file.Name()) // or the writer does, when it finds it unlocked
	_ = p.file.Close()
	p.file = nil
}

// oldestPin returns the lowest number that a process has pinned, or number if
// none is lower, and removes what dead processes left.
func oldestPin(dir string, number uint64) (uint64, error) {
	list, err := os.ReadDir(filepath.Join(dir, PinsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("read pins: %w", err)
	}
	for _, d := range list {
		n, alive, err := readPin(filepath.Join(dir, PinsDir, d.Name()))
		if err != nil {
			return 0, fmt.Errorf("read pins: %w", err)
		}
		if alive {
			number = min(number, n)
		}
	}
	return number, nil
}

// readPin returns the number of one pin; 0 as long as it says none.
func readPin(path string) (number uint64, alive bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = f.Close() }() // gives our own lock back
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, false, err
		}
		return 0, false, nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, false, err
	}
	b := make([]byte, 20)
	if n, _ := f.ReadAt(b, 0); n < len(b) { // short: not written yet
		return 0, true, nil
	}
	number, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		number = 0 // then it holds everything
	}
	return number, true, nil
}
