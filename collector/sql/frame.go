// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An answer between two processes is a sequence of frames: a byte that says
// what it is, the length of the rest in four bytes, and the rest. One with
// columns comes first and any number with rows after it, or, where the answer is
// one in Arrow, any number with pieces of that; an error, or the end, is the
// last. An answer that stops before that is cut off, and shows it.
const (
	frameColumns = 'c' // a JSON array of names
	frameRows    = 'r' // a piece of the rows, which need not end where a row does
	frameArrow   = 'a' // a piece of an Arrow IPC stream, or of what describes a statement
	frameError   = 'e' // a failure
	frameEnd     = '.'
)

const maxFrame = 64 << 10

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	b := make([]byte, 0, 5+len(payload))
	b = binary.BigEndian.AppendUint32(append(b, kind), uint32(len(payload)))
	if _, err := w.Write(append(b, payload...)); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// readFrame reads the rest of a frame into buf, of maxFrame bytes.
func readFrame(r io.Reader, buf []byte) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("read answer: a frame of %d bytes", n)
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	return head[0], buf[:n], nil
}

// A framer writes pieces of what is written to it in frames of its kind.
type framer struct {
	w    io.Writer
	kind byte
}

func (f *framer) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), maxFrame)
		if err := writeFrame(f.w, f.kind, rest[:n]); err != nil {
			return len(b) - len(rest), err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

// frames are those of an answer, as they come.
type frames struct {
	r    io.Reader
	buf  []byte
	wait func() (stop func()) // called before each is waited for

	rest []byte // of a piece, for Read
	err  error  // what Read ended with; io.EOF behind the last piece
}

// next returns the next frame, its payload valid until the one after it. The
// error is errDied where there is none, and the answer's where it has one.
func (f *frames) next() (kind byte, payload []byte, err error) {
	stop := f.wait()
	kind, payload, err = readFrame(f.r, f.buf)
	stop()
	switch {
	case err != nil:
		return 0, nil, errDied
	case kind == frameError:
		return 0, nil, readError(payload)
	}
	return kind, payload, nil
}

// Read reads what the pieces of an Arrow stream are pieces of.
func (f *frames) Read(b []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		kind, payload, err := f.next()
		switch {
		case err != nil:
			f.err = err
		case kind == frameEnd:
			f.err = io.EOF
		case kind == frameArrow:
			f.rest = payload
		default:
			f.err = errDied
		}
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// end reads to the end, where nothing but that is left, and returns the error of
// the answer if it has one.
func (f *frames) end() error {
	if _, err := io.Copy(io.Discard, f); err != nil {
		return err
	}
	return nil
}

// A failure is an error of this package on its way between two processes.
type failure struct {
	Kind  string `json:"kind,omitempty"`
	Text  string `json:"text,omitempty"`
	Hint  string `json:"hint,omitempty"`
	Limit int64  `json:"limit,omitempty"`
}

// maxWords bounds the text of an error: a query can make the engine say
// anything at any length.
const maxWords = 4 << 10

func writeError(w io.Writer, err error, limit int64) error {
	f := failure{Text: err.Error()}
	var refused *StatementError
	var failed *QueryError
	switch {
	case errors.As(err, &refused):
		f = failure{Kind: "statement", Text: refused.Found, Hint: refused.hint}
	case errors.As(err, &failed) && outOfMemory(failed.Err.Error()):
		f = failure{Kind: "memory", Limit: limit}
	case errors.As(err, &failed):
		f = failure{Kind: "query", Text: failed.Err.Error()}
	case errors.Is(err, ErrUnavailable):
		f = failure{Kind: "unavailable"}
	}
	f.Text, _, _ = strings.Cut(f.Text, "\n\nStack Trace:") // which the engine adds to errors of its own making
	if len(f.Text) > maxWords {
		f.Text = strings.ToValidUTF8(f.Text[:maxWords], "") + " ..."
	}
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return writeFrame(w, frameError, b)
}

func readError(payload []byte) error {
	var f failure
	if err := json.Unmarshal(payload, &f); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	switch f.Kind {
	case "statement":
		return &StatementError{Found: f.Text, hint: f.Hint}
	case "memory":
		return &MemoryError{f.Limit}
	case "query":
		return &QueryError{errors.New(f.Text)}
	case "unavailable":
		return new(UnavailableError)
	}
	return errors.New(f.Text)
}
