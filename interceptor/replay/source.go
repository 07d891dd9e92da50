// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"unicode/utf8"

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

// File returns the events in a file, one JSON object per line. The file is a
// cassette, as [Record] and [Cut] make them, or an export of a store, as
// `docket export --to march.ndjson` writes it, or
// `docket query -o ndjson "SELECT _raw FROM events ORDER BY _commit, _pos"`:
// the events themselves, or objects that hold them as a string in
// _raw. The file may be compressed by gzip.
//
// A cassette is read whole or not at all: an event that was changed, left out,
// added or moved is a [*CassetteError], and so is an end that is missing. One of a
// later format is a [*CassetteVersionError].
//
// Verified tells the same of a cassette. Of an export it checks each event's
// fingerprint, the hash chain, and that between the first event of an epoch and the
// last none is missing and none comes twice, whatever the order; it cannot tell
// whether events were left out before the first or after the last. Neither is signed:
// who can write the file can write another history.
func File(path string) Source { return file(path) }

type file string

var errWhere = errors.New("a file has no conditions: use Select, or select when the file is written")

// maxLine bounds a line of a file, in bytes: more than four payloads of the
// largest message that there is.
const maxLine = 64 << 20

// Events implements [Source].
func (f file) Events(ctx context.Context, where string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if where != "" {
			yield(nil, fmt.Errorf("read %s where %q: %w", string(f), where, errWhere))
			return
		}
		if err := f.read(ctx, false, func(raw []byte) bool { return yield(raw, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

// Verified says whether the events are what was sealed.
func (f file) Verified(ctx context.Context) error {
	if err := f.read(ctx, true, func([]byte) bool { return true }); err != nil {
		return fmt.Errorf("verify %s: %w", string(f), err)
	}
	return nil
}

// read calls event for each event, until it returns false.
func (f file) read(ctx context.Context, verify bool, event func([]byte) bool) error {
	in, err := os.Open(string(f))
	if err != nil {
		return fmt.Errorf("read recorded events: %w", err)
	}
	defer func() { _ = in.Close() }() // nothing was written
	r := reel{path: string(f), verify: verify, limit: maxLine}
	return r.read(ctx, in, event)
}

// A reel is a file that is being read.
type reel struct {
	path   string
	verify bool // also of an export
	limit  int  // of a line, in bytes

	cassette *playback           // nil of an export
	epochs   map[string][]strand // of an export
	line     int
}

var (
	errLong    = errors.New("the line is too long")
	errNotUTF8 = errors.New("the line is not UTF-8")
)

func (r *reel) read(ctx context.Context, in io.Reader, event func([]byte) bool) error {
	b := bufio.NewReaderSize(in, 1<<16)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return fmt.Errorf("read %s: %w", r.path, err)
		}
		defer func() { _ = z.Close() }() // its checksum is judged when the end is read
		b = bufio.NewReaderSize(z, 1<<16)
	}
	last := 0 // line with an event in it
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read %s: %w", r.path, err)
		}
		r.line++
		text, err := r.next(b)
		if more = !errors.Is(err, io.EOF); more && err != nil {
			return r.wrong("", err)
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		raw, err := r.judge(text, last == 0)
		if err != nil {
			return err
		}
		last = r.line
		if !event(raw) {
			return nil
		}
	}
	if r.cassette != nil && !r.cassette.over {
		return &CassetteError{r.path, last, r.cassette.last.MetadataUID, errCutOff}
	}
	if err := whole(r.epochs); err != nil {
		return fmt.Errorf("read %s: %w", r.path, err)
	}
	return nil
}

// next returns the next line, which is the caller's. The last one comes with
// [io.EOF].
func (r *reel) next(b *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		if len(line)+len(part) > r.limit {
			return nil, fmt.Errorf("%w: more than %d bytes", errLong, r.limit)
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// judge returns the event that a line is.
func (r *reel) judge(text []byte, first bool) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, r.wrong("", errNotUTF8)
	}
	raw, err := unwrap(text)
	if err != nil {
		return nil, r.wrong("", err)
	}
	if first {
		format, err := formatOf(raw)
		switch {
		case err != nil:
			return nil, &CassetteError{r.path, r.line, "", err}
		case format > CassetteFormat:
			return nil, &CassetteVersionError{r.path, format}
		case format > 0:
			r.cassette = &playback{}
		}
	}
	if r.cassette != nil {
		h, err := r.cassette.hear(raw)
		if err != nil {
			return nil, r.wrong(h.MetadataUID, err)
		}
		return raw, nil
	}
	return raw, r.exported(raw)
}

// exported judges an event of an export.
func (r *reel) exported(raw []byte) error {
	check := profile.Parse
	if r.verify {
		check = profile.Check
	}
	h, err := check(raw)
	if err != nil {
		return r.wrong("", err)
	}
	if h.Emitter == cassetteEmitter {
		return &CassetteError{r.path, r.line, h.MetadataUID, errNoStart}
	}
	if !r.verify {
		return nil
	}
	strands, err := woven(r.epochs[h.Epoch], &h)
	if err != nil {
		return r.wrong(h.MetadataUID, err)
	}
	if r.epochs == nil {
		r.epochs = map[string][]strand{}
	}
	r.epochs[h.Epoch] = strands
	return nil
}

// wrong says of which line an error is.
func (r *reel) wrong(event string, err error) error {
	if r.cassette != nil {
		return &CassetteError{r.path, r.line, cmp.Or(event, r.cassette.last.MetadataUID), err}
	}
	if event != "" {
		return fmt.Errorf("read %s, line %d, event %s: %w", r.path, r.line, event, err)
	}
	return fmt.Errorf("read %s, line %d: %w", r.path, r.line, err)
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
