// SPDX-License-Identifier: Apache-2.0

package eventfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

// MaxEvent is the longest event that a [Reader] accepts by default, in bytes. What
// is made of an event takes many times its size, of one full of small numbers
// some fifty times.
const MaxEvent = 16 << 20

// Options of a [Reader]; the zero value is fine.
type Options struct {
	// MaxEvent is the longest event accepted, in bytes; 0 means [MaxEvent]. A
	// longer one is a [Fault], and what follows it is read.
	MaxEvent int

	// BeforeRead, if not nil, is called each time before the input is read,
	// which may take long. What was taken from the Reader before is all there
	// is without waiting.
	BeforeRead func()
}

// An Event is what stands in the place of an event: an object, from bracket to
// bracket, or a short value of JSON that is none.
type Event struct {
	// Data is valid until the next call of [Reader.Next].
	Data []byte

	// Index counts what is in the place of an event, from 0.
	Index int64

	// Line is that on which the event begins, from 1.
	Line int64

	// Bundle is true of what is around the events of a bundle, which came
	// before it: {"events":[],"count":2}. Its Index is that of the first of them.
	Bundle bool
}

// A Fault is a part of the input that holds no event that could be found.
// The [Reader] goes on behind it.
type Fault struct {
	Index  int64 // as in [Event]; -1 for what is not in the place of an event
	Line   int64
	Offset int64 // bytes before it, decompressed
	Reason string
}

func (f *Fault) Error() string { return fmt.Sprintf("line %d: %s", f.Line, f.Reason) }

// A Reader takes the events out of an input, one after the other.
type Reader struct {
	src  io.Reader
	opts Options

	buf        []byte
	start, end int   // buf[start:end] is read and not yet taken
	err        error // of src, kept until all that came before it is taken

	offset int64 // of buf[start]
	line   int64 // of buf[start]
	indent int   // white space at the beginning of that line, in bytes
	lead   bool  // nothing else was in that line so far

	index  int64
	found  bool   // an object was among what there was so far
	open   []list // lists of events that are begun and not ended
	loose  bool   // a list was lost: its commas and brackets are expected at the top
	credit int64  // bytes that may still be looked at twice
	stack  []byte // of scan, kept for its memory
}

// A list is an array of events, or those of a bundle.
type list struct {
	line   int64
	index  int64  // of its first event
	around []byte // a bundle up to the bracket that begins its events; else nil
	expect expect
}

// expect is what may come next in a list.
type expect int

const (
	first    expect = iota // an event or the end
	comma                  // a comma or the end
	event                  // an event
	whatever               // after a fault
)

// maxOpen bounds lists in lists. More than one can only come from lines that
// were cut off within a list, as what follows them looks like a part of it.
const maxOpen = 64

const chunk = 256 << 10

// NewReader returns a Reader of what r holds: JSON objects, arrays of them and
// bundles, with or without white space between them, in UTF-8 with or without a
// byte order mark.
func NewReader(r io.Reader, o Options) *Reader {
	if o.MaxEvent <= 0 {
		o.MaxEvent = MaxEvent
	}
	return &Reader{src: r, opts: o, buf: make([]byte, min(chunk, 2*o.MaxEvent)), line: 1, lead: true, credit: int64(o.MaxEvent)}
}

// Next returns the next event. Its error is a [*Fault] where there is something
// else, and then the next call goes on; [io.EOF] at the end; and any other when
// the input cannot be read further.
func (r *Reader) Next() (Event, error) {
	for {
		if !r.space() {
			return Event{}, r.finish()
		}
		c := r.buf[r.start]
		if len(r.open) > 0 {
			if e, said, err := r.punctuation(c); said {
				return e, err
			}
			if c == ',' || c == ']' {
				continue
			}
		}
		switch {
		case c == '{':
			if e, said, err := r.object(); said {
				return e, err
			}
		case c == '[' && len(r.open) < maxOpen:
			r.open = append(r.open, list{line: r.line, index: r.index})
			r.take(1)
		case len(r.open) == 0 && r.loose && (c == ',' || c == ']' || c == '}'):
			r.take(1)
		case len(r.open) == 0 && r.mark():
		default:
			return r.other()
		}
	}
}

// punctuation takes what is between the events of a list. It reports whether
// that is something to return; else a comma or a bracket was taken as it should
// be, or c begins what is in the place of an event.
func (r *Reader) punctuation(c byte) (e Event, said bool, err error) {
	in := &r.open[len(r.open)-1]
	switch {
	case c == ',' && (in.expect == first || in.expect == event):
		f := r.fault("there is a comma too many")
		r.take(1)
		return e, true, f
	case c == ',':
		in.expect = event
		r.take(1)
	case c == ']' && in.expect == event:
		in.expect = whatever
		return e, true, r.fault("there is a comma too many before the end of the list")
	case c == ']':
		r.take(1)
		closed := *in
		r.open = r.open[:len(r.open)-1]
		if closed.around == nil {
			r.after()
			return e, false, nil
		}
		e, err = r.around(closed)
		return e, true, err
	case in.expect == comma:
		in.expect = whatever
		return e, true, r.fault("there is no comma before it")
	}
	return e, false, nil
}

// after notes that there was something in the place of an event.
func (r *Reader) after() {
	if n := len(r.open); n > 0 {
		r.open[n-1].expect = comma
	}
}

// object takes the object that begins here, or enters it when it is a bundle.
func (r *Reader) object() (e Event, said bool, err error) {
	s := r.scan(nil)
	switch {
	case s.how == bundle:
		around := bytes.Clone(r.buf[r.start : r.start+s.n])
		r.open = append(r.open, list{line: r.line, index: r.index, around: around})
		r.take(s.n)
		return e, false, nil
	case s.how == whole && !s.long:
		e = Event{Data: r.buf[r.start : r.start+s.n], Index: r.index, Line: r.line}
		r.found = true
		r.take(s.n)
		r.after()
	default:
		err = r.lose(s, r.index)
	}
	r.index++
	return e, true, err
}

// around returns what is around the events of a bundle, whose last bracket was
// taken.
func (r *Reader) around(b list) (Event, error) {
	s := r.scan(b.around)
	if s.how != whole || s.long {
		return Event{}, r.lose(s, -1)
	}
	b.around = append(append(b.around, ']'), r.buf[r.start:r.start+s.n]...)
	r.take(s.n)
	r.after()
	return Event{Data: b.around, Index: b.index, Line: b.line, Bundle: true}, nil
}

// lose leaves what scan found to be broken and returns the fault.
func (r *Reader) lose(s scanned, index int64) error {
	if s.how == cut && !errors.Is(r.err, io.EOF) {
		return r.failed()
	}
	f := &Fault{Index: index, Line: s.line, Offset: s.offset, Reason: s.reason}
	if s.how == whole {
		f.Reason = "the event is longer than " + amount(r.opts.MaxEvent)
		r.take(s.n)
		r.after()
		return f
	}
	r.skip(s)
	return f
}

func amount(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// other takes what is in the place of an event and is no object. A value of JSON
// it is up to the caller to refuse, in a list as at the top.
func (r *Reader) other() (Event, error) {
	f, lead := r.fault(""), r.lead
	said := r.scalar()
	text := bytes.TrimSpace(said)
	value := len(said) <= excerptMax && json.Valid(text)
	switch {
	case len(r.open) > 0:
		r.after()
	case !value:
		rest := r.restOfLine()
		said = append(said, rest[:min(len(rest), excerptMax+1-len(said))]...)
		if !lead {
			f.Reason = fmt.Sprintf("there is something behind the event: %s", said)
			return Event{}, f
		}
	}
	if !value && !r.found && bytes.IndexByte(said, 0) >= 0 {
		r.start, r.end, r.err = 0, 0, errBinary
		return Event{}, r.err
	}
	if !value && !r.found && r.index == 0 && f.Line == 1 && csvHead.Match(bytes.TrimSpace(said)) {
		r.start, r.end, r.err = 0, 0, errCSV
		return Event{}, r.err
	}
	f.Index = r.index
	r.index++
	if value {
		return Event{Data: text, Index: f.Index, Line: f.Line}, nil
	}
	f.Reason = fmt.Sprintf("want an event (a JSON object), found %s", said)
	return Event{}, f
}

// errBinary is said once of a file, in place of each of its lines. Behind an
// event it is not: there, zero bytes are what a crash left of some lines.
var errBinary = cli.Hint(errors.New("it is binary, not JSON"), "name files of events as JSON, with or without gzip")

// errCSV is said once of a file that begins with the names of columns, in place of
// each of its lines: it is what `-o csv` printed, or another table.
var (
	errCSV  = cli.Hint(errors.New("it is CSV, which does not hold events as they are stored"), "give events as JSON, one a line: `docket export --to FILE.ndjson` and -o ndjson write them so")
	csvHead = regexp.MustCompile(`^"?[A-Za-z_][A-Za-z0-9_. ]*"?([,;\t]"?[A-Za-z_][A-Za-z0-9_. ]*"?){2,}$`)
)

// finish returns what is to say at the end of what could be read.
func (r *Reader) finish() error {
	if !errors.Is(r.err, io.EOF) {
		return r.failed()
	}
	if n := len(r.open); n > 0 {
		f := r.fault(fmt.Sprintf("the list of events that begins on line %d never ends: the input is cut off", r.open[n-1].line))
		r.open = nil
		return f
	}
	return io.EOF
}

// failed is the error of an input that cannot be read further.
func (r *Reader) failed() error {
	if errors.Is(r.err, errBinary) || errors.Is(r.err, errCSV) {
		return r.err
	}
	return fmt.Errorf("from line %d on: %w", r.line, r.err)
}

// fault returns one that is not in the place of an event.
func (r *Reader) fault(reason string) *Fault {
	return &Fault{Index: -1, Line: r.line, Offset: r.offset, Reason: reason}
}
