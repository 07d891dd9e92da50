// SPDX-License-Identifier: Apache-2.0

package eventfile

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// fill reads more behind r.end. It reports false when there is no more, and
// r.err says why.
func (r *Reader) fill() bool {
	if r.err != nil {
		return false
	}
	if r.opts.BeforeRead != nil {
		r.opts.BeforeRead()
	}
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buf) {
		// scan lets go of what is longer than MaxEvent, so that this is enough.
		bigger := make([]byte, min(2*len(r.buf), r.opts.MaxEvent+chunk))
		copy(bigger, r.buf)
		r.buf = bigger
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	r.err = io.ErrNoProgress
	return false
}

// take leaves n bytes behind.
func (r *Reader) take(n int) {
	b := r.buf[r.start : r.start+n]
	r.start += n
	r.offset += int64(n)
	r.credit += int64(n)
	if last := bytes.LastIndexByte(b, '\n'); last >= 0 {
		r.line += int64(bytes.Count(b, []byte{'\n'}))
		r.indent, r.lead = 0, true
		b = b[last+1:]
	}
	if r.lead {
		w := white(b)
		r.indent += w
		r.lead = w == len(b)
	}
}

// white counts the white space with which b begins, as JSON defines it.
func white(b []byte) int {
	for i, c := range b {
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return i
		}
	}
	return len(b)
}

// space takes white space, and reports whether there is anything behind it.
func (r *Reader) space() bool {
	for {
		r.take(white(r.buf[r.start:r.end]))
		if r.start < r.end {
			return true
		}
		if !r.fill() {
			return false
		}
	}
}

// mark takes a byte order mark, which begins a file, or one of several that
// were put one behind the other.
func (r *Reader) mark() bool {
	const mark = "\uFEFF"
	for r.end-r.start < len(mark) {
		if !bytes.HasPrefix([]byte(mark), r.buf[r.start:r.end]) || !r.fill() {
			return false
		}
	}
	if !bytes.HasPrefix(r.buf[r.start:r.end], []byte(mark)) {
		return false
	}
	lead := r.lead
	r.take(len(mark))
	r.lead = lead
	return true
}

// restOfLine takes all before the end of the line and returns how it begins.
func (r *Reader) restOfLine() excerpt {
	return r.until(func(c byte) bool { return c == '\n' })
}

// scalar takes a value without brackets, or one byte, and returns how it begins.
func (r *Reader) scalar() excerpt {
	quoted, escaped, n := r.buf[r.start] == '"', false, 0
	return r.until(func(c byte) bool {
		n++
		switch {
		case c == '\n':
			return true
		case n == 1:
			return false
		case !quoted:
			return slices.Contains([]byte(" \t\r,]}[{"), c)
		case n > 2 && escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			quoted = false // and one more
		}
		return false
	})
}

// until takes all before a byte that ends it, and returns how it begins.
func (r *Reader) until(ends func(byte) bool) (e excerpt) {
	for {
		b := r.buf[r.start:r.end]
		n := slices.IndexFunc(b, ends)
		found := n >= 0
		if !found {
			n = len(b)
		}
		e = append(e, b[:min(n, excerptMax+1-len(e))]...)
		r.take(n)
		if found || !r.fill() {
			return e
		}
	}
}

// An excerpt is how a piece of the input begins: up to excerptMax bytes, and one
// more when it goes on.
type excerpt []byte

const (
	excerptMax   = 1 << 10
	excerptShown = 40
)

func (e excerpt) String() string {
	if e = bytes.TrimRight(e, "\r"); len(e) > excerptShown {
		return fmt.Sprintf("%q...", []byte(e[:excerptShown]))
	}
	return fmt.Sprintf("%q", []byte(e))
}
