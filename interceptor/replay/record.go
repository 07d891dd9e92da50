// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A CassetteOption says how a cassette is made.
type CassetteOption func(*cassetteOptions)

type cassetteOptions struct {
	events     []activity.Option
	where      string
	asRecorded bool
	anyOrder   bool
	alsoFailed bool
	config     activity.Config // what events come to
}

func newCassetteOptions(opts []CassetteOption) cassetteOptions {
	var o cassetteOptions
	for _, opt := range opts {
		opt(&o)
	}
	o.config.CaptureMax = defaultCapture
	for _, opt := range o.events {
		opt(&o.config)
	}
	o.config.Schema = cmp.Or(o.config.Schema, ocsf.DefaultVersion)
	return o
}

// defaultCapture is what an [activity.Recorder] captures unless told otherwise.
const defaultCapture = 256 << 10

// Events passes options on to the [activity.Recorder] that makes the events: what
// is redacted, how much is captured, the version of OCSF. The gateway's name, the
// version of the product, the clock and the uids are the cassette's own.
func Events(opts ...activity.Option) CassetteOption {
	return func(o *cassetteOptions) { o.events = append(o.events, opts...) }
}

// Selecting has [Cut] take the events that where selects, in the terms of the
// Source. It SHOULD select whole operations.
func Selecting(where string) CassetteOption { return func(o *cassetteOptions) { o.where = where } }

// AsRecorded keeps uids and times of operations as they were. Then no two
// recordings are the same, but operations can be found where else they are told
// of, and interceptors that judge by the time see the true one. [Cut] always does.
func AsRecorded() CassetteOption { return func(o *cassetteOptions) { o.asRecorded = true } }

// InAnyOrder has the operations of a recording sorted by what they say, also if
// none of them overlapped: for tests that run operations in goroutines that may or
// may not meet.
func InAnyOrder() CassetteOption { return func(o *cassetteOptions) { o.anyOrder = true } }

// EvenIfFailed has [Record] write the cassette of a test that failed.
func EvenIfFailed() CassetteOption { return func(o *cassetteOptions) { o.alsoFailed = true } }

// A Cassette is an [interceptor.Recorder] that keeps the operations of a chain in
// memory, and writes a cassette of them when it is closed. It keeps events, and
// thus nothing that is redacted.
//
// A cassette is minimal: it holds what replay reads, which is how operations were
// asked for, what each binding was shown and what it answered, and what came of
// it. Of attributes it holds those that a binding was shown. It has no trace
// contexts, request ids, durations, hosts, details of transport failures, or
// versions of products.
//
// So recording the same operations again gives the same bytes. To that end uids
// and times are made anew, unless [AsRecorded]: the n-th operation began n seconds
// after the year 2000, nothing took any time, and the last group of an operation's
// uid is n. Operations are in the order in which they began. As soon as any two
// overlapped, that order is an accident, and all are sorted by what they say:
// service, method, and then the bytes of their events.
//
// The plan is named by its digest, made without the endpoints, which tests make up.
type Cassette struct {
	w       io.Writer
	options cassetteOptions
	rec     *activity.Recorder

	mu     sync.Mutex
	link   profile.Link
	raw    [][]byte // in the order in which they were recorded
	err    error    // the first event that could not be kept
	closed bool
	plans  map[*interceptor.Plan]*interceptor.Plan // without endpoints
}

var _ interceptor.Recorder = (*Cassette)(nil)

var (
	errClosed   = errors.New("the cassette is closed")
	errNothing  = errors.New("there are no operations to be written")
	errUnderWay = errors.New("operations are under way, or their post_commit is: close the chain first")
	errSameUID  = errors.New("two operations have the same uid")
)

// NewCassette returns a Cassette that is written to w when it is closed.
func NewCassette(w io.Writer, opts ...CassetteOption) *Cassette {
	c := &Cassette{w: w, options: newCassetteOptions(opts), plans: map[*interceptor.Plan]*interceptor.Plan{}}
	// Until it is written it is an epoch like any other, of which the uids are of
	// no use to anybody.
	c.link = profile.Link{Emitter: cassetteEmitter, Epoch: uuid(0, 0, [32]byte{}), Sequence: 1}
	n := uint64(0)
	uids := func() string { n++; return uuid(0, n, [32]byte{}) }
	var mu sync.Mutex
	c.rec = activity.NewRecorder(c.emit, append(slices.Clone(c.options.events), activity.WithUIDs(func() string {
		mu.Lock()
		defer mu.Unlock()
		return uids()
	}), activity.WithClock(time.Now))...)
	return c
}

// Record implements [interceptor.Recorder].
func (c *Cassette) Record(f interceptor.Fact) {
	f.Plan = c.plan(f.Plan)
	f.Span = nil // the event that it would name is in no store
	c.rec.Record(f)
}

// Barrier implements [interceptor.Recorder]. What a Cassette keeps is as durable
// as it gets.
func (c *Cassette) Barrier(ctx context.Context, operation interceptor.UID) error {
	return c.rec.Barrier(ctx, operation)
}

// plan returns a plan without endpoints, the same one each time.
func (c *Cassette) plan(p *interceptor.Plan) *interceptor.Plan {
	if p == nil || !slices.ContainsFunc(p.Bindings, func(b interceptor.Binding) bool { return b.Endpoint != "" }) {
		return p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	bare, ok := c.plans[p]
	if !ok {
		next := *p
		next.Bindings = slices.Clone(p.Bindings)
		for i := range next.Bindings {
			next.Bindings[i].Endpoint = ""
		}
		bare = &next
		c.plans[p] = bare
	}
	return bare
}

func (c *Cassette) emit(_ context.Context, e ocsf.Event) activity.Ack {
	if e.Common().Metadata.EventCode == profile.KindFinding {
		return spooled{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.keep(e)
	if c.err == nil {
		c.err = err
	}
	return spooled{err}
}

func (c *Cassette) keep(e ocsf.Event) error {
	if c.closed {
		return errClosed
	}
	raw, h, err := profile.AppendSealed(nil, e, c.link)
	if err != nil {
		return err
	}
	c.raw = append(c.raw, raw)
	c.link.Sequence++
	c.link.PrevUID, c.link.PrevFingerprint, c.link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
	if l, ok := e.(activity.Lent); ok {
		l.Release()
	}
	return nil
}

// Close writes the cassette. The chain MUST have been closed. Without operations
// there is none, which is an error.
func (c *Cassette) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return errClosed
	case c.err != nil:
		return fmt.Errorf("write cassette: %w", c.err)
	case c.rec.Open() > 0:
		return fmt.Errorf("write cassette: %w", errUnderWay)
	}
	c.closed = true
	performed, err := performances(c.raw)
	if err != nil {
		return fmt.Errorf("write cassette: %w", err)
	}
	if len(performed) == 0 {
		return fmt.Errorf("write cassette: %w", errNothing)
	}
	r := &rendering{config: c.options.config, orderly: !c.options.asRecorded}
	r.config.Redactor, r.config.CaptureMax = nil, unbounded // both were heeded
	seed, err := r.arrange(performed, c.options.anyOrder)
	if err != nil {
		return err
	}
	var t *tape
	w := bufio.NewWriter(c.w)
	for i, p := range performed {
		events, err := r.events(p.cue, i+1)
		if err != nil {
			return err
		}
		if t == nil {
			if t, err = newTape(w, r.config.Schema, seed, timeOf(events)); err != nil {
				return err
			}
		}
		if err := t.put(events); err != nil {
			return err
		}
	}
	if err := t.end(); err != nil {
		return err
	}
	return w.Flush()
}

func timeOf(events []*ocsf.APIActivity) int64 {
	if len(events) == 0 {
		return cassetteStart.UnixMilli()
	}
	return events[0].Time
}

// A performance is an operation in a recording.
type performance struct {
	cue
	raw          [][]byte
	began, ended int    // numbers of its first event and of its outcome
	content      []byte // what it says, if the order is by that
}

// performances puts the events of each operation together, in the order in which
// the operations began.
func performances(all [][]byte) ([]*performance, error) {
	byUID := map[interceptor.UID]*performance{}
	var list []*performance
	for n, raw := range all {
		uid, key, m, ok, err := marginOf(raw)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		p := byUID[uid]
		if p == nil {
			p = &performance{began: n, ended: len(all)}
			p.margins = map[marginKey]margin{}
			byUID[uid] = p
			list = append(list, p)
		}
		if _, twice := p.margins[key]; twice {
			return nil, fmt.Errorf("operation %s: %w", uid, errSameUID)
		}
		p.raw, p.margins[key] = append(p.raw, raw), m
		if key.kind == profile.KindOutcome {
			p.ended = n
		}
	}
	for _, p := range list {
		for op, err := range activity.Operations(each(p.raw)) {
			if err != nil {
				return nil, err
			}
			p.op = op
		}
	}
	// Of one that is post_commit alone there is nothing to replay.
	return slices.DeleteFunc(list, func(p *performance) bool { return p.op == nil }), nil
}

// arrange puts the operations into an order that is no accident, and returns the
// digest of what they say.
func (r *rendering) arrange(list []*performance, anyOrder bool) (seed [32]byte, err error) {
	h := sha256.New()
	last := -1
	for _, p := range list {
		anyOrder = anyOrder || p.began < last
		last = max(last, p.ended)
		// All of them as if they were the first: else their places would tell.
		if p.content, err = r.content(p.cue); err != nil {
			return seed, err
		}
	}
	if anyOrder && r.orderly { // else each has its own time, and keeps its place
		slices.SortStableFunc(list, func(a, b *performance) int {
			return cmp.Or(cmp.Compare(a.op.Service, b.op.Service), cmp.Compare(a.op.Method, b.op.Method), bytes.Compare(a.content, b.content))
		})
	}
	for _, p := range list {
		_, _ = h.Write(p.content) // never fails
	}
	return [32]byte(h.Sum(nil)), nil
}

// content is what an operation says, as bytes.
func (r *rendering) content(c cue) ([]byte, error) {
	events, err := r.events(c, 1)
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, e := range events {
		if all, err = ocsf.AppendCanonical(all, e); err != nil {
			return nil, fmt.Errorf("write operation %s: %w", c.op.UID, err)
		}
	}
	return all, nil
}

func each(raw [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, r := range raw {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Record returns a Recorder for the chain that a test tests, which makes a
// cassette of what happened there when the test ends:
//
//	chain, err := interceptor.New(plan, replay.Record(t, "testdata/quota.ndjson"))
//
// The cassette is what a [Cassette] writes; it is compressed if the path ends in
// ".gz". It takes the place of an older one in one step, and only if it differs.
// Nothing is written when the test failed, unless [EvenIfFailed], or was skipped,
// and it fails when nothing was recorded. The chain MUST be closed before the test
// ends, at the latest by a t.Cleanup that is registered after Record was called.
func Record(t testing.TB, path string, opts ...CassetteOption) interceptor.Recorder {
	t.Helper()
	var b bytes.Buffer
	c := NewCassette(&b, opts...)
	t.Cleanup(func() {
		t.Helper()
		if t.Skipped() || t.Failed() && !c.options.alsoFailed {
			return
		}
		if err := c.Close(); err != nil {
			t.Errorf("replay: record %s: %v", path, err)
			return
		}
		if err := writeCassette(path, b.Bytes()); err != nil {
			t.Errorf("replay: record %s: %v", path, err)
		}
	})
	return c
}

// writeCassette writes a file in one step, unless it is as it should be.
func writeCassette(path string, content []byte) error {
	if strings.HasSuffix(path, ".gz") {
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err = z.Write(content); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		content = b.Bytes()
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // test data is everybody's to read
		return err
	}
	temp, err := os.CreateTemp(dir, filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}
