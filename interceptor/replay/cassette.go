// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// CassetteFormat is the newest format of cassettes that is read, and the one that
// is written.
const CassetteFormat = 1

// A cassette is one complete epoch of its own. Each line is a sealed event: first
// a lifecycle event that states the format, then the events of operations, one
// operation after the other, then a lifecycle event that states how many there
// were. So the hash chain tells what was changed, left out or moved, and the end
// what was cut off.
const (
	// cassetteEmitter signs for the events of a cassette. No emitter of a gateway
	// is called that, so that a cassette without its first line is not taken for
	// an export of a store.
	cassetteEmitter = "docket-cassette"

	// Members of unmapped.docket of the first event and of the last.
	ownLifecycle  = "lifecycle"
	ownCassette   = "cassette" // the format
	ownEvents     = "events"   // how many there are of operations
	ownOperations = "operations"
	ownHead       = "head" // of the hash chain, before the last event

	lifecycleStart = "start"
	lifecycleStop  = "stop"
)

// A CassetteVersionError says that a cassette is of a format that this Docket
// does not know yet.
type CassetteVersionError struct {
	Path   string
	Format int64 // that of the cassette
}

// Error implements error.
func (e *CassetteVersionError) Error() string {
	return fmt.Sprintf("read %s: written by a newer Docket: cassette format %d, this one reads up to %d", e.Path, e.Format, CassetteFormat)
}

// Hint says what helps.
func (*CassetteVersionError) Hint() string {
	return "update github.com/docket-audit/docket, or record the cassette again with the version that you have"
}

// A CassetteError says where a cassette is not what was written.
type CassetteError struct {
	Path  string
	Line  int    // from 1
	Event string // uid of the event in that line, or of the last one before it; "" when there is none
	Err   error
}

// Error implements error.
func (e *CassetteError) Error() string {
	if e.Event == "" {
		return fmt.Sprintf("read cassette %s, line %d: %v", e.Path, e.Line, e.Err)
	}
	return fmt.Sprintf("read cassette %s, line %d, event %s: %v", e.Path, e.Line, e.Event, e.Err)
}

// Unwrap returns the cause.
func (e *CassetteError) Unwrap() error { return e.Err }

// Hint says what helps.
func (*CassetteError) Hint() string {
	return "a cassette is not edited: take the file that was committed, or record it again"
}

var (
	errCutOff    = errors.New("the cassette is cut off: its last line, which states how many events there are, is missing")
	errNoStart   = errors.New("the first line of the cassette is missing")
	errAfterEnd  = errors.New("there is more behind the end of the cassette")
	errFormat    = errors.New("the format of the cassette is no positive integer")
	errStatement = errors.New("the last line states something else than what the cassette holds")
)

// formatOf returns the format of the cassette that a file is whose first line is
// raw; 0 when it is none. It asks nothing of raw but that it be JSON: a later
// format may be of events that cannot be read here.
func formatOf(raw []byte) (int64, error) {
	if !bytes.Contains(raw, []byte(`"`+ownCassette+`"`)) {
		return 0, nil
	}
	var first struct {
		Unmapped struct {
			Docket struct {
				Lifecycle string          `json:"lifecycle"`
				Cassette  json.RawMessage `json:"cassette"`
			} `json:"docket"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(raw, &first); err != nil || len(first.Unmapped.Docket.Cassette) == 0 {
		return 0, nil //nolint:nilerr // what is no JSON is judged as a line of events
	}
	if first.Unmapped.Docket.Lifecycle == lifecycleStop {
		return 0, errNoStart
	}
	var format int64
	if err := json.Unmarshal(first.Unmapped.Docket.Cassette, &format); err != nil || format < 1 {
		return 0, errFormat
	}
	return format, nil
}

// A playback hears the lines of one cassette, in their order, and says which
// one is not what was written.
type playback struct {
	last       profile.Header // of the line before
	events     int64          // of operations
	operations int64
	operation  string // the last one's uid
	over       bool
}

// hear judges the next line.
func (l *playback) hear(raw []byte) (profile.Header, error) {
	if l.over {
		return l.last, errAfterEnd
	}
	h, err := profile.Check(raw)
	if err != nil {
		if parsed, e := profile.Parse(raw); e == nil {
			h = parsed // it has a name to be told by, at least
		}
		return h, err
	}
	first := l.last.Sequence == 0
	switch {
	case first && h.Sequence != 1:
		return h, fmt.Errorf("sequence %d where the first is to be: %w", h.Sequence, errNoStart)
	case !first && h.Epoch != l.last.Epoch:
		return h, fmt.Errorf("it is of epoch %s, and the cassette is %s", h.Epoch, l.last.Epoch)
	case h.Sequence != l.last.Sequence+1:
		return h, fmt.Errorf("sequence %d where %d is to be: lines are missing, repeated or in another order", h.Sequence, l.last.Sequence+1)
	case h.PrevFingerprint != l.last.Fingerprint:
		return h, errors.New("the hash chain breaks: the line before it was replaced")
	}
	switch {
	case first:
	case h.Kind == profile.KindLifecycle:
		if err := l.end(raw); err != nil {
			return h, err
		}
		l.over = true
	default:
		l.events++
		if h.OperationUID != l.operation {
			l.operation = h.OperationUID
			l.operations++
		}
	}
	l.last = h
	return h, nil
}

// end judges the last line by what came before it.
func (l *playback) end(raw []byte) error {
	own, err := ownOf(raw)
	if err != nil {
		return err
	}
	var head struct {
		Epoch       string `json:"epoch"`
		Sequence    int64  `json:"sequence"`
		Fingerprint string `json:"fingerprint"`
	}
	var said, operations int64
	var lifecycle string
	for name, to := range map[string]any{ownLifecycle: &lifecycle, ownEvents: &said, ownOperations: &operations, ownHead: &head} {
		if err := json.Unmarshal(own[name], to); err != nil {
			return fmt.Errorf("%w: unmapped.docket.%s: %w", errStatement, name, err)
		}
	}
	switch {
	case lifecycle != lifecycleStop:
		return fmt.Errorf("%w: it is no end, but %.40q", errStatement, lifecycle)
	case said != l.events || operations != l.operations:
		return fmt.Errorf("%w: %d events of %d operations, there are %d of %d", errStatement, said, operations, l.events, l.operations)
	case head.Epoch != l.last.Epoch || head.Sequence != l.last.Sequence || head.Fingerprint != l.last.Fingerprint:
		return fmt.Errorf("%w: another head of the hash chain", errStatement)
	}
	return nil
}

// ownOf returns the members of unmapped.docket.
func ownOf(raw []byte) (map[string]json.RawMessage, error) {
	var e struct {
		Unmapped struct {
			Docket map[string]json.RawMessage `json:"docket"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("unmapped.docket: %w", err)
	}
	return e.Unmapped.Docket, nil
}

// A tape is a cassette that is being written.
type tape struct {
	w    io.Writer
	link profile.Link
	time int64 // of the last event

	schema             string
	seed               [32]byte
	events, operations int64
}

// newTape writes the first line of a cassette. What tells it from others follows
// from seed, and the time is that of its first operation.
func newTape(w io.Writer, schema string, seed [32]byte, time int64) (*tape, error) {
	t := &tape{w: w, schema: schema, seed: seed, time: time}
	t.link = profile.Link{Emitter: cassetteEmitter, Sequence: 1}
	t.link.Epoch = t.uid(0)
	return t, t.lifecycle(ocsf.ApplicationLifecycleStart, "cassette", map[string]any{ownLifecycle: lifecycleStart, ownCassette: CassetteFormat})
}

// uid returns the n-th uid of the cassette: a UUIDv7 of the time.
func (t *tape) uid(n int64) string {
	return uuid(t.time, uint64(n), t.seed) //nolint:gosec // not negative
}

// put writes the events of one operation.
func (t *tape) put(events []*ocsf.APIActivity) error {
	t.operations++
	for _, e := range events {
		t.events++
		t.time = e.Time
		if err := t.seal(e); err != nil {
			return err
		}
	}
	return nil
}

// end writes the last line.
func (t *tape) end() error {
	return t.lifecycle(ocsf.ApplicationLifecycleStop, fmt.Sprintf("cassette of %d events", t.events), map[string]any{
		ownLifecycle: lifecycleStop, ownCassette: CassetteFormat, ownEvents: t.events, ownOperations: t.operations,
		ownHead: map[string]any{"epoch": t.link.Epoch, "sequence": t.link.Sequence - 1, "fingerprint": t.link.PrevFingerprint},
	})
}

func (t *tape) lifecycle(activity ocsf.ApplicationLifecycleActivityID, message string, docket map[string]any) error {
	product := &ocsf.Product{Name: "docket", VendorName: "docket"}
	e := &ocsf.ApplicationLifecycle{
		ActivityID: activity, StatusID: ocsf.StatusSuccess,
		Base: ocsf.Base{
			Time: t.time, SeverityID: ocsf.SeverityInformational, Message: message,
			Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle, TenantUID: profile.TenantDocket, Version: t.schema, Product: product},
			Unmapped: map[string]any{profile.Unmapped: docket},
		},
	}
	if t.schema == ocsf.DefaultVersion { // as the emitter has it
		e.App = product
	} else {
		e.Application = &ocsf.Application{Name: product.Name}
	}
	return t.seal(e)
}

// seal writes the next line.
func (t *tape) seal(e ocsf.Event) error {
	e.Common().Metadata.UID = t.uid(t.link.Sequence)
	raw, h, err := profile.AppendSealed(nil, e, t.link)
	if err != nil {
		return fmt.Errorf("write cassette: %w", err)
	}
	if len(raw) > maxLine {
		return fmt.Errorf("write cassette: an event of %d bytes; at most %d are read", len(raw), maxLine)
	}
	t.link.Sequence++
	t.link.PrevUID, t.link.PrevFingerprint, t.link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
	if _, err := t.w.Write(append(raw, '\n')); err != nil {
		return fmt.Errorf("write cassette: %w", err)
	}
	return nil
}

// uuid returns a UUIDv7 that is no accident: of a time in milliseconds, a number,
// and a seed that tells it from those of others.
func uuid(ms int64, n uint64, seed [32]byte) string {
	var b [16]byte
	for i := range 6 {
		b[i] = byte(ms >> (8 * (5 - i)))
	}
	b[6], b[7] = 0x70|byte(n>>40&0xf), byte(n>>32)
	copy(b[8:12], seed[:4])
	b[8] = 0x80 | b[8]&0x3f
	for i := range 4 {
		b[12+i] = byte(n >> (8 * (3 - i)))
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// orderly returns the uid of something by its place: of the n-th operation, or
// of an evaluation of it, whose numbers begin at 1. It is read by people, so that
// its last group is the operation's number in decimal.
func orderly(ms int64, n, evaluation int) string {
	return fmt.Sprintf("%08x-%04x-7%03x-8000-%012d", uint32(ms>>16), uint16(ms), evaluation&0xfff, n) //nolint:gosec // cut on purpose
}
