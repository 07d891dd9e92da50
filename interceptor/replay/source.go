// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/docket-audit/docket/internal/profile"
)

// A Source gives recorded events, in the order in which they were stored.
type Source interface {
	// Events returns the canonical bytes of the events that where selects; the
	// empty where selects all. What where may say is up to the Source. One that
	// goes on says by a nil event that nothing has come for a while, so that what
	// has ended is replayed. An event's bytes are not looked at once the next one
	// is asked for.
	Events(ctx context.Context, where string) iter.Seq2[[]byte, error]
}

// A verifier is a Source that can tell whether its events are what was recorded.
type verifier interface {
	Verified(ctx context.Context) error
}

// File returns the events in a file, one JSON object per line, as
// `docket query -o ndjson "SELECT _raw FROM events ORDER BY _commit, _pos"`
// writes them: the events themselves, or objects that hold them as a string in
// _raw. The file may be compressed by gzip.
//
// Verified checks each event's fingerprint, and the hash chain wherever an
// event's predecessor is in the file. It cannot tell whether events were left out.
func File(path string) Source { return file(path) }

type file string

var errWhere = errors.New("a file has no conditions: select when the file is written")

// Events implements [Source].
func (f file) Events(ctx context.Context, where string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if where != "" {
			yield(nil, fmt.Errorf("read %s where %q: %w", string(f), where, errWhere))
			return
		}
		if err := f.lines(ctx, func(raw []byte) bool { return yield(raw, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

// lines calls line for each event, until it returns false.
func (f file) lines(ctx context.Context, line func([]byte) bool) error {
	in, err := os.Open(string(f))
	if err != nil {
		return fmt.Errorf("read recorded events: %w", err)
	}
	defer func() { _ = in.Close() }() // nothing was written
	r := bufio.NewReaderSize(in, 1<<16)
	if magic, err := r.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("read %s: %w", string(f), err)
		}
		defer func() { _ = z.Close() }() // its checksum is judged when the end is read
		r = bufio.NewReaderSize(z, 1<<16)
	}
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read %s: %w", string(f), err)
		}
		text, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s, line %d: %w", string(f), n, err)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			raw, err := unwrap(text)
			if err != nil {
				return fmt.Errorf("read %s, line %d: %w", string(f), n, err)
			}
			if !line(raw) {
				return nil
			}
		}
		if err != nil {
			return nil
		}
	}
}

// unwrap returns the event that a line is, or that it holds in _raw.
func unwrap(text []byte) ([]byte, error) {
	if !bytes.Contains(text, []byte(`"_raw"`)) {
		return text, nil
	}
	if _, err := profile.Parse(text); err == nil {
		return text, nil // an event that mentions the column
	}
	var row struct {
		Raw string `json:"_raw"`
	}
	if err := json.Unmarshal(text, &row); err != nil {
		return nil, err
	}
	if row.Raw == "" {
		return text, nil
	}
	return []byte(row.Raw), nil
}

// Verified says whether the events are what was sealed.
func (f file) Verified(ctx context.Context) error {
	type head struct {
		sequence    int64
		fingerprint string
	}
	heads := map[string]head{}
	var bad error
	err := f.lines(ctx, func(raw []byte) bool {
		var h profile.Header
		if h, bad = profile.Check(raw); bad != nil {
			return false
		}
		last, ok := heads[h.Epoch]
		if ok && h.Sequence == last.sequence+1 && h.PrevFingerprint != last.fingerprint {
			bad = fmt.Errorf("event %s: the hash chain of epoch %s breaks before sequence %d", h.MetadataUID, h.Epoch, h.Sequence)
			return false
		}
		heads[h.Epoch] = head{h.Sequence, h.Fingerprint}
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return fmt.Errorf("verify %s: %w", string(f), err)
	}
	return nil
}
