// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// A Line is an event that a client was promised something about.
type Line struct {
	Payload  string `json:"payload"`
	Epoch    string `json:"epoch"`
	Sequence int64  `json:"sequence"`
	SHA256   string `json:"sha256"` // of the event's bytes, in hex
	Time     int64  `json:"time"`   // ms since the epoch, when the promise was made
	// Offered says that the event was offered, and nothing more: no promise.
	Offered bool `json:"offered,omitempty"`
}

// A Journal is a file of lines, each on stable storage before Add returns.
type Journal struct {
	mu sync.Mutex
	f  *os.File
}

// OpenJournal opens the journal at path for adding to it.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &Journal{f: f}, nil
}

// Add writes lines.
func (j *Journal) Add(lines ...Line) error {
	var b []byte
	for _, l := range lines {
		one, err := json.Marshal(l)
		if err != nil {
			return err
		}
		b = append(append(b, one...), '\n')
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	// One write, so that only the last line can be torn.
	if _, err := j.f.Write(b); err != nil {
		return err
	}
	return j.f.Sync()
}

// Close closes the file.
func (j *Journal) Close() error { return j.f.Close() }

// ReadJournal returns the lines of the journals at paths. A line that is cut
// short was never added, and a file that is not there has none.
func ReadJournal(paths ...string) ([]Line, error) {
	var lines []Line
	for _, path := range paths {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s := bufio.NewScanner(f)
		for torn := false; s.Scan(); {
			var l Line
			switch err := json.Unmarshal(s.Bytes(), &l); {
			case err == nil:
				lines = append(lines, l)
			case torn:
				_ = f.Close()
				return nil, fmt.Errorf("read journal %s: more than one torn line: %w", path, err)
			default:
				torn = true
			}
		}
		if err := errors.Join(s.Err(), f.Close()); err != nil {
			return nil, err
		}
	}
	return lines, nil
}
