// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// An Ack is the promise for one event that was handed over.
type Ack interface {
	// Spooled returns nil when the event is durable, else why it is not. It
	// returns when ctx ends.
	Spooled(ctx context.Context) error
}

// Config says how events are written. The zero Config is ready for use.
type Config struct {
	// Gateway names the gateway in src_endpoint.svc_name; default "docket".
	Gateway string
	// Version is that of the product, metadata.product.version.
	Version string
	// Schema is the version of OCSF that events are written in, 1.8.0 or 1.9.0;
	// default 1.8.0. [CheckSchema] tells whether a version is one of the two: of
	// any other no event can be sealed, and what has to be durable is denied.
	Schema string
	// CaptureMax bounds what is captured of a payload, a state, or a result, in
	// bytes of JSON; of anything larger only the digest is kept. Default 256 KiB.
	CaptureMax int

	// Redactor says what is written of an operation, and what is not; nil: all that
	// bindings see.
	Redactor *Redactor

	// Now and NewUID are the clock and the source of event uids (UUIDv7).
	Now    func() time.Time
	NewUID func() string

	product *ocsf.Product // that all events share
}

const (
	defaultGateway    = "docket"
	defaultCaptureMax = 256 << 10
)

// An Option sets a part of the [Config].
type Option func(*Config)

// WithGateway names the gateway.
func WithGateway(name string) Option { return func(c *Config) { c.Gateway = name } }

// WithVersion sets the product's version.
func WithVersion(v string) Option { return func(c *Config) { c.Version = v } }

// WithSchema sets the version of OCSF that events are written in.
func WithSchema(version string) Option { return func(c *Config) { c.Schema = version } }

// WithCaptureMax bounds what is captured, in bytes.
func WithCaptureMax(n int) Option { return func(c *Config) { c.CaptureMax = n } }

// WithRedactor sets what is not written. Nil is none.
func WithRedactor(r *Redactor) Option { return func(c *Config) { c.Redactor = r } }

// WithClock sets the clock.
func WithClock(now func() time.Time) Option { return func(c *Config) { c.Now = now } }

// WithUIDs sets the source of event uids.
func WithUIDs(next func() string) Option { return func(c *Config) { c.NewUID = next } }

func newConfig(opts []Option) Config {
	c := Config{Gateway: defaultGateway, CaptureMax: defaultCaptureMax, Now: time.Now, NewUID: newUID}
	for _, o := range opts {
		o(&c)
	}
	c.Schema = or(c.Schema, ocsf.DefaultVersion)
	c.product = &ocsf.Product{Name: "docket", VendorName: "docket", Version: text(c.Version)}
	return c
}

// A SchemaError says that no events are written in a version of OCSF.
type SchemaError = profile.VersionError

// CheckSchema fails with a [*SchemaError] unless events can be written in the
// version of OCSF; the empty one stands for the default.
func CheckSchema(version string) error { return profile.CheckVersion(version) }

// newer says whether events are of an OCSF that has attributes for what the
// default version has none for.
func (c *Config) newer() bool { return c.Schema != ocsf.DefaultVersion }

func newUID() string {
	// NewV7 fails only when the system has no randomness left to give.
	return uuid.Must(uuid.NewV7()).String()
}

// A Recorder turns facts into events and hands them over. It is safe for use
// by many goroutines at once.
type Recorder struct {
	emit   func(ctx context.Context, e ocsf.Event) Ack
	config Config

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
	seen   seen
	shared *shared
	asked  *ocsf.NetworkEndpoint // the binding that was named last
	// acks are of the events that no barrier has seen durable; of durable
	// operations only. After the Outcome nothing is added: guarded by mu, since
	// a barrier that was given up may still run beside the next one.
	acks      []Ack
	concluded bool
}

// target returns the endpoint that a binding is. A binding's end mostly follows
// upon its beginning: their events share it.
func (op *operation) target(name, uid string) *ocsf.NetworkEndpoint {
	if t := op.asked; t == nil || t.SvcName != name || t.UID != uid {
		op.asked = &ocsf.NetworkEndpoint{SvcName: name, UID: uid}
	}
	return op.asked
}

// NewRecorder returns a Recorder that hands events to emit, which MUST NOT
// block: it takes the event over and promises with the Ack.
func NewRecorder(emit func(ctx context.Context, e ocsf.Event) Ack, opts ...Option) *Recorder {
	return &Recorder{emit: emit, config: newConfig(opts), open: map[interceptor.UID]*operation{}}
}

// Record implements [interceptor.Recorder].
func (r *Recorder) Record(f interceptor.Fact) {
	if f.Time.IsZero() {
		f.Time = r.config.Now()
	}
	op := r.operation(&f)
	w := writer{config: &r.config, fact: &f, op: op}
	var acks []Ack
	// Also when emit panics: the chain goes on, and so must the bookkeeping.
	defer func() { r.close(&f, op, acks) }()
	event, finding := r.events(&w)
	acks = append(acks, r.emit(context.Background(), event))
	if finding != nil {
		acks = append(acks, r.emit(context.Background(), finding))
	}
}

// events makes the event of a fact, and the finding that it raises. Whatever
// happens there is exactly one event: when it cannot be made, one that says so,
// and tells of the fact what cannot be wrong.
func (r *Recorder) events(w *writer) (event *ocsf.APIActivity, finding ocsf.Event) {
	f := w.fact
	defer func() {
		if cause := recover(); cause != nil {
			event, finding = bare(f, w.digest, w.config, cause)
		}
	}()
	w.digest = r.planDigest(f.Plan)
	if w.op.shared == nil {
		w.op.shared = share(f.Operation, w.config)
	}
	w.shared = w.op.shared
	w.redact = w.config.Redactor.redacting(f.Operation.Service + "/" + f.Operation.Method)
	w.fact = w.redact.fact(f)
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
