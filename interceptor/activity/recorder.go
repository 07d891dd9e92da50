// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// An Ack is the promise for one event that was handed over.
type Ack interface {
	// Spooled returns nil when the event is durable, else why it is not. It
	// returns when ctx ends.
	Spooled(ctx context.Context) error
}

// A Recorder turns facts into events and hands them over. It is safe for use
// by many goroutines at once.
type Recorder struct {
	emit   func(ctx context.Context, e ocsf.Event) Ack
	config Config

	// redacted is told what was left out of events; nil when nobody counts.
	redacted func(do string, n int)

	// digest is that of the plan of the last fact. Plans in force never change,
	// so that the pointer tells which it is.
	digest atomic.Pointer[planDigest]

	// mu guards open, the operations under way. Each entry is used by one
	// goroutine at a time: the chain records the facts of an operation in order.
	mu   sync.Mutex
	open map[interceptor.UID]*operation
}

var _ interceptor.Recorder = (*Recorder)(nil)

type planDigest struct {
	plan   *interceptor.Plan
	digest string
}

// An operation is what the Recorder remembers of one that is under way.
type operation struct {
	// making is held while an event is made of a fact: two operations that were
	// given one uid are a mistake, and no race.
	making sync.Mutex
	seen   seen
	shared *shared
	last   *called // the binding that was named last
	// acks are of the events that no barrier has seen durable; of durable
	// operations only. After the Outcome nothing is added: guarded by mu, since
	// a barrier that was given up may still run beside the next one.
	acks      []Ack
	concluded bool
}

// A called is a binding as events name it. It never changes.
type called struct {
	by, binding string // as the fact has them
	name        string
	endpoint    ocsf.NetworkEndpoint
}

// called returns how a binding is named. A binding's end mostly follows upon its
// beginning: their events share it.
func (op *operation) called(by, binding string) *called {
	if c := op.last; c == nil || c.by != by || c.binding != binding {
		c = new(called)
		c.by, c.binding, c.name = by, binding, text(by+"/"+binding)
		c.endpoint.SvcName, c.endpoint.UID = or(text(by), "unnamed"), text(binding)
		op.last = c
	}
	return op.last
}

// NewRecorder returns a Recorder that hands events to emit, which MUST NOT
// block: it takes the event over and promises with the Ack. Events of facts are
// [Lent]: who has encoded one may give its memory back.
func NewRecorder(emit func(ctx context.Context, e ocsf.Event) Ack, opts ...Option) *Recorder {
	return &Recorder{emit: emit, config: newConfig(opts), open: map[interceptor.UID]*operation{}}
}

// CountRedactions sets what is told how many values an event says were left out
// of it: once per event that was handed over and says so of any, by what was done,
// RedactDrop, RedactMask, RedactHMAC or RedactFailed. It MUST be called before the
// first fact is recorded; count is called by many goroutines at once.
//
// The recorder of package metered calls it, if it stands in front of this one.
func (r *Recorder) CountRedactions(count func(do string, n int)) { r.redacted = count }

// Record implements [interceptor.Recorder].
func (r *Recorder) Record(f interceptor.Fact) {
	op := r.operation(&f)
	var acks [2]Ack
	n := 0
	// Also when emit panics: the chain goes on, and so must the bookkeeping.
	defer func() { r.close(&f, op, acks[:n]) }()
	event, finding := r.events(&f, op)
	left := event.left // the event is emit's, once it is handed over
	acks[n] = r.emit(context.Background(), event)
	n++
	if finding != nil {
		acks[n] = r.emit(context.Background(), finding)
		n++
	}
	left.count(r.redacted)
}

// events makes the event of a fact, and the finding that it raises. Whatever
// happens there is exactly one event: when it cannot be made, one that says so,
// and tells of the fact what cannot be wrong.
func (r *Recorder) events(f *interceptor.Fact, op *operation) (event *draft, finding ocsf.Event) {
	op.making.Lock()
	defer op.making.Unlock()
	w := writer{config: &r.config, op: op}
	defer func() {
		if cause := recover(); cause != nil {
			if f.Time.IsZero() {
				f.Time = time.Now() // our own clock may be what panicked
			}
			op.seen.forget(f.Evaluation)
			event, finding = bare(f, w.digest, w.config, cause)
		}
	}()
	if f.Time.IsZero() {
		f.Time = r.config.Now()
	}
	w.digest = r.planDigest(f.Plan)
	if op.shared == nil {
		op.shared = share(f.Operation, w.config)
	}
	w.shared = op.shared
	w.redact = redacting{rules: op.shared.rules}
	w.fact = w.redact.fact(*f)
	event = w.event()
	finding = w.finding(event)
	if f.Span != nil {
		name := spanEvent
		if f.Evaluation != nil && f.Result == nil && f.Failure == nil {
			name = spanEvaluationEvent
		}
		f.Span.SetAttributes(attribute.String(name, event.Metadata.UID))
	}
	return event, finding
}

// The attributes of spans that name the events about them.
const (
	spanEvent           = "docket.event_uid"            // of the result, failure or outcome
	spanEvaluationEvent = "docket.evaluation_event_uid" // of the evaluation
)

// operation returns the entry of the fact's operation, a new one when it is the
// first fact, or the first of post_commit.
func (r *Recorder) operation(f *interceptor.Fact) *operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	op := r.open[f.Operation.UID]
	if op == nil {
		op = &operation{}
		r.open[f.Operation.UID] = op
	}
	return op
}

// close keeps what a barrier will ask for, and forgets the operation when this
// was the last that is heard of it: the Outcome of an operation that nobody
// waits for, the last end of a binding in post_commit.
func (r *Recorder) close(f *interceptor.Fact, op *operation, acks []Ack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := f.Evaluation; e != nil && e.Phase == interceptor.PostCommit {
		// Facts of post_commit are not waited for. They may come while the
		// barrier of a durable operation is still open, whose entry stays.
		if e.Index == e.Count-1 && (f.Result != nil || f.Failure != nil) && r.open[e.Operation] == op && !op.waitedFor() {
			delete(r.open, e.Operation)
		}
		return
	}
	if f.Operation.Durable {
		op.acks = append(op.acks, acks...)
		op.concluded = f.Outcome != nil
		return
	}
	if f.Outcome != nil {
		delete(r.open, f.Operation.UID)
	}
}

func (op *operation) waitedFor() bool { return op.concluded || len(op.acks) > 0 }

// errUnknown says that a barrier was asked for an operation without facts.
var errUnknown = errors.New("no facts of this operation were recorded, or they were forgotten")

// Barrier implements [interceptor.Recorder]. Asked after the Outcome it forgets
// the operation, whatever comes of waiting.
func (r *Recorder) Barrier(ctx context.Context, uid interceptor.UID) error {
	r.mu.Lock()
	op := r.open[uid]
	if op == nil {
		r.mu.Unlock()
		return fmt.Errorf("wait for operation %s: %w", uid, errUnknown)
	}
	acks := op.acks
	if op.concluded {
		delete(r.open, uid)
	}
	r.mu.Unlock()

	for i, a := range acks {
		if err := a.Spooled(ctx); err != nil {
			r.waited(op, i)
			return fmt.Errorf("wait for operation %s: event %d of %d: %w", uid, i+1, len(acks), err)
		}
	}
	r.waited(op, len(acks))
	return nil
}

// waited drops the first n acks, which were kept. The others stay: the next
// barrier promises for all facts.
func (r *Recorder) waited(op *operation, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.acks = op.acks[min(n, len(op.acks)):]
}

func (r *Recorder) planDigest(p *interceptor.Plan) string {
	if p == nil {
		return ""
	}
	if d := r.digest.Load(); d != nil && d.plan == p {
		return d.digest
	}
	d := &planDigest{plan: p, digest: p.Digest()}
	r.digest.Store(d)
	return d.digest
}

// Open returns the number of operations that the Recorder remembers.
func (r *Recorder) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}
