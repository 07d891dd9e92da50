// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/docket-audit/docket/internal/regular"
)

// messageOverhead is what a message on the stream takes beyond its record's
// bytes: headers and protocol.
const messageOverhead = 200

// A walReader reads records in order while the WAL grows. One goroutine uses it.
type walReader struct {
	w    *wal
	file *os.File // the one read last
	open uint64   // its number

	count int   // of records in the last chunk
	took  int64 // bytes that as many records as were wanted took; 0 when there were fewer

	spare [][]byte // memory of chunks that nobody has any more
}

// A chunk is what a reader returns: records that follow each other. Their
// events are parts of one buffer.
type chunk struct {
	records []record
	next    position // behind them
	damage  []damage // met on the way
	memory  []byte   // that of the events
}

// read returns the records at from: at most maxRecords, and not more than
// maxBytes unless it is one. No records means that there are none yet.
func (r *walReader) read(from position, maxRecords int, maxBytes int64) (chunk, error) {
	for {
		from = r.w.settle(from)
		limit, path, _ := r.limit(from.number)
		if from.offset >= limit {
			return chunk{next: from}, nil
		}
		c, err := r.readFile(path, from, limit, maxRecords, maxBytes)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, regular.ErrNot) {
			_, _, leaving := r.limit(from.number)
			if again := r.w.settle(from); again != from {
				from = again // trimmed since: stored, or given up with its custody stated
				continue
			}
			c = chunk{next: position{from.number, limit}}
			if !leaving { // by us
				c.damage = []damage{{filepath.Base(path), from.offset, limit, "the file is missing"}}
			}
			return c, nil
		}
		if err != nil {
			return chunk{}, fmt.Errorf("read WAL: %w", err)
		}
		if len(c.records) == 0 && len(c.damage) == 0 {
			return chunk{}, fmt.Errorf("read WAL: no progress at %s:%d", filepath.Base(path), from.offset)
		}
		return c, nil
	}
}

func (r *walReader) limit(number uint64) (size int64, path string, leaving bool) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for _, f := range r.w.files {
		if f.number == number {
			return f.size, f.path, f.leaving
		}
	}
	return 0, "", false
}

// readFile reads within one file.
func (r *walReader) readFile(path string, from position, limit int64, maxRecords int, maxBytes int64) (chunk, error) {
	want := min(limit-from.offset, maxBytes)
	if r.took > 0 { // most records are about as long as those before them
		want = min(want, r.took+r.took/8)
	}
	memory, err := r.bytes(path, from, want)
	if err != nil {
		return chunk{}, err
	}
	b := slices.Clip(memory)
	c := chunk{next: from, records: make([]record, 0, r.count), memory: memory}
	defer func() {
		if r.count, r.took = len(c.records), 0; r.count == maxRecords {
			r.took = c.next.offset - from.offset
		}
	}()
	spent := int64(0)
	for at := int64(0); at < int64(len(b)) && len(c.records) < maxRecords; {
		rec, n, err := decodeRecord(b[at:])
		if err == nil {
			spent += int64(n) + messageOverhead
			if spent > maxBytes && len(c.records) > 0 {
				break
			}
			c.records = append(c.records, rec)
			at += int64(n)
			c.next.offset = from.offset + at
			continue
		}
		if len(c.records) > 0 {
			break // cut by the chunk's end, or bad: the next read tells
		}
		if rest := limit - from.offset; int64(len(b)) < rest {
			// Perhaps one record is longer than the last ones, or than a chunk. Look at
			// more, in the end at all that is left.
			if memory, err = r.bytes(path, from, min(rest, max(maxBytes, 2*int64(len(b))))); err != nil {
				return chunk{}, err
			}
			b, c.memory = slices.Clip(memory), memory
			continue
		}
		to := nextRecord(b, at+1)
		c.damage = append(c.damage, damage{filepath.Base(path), from.offset + at, from.offset + to, "records unreadable"})
		at = to
		c.next.offset = from.offset + at
	}
	return c, nil
}

func (r *walReader) bytes(path string, from position, n int64) ([]byte, error) {
	if r.file == nil || r.open != from.number {
		r.close()
		f, err := openFile(path, os.O_RDONLY)
		if err != nil {
			return nil, err
		}
		r.file, r.open = f, from.number
	}
	b := r.room(n)
	got, err := r.file.ReadAt(b, from.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if int64(got) < n {
		// The file lost its end. What is missing reads as zeros, which are no
		// record, so that it is found to be damage.
		clear(b[got:])
	}
	return b, nil
}

// room returns n bytes, whatever is in them.
func (r *walReader) room(n int64) []byte {
	for i, b := range r.spare {
		if int64(cap(b)) >= n {
			r.spare = slices.Delete(r.spare, i, i+1)
			return b[:n]
		}
	}
	return make([]byte, n, n+n/8) // the next chunk is about as long
}

// again takes the memory of a chunk whose events nobody has any more, for those to
// come.
func (r *walReader) again(memory []byte) {
	if len(r.spare) == batchesOpen {
		r.spare = slices.Delete(r.spare, 0, 1) // it did not fit lately
	}
	if cap(memory) <= 2*batchBytes { // one very long event is no measure for the next
		r.spare = append(r.spare, memory)
	}
}

func (r *walReader) close() {
	if r.file != nil {
		_ = r.file.Close() // only read
		r.file = nil
	}
}
