// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// A Line is one call in a journal. OperationUID is absent when none was
// answered, which at the client means that the call never came back.
type Line struct {
	OperationUID string    `json:"operation_uid,omitempty"`
	Method       string    `json:"method"`
	Status       string    `json:"status"`
	Time         time.Time `json:"time"`
	Tenant       string    `json:"tenant,omitempty"`
}

// A Journal is an append-only file of [Line]s.
type Journal struct {
	mu sync.Mutex // guards f, so that lines never mix
	f  *os.File
}

// OpenJournal opens the journal at path, which earlier runs may have written.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	// A line that a crash tore never counted: whoever wrote it had not gone on.
	if err := dropTorn(f); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), f.Close())
	}
	return &Journal{f: f}, nil
}

func dropTorn(f *os.File) error {
	size, err := f.Seek(0, 2)
	if err != nil {
		return err
	}
	end := size
	for b := []byte{0}; end > 0; end-- {
		if _, err := f.ReadAt(b, end-1); err != nil {
			return err
		}
		if b[0] == '\n' {
			break
		}
	}
	if end == size {
		return nil
	}
	return f.Truncate(end)
}

// Write appends a line and returns when it is on disk.
func (j *Journal) Write(l Line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.f.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// Close closes the file.
func (j *Journal) Close() error { return j.f.Close() }
