// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// A Record is an event as it lies in a WAL file.
type Record struct {
	Flags      byte
	Group      uint32
	Sequence   int64
	Epoch, UID string
	Subject    string
	Raw        []byte
	Begin, End int64 // its place in what was read
}

// Header returns the length of the header that a WAL file begins with.
func Header(b []byte) (int64, error) {
	if len(b) < 16 || string(b[:8]) != "DOCKETW1" {
		return 0, errors.New("no header")
	}
	n := int64(binary.LittleEndian.Uint32(b[8:]))
	if 16+n > int64(len(b)) || crc32.Checksum(b[16:16+n], crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(b[12:]) {
		return 0, errors.New("bad header")
	}
	return 16 + n, nil
}

// Records reads records that follow each other, to the end of b.
func Records(b []byte) ([]Record, error) {
	var list []Record
	for at := int64(0); at < int64(len(b)); {
		r, n, err := readRecord(b[at:])
		if err != nil {
			return list, fmt.Errorf("record at %d: %w", at, err)
		}
		r.Begin, r.End = at, at+n
		list = append(list, r)
		at += n
	}
	return list, nil
}

func readRecord(b []byte) (Record, int64, error) {
	if len(b) < 12 || string(b[:4]) != "\xD0WR\x1A" {
		return Record{}, 0, errors.New("no mark")
	}
	n := int64(binary.LittleEndian.Uint32(b[4:]))
	if 12+n > int64(len(b)) || n < 49 {
		return Record{}, 0, errors.New("bad length")
	}
	body := b[12 : 12+n]
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, _ = sum.Write(b[4:8])
	_, _ = sum.Write(body)
	if sum.Sum32() != binary.LittleEndian.Uint32(b[8:]) {
		return Record{}, 0, errors.New("bad checksum")
	}
	r := Record{Flags: body[0], Group: binary.LittleEndian.Uint32(body[1:]), Sequence: int64(binary.LittleEndian.Uint64(body[5:]))}
	rest := body[45:]
	next := func(width int) string {
		n := int(rest[0])
		if width == 2 {
			n += int(rest[1]) << 8
		}
		s := string(rest[width : width+n])
		rest = rest[width+n:]
		return s
	}
	r.Epoch, r.UID, r.Subject = next(1), next(1), next(2)
	r.Raw = rest
	return r, 12 + n, nil
}

// ReadWAL returns what counts of the records in a directory of WAL files, oldest
// first. It fails on whatever is not whole, so it is for a directory whose last
// emitter was closed.
func ReadWAL(dir string) ([]Record, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var list []Record
	number, limit := uint64(0), int64(-1) // of the file before, as the newer one says
	for _, path := range slices.Backward(paths) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		start, err := Header(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		var h struct {
			Number    uint64 `json:"number"`
			Prev      uint64 `json:"prev"`
			PrevBytes int64  `json:"prev_bytes"`
		}
		if err := json.Unmarshal(b[16:start], &h); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if limit >= 0 {
			if h.Number > number {
				continue // an attempt that failed
			}
			if h.Number < number || limit > int64(len(b)) {
				return nil, fmt.Errorf("%s: %d bytes of file %d should count", path, limit, number)
			}
			b = b[:limit]
		}
		records, err := Records(b[start:])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(records, list...)
		if number, limit = h.Prev, h.PrevBytes; number == 0 {
			break
		}
	}
	return list, nil
}

// Message returns r as it is published.
func (r *Record) Message() Message {
	return Message{Subject: r.Subject, Raw: r.Raw, Header: map[string][]string{
		"Docket-Event-Uid": {r.UID}, "Docket-Epoch": {r.Epoch}, "Docket-Sequence": {strconv.FormatInt(r.Sequence, 10)},
	}}
}
