// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/docket-audit/docket/internal/regular"
)

// lookAgain is how long what a file said is taken for what it says.
const lookAgain = time.Second

// watched is a file that may be replaced while it is in use. It is read again when
// it is asked for, at most once a second; what it holds is compared, so that no
// granularity of a clock hides a change. Of a file that turned bad the last good
// content stays in force.
type watched[T any] struct {
	path  string
	most  int64
	parse func([]byte) (T, error)
	// mayLack lets the file be missing: then its value is the zero one.
	mayLack bool
	now     func() time.Time
	log     *slog.Logger

	mu    sync.Mutex // guards what follows
	last  time.Time
	bytes []byte
	value T
	told  string // the last error, which is logged once
}

// open reads the file for the first time. What is wrong with it is an error now.
func (w *watched[T]) open() error {
	w.last = w.now()
	b, err := w.read()
	if err != nil {
		return err
	}
	if b == nil {
		return nil
	}
	value, err := w.parse(b)
	if err != nil {
		return err
	}
	w.bytes, w.value = b, value
	return nil
}

// read returns the file's bytes; nil for one that is missing and may be.
func (w *watched[T]) read() ([]byte, error) {
	b, err := regular.ReadAtMost(w.path, w.most)
	if w.mayLack && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && b == nil {
		b = []byte{}
	}
	return b, err
}

// get returns what the file says now.
func (w *watched[T]) get() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := w.now(); now.Sub(w.last) >= lookAgain || now.Before(w.last) {
		w.last = now
		w.look()
	}
	return w.value
}

func (w *watched[T]) look() {
	b, err := w.read()
	switch {
	case err == nil && b == nil:
		if w.bytes != nil {
			w.log.Warn("a file of authorization is gone: what it held is not taken any more", "file", w.path)
		}
		w.bytes, w.value, w.told = nil, *new(T), ""
		return
	case err == nil && w.bytes != nil && bytes.Equal(b, w.bytes):
		w.told = ""
		return
	case err == nil:
		var value T
		if value, err = w.parse(b); err == nil {
			w.bytes, w.value, w.told = b, value, ""
			w.log.Info("read a file of authorization again, as it has changed", "file", w.path)
			return
		}
	}
	if said := err.Error(); said != w.told {
		w.told = said
		w.log.Warn("a file of authorization cannot be used: what it said before stays in force", "file", w.path, "error", err)
	}
}
