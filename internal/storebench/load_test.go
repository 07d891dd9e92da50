// SPDX-License-Identifier: Apache-2.0

package storebench

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

const service = "demo.sandbox.v1.Sandboxes"

// eventsPerOperation is what the chain of newChain records of one operation:
// three evaluations, three results, the outcome.
const eventsPerOperation = 7

// newChain returns a chain of three bindings that allow, but for the requests
// named "denied", which the last one denies.
func newChain(tb testing.TB, audit string, rec interceptor.Recorder) *interceptor.Chain {
	tb.Helper()
	allow := &interceptor.Result{Decision: interceptor.Allow}
	always := interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { return allow, nil })
	judge := interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if e.Principal["display_name"] == "denied" {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "the image is not on the allow-list", StatusCode: "PERMISSION_DENIED"}, nil
		}
		return allow, nil
	})
	plan := &interceptor.Plan{Unmatched: interceptor.UnmatchedDeny, Audit: audit, AuditDeadline: time.Minute}
	for i, impl := range []interceptor.Func{always, always, judge} {
		name := []string{"naming", "quota", "images"}[i]
		plan.Bindings = append(plan.Bindings, interceptor.Binding{
			Interceptor: name, ID: "create", Order: int32(i), Phases: []interceptor.Phase{interceptor.Validate}, Impl: impl,
			Timeout: time.Minute,
		})
	}
	chain, err := interceptor.New(plan, rec)
	if err != nil {
		tb.Fatal(err)
	}
	return chain
}

// A load makes operations, the same ones for the same seed but for their uids.
// Not for concurrent use.
type load struct {
	random *rand.Rand
	bytes  int // of a request
}

func newLoad(seed uint64, bytes int) *load {
	return &load{random: rand.New(rand.NewPCG(seed, 0)), bytes: bytes}
}

// operation returns the next one, at a time: of 2 tenants and 1000 principals,
// few of which do much; 1 of 20 is denied.
func (l *load) operation(at time.Time) *interceptor.Operation {
	r := l.random
	who := int(1000 * r.Float64() * r.Float64() * r.Float64())
	name := "User " + fmt.Sprint(who)
	if r.IntN(20) == 0 {
		name = "denied"
	}
	return &interceptor.Operation{
		Tenant: []string{"acme", "globex"}[who%2], Service: service, Method: "CreateSandbox", Start: at,
		Principal:  map[string]string{"kind": "user", "subject": fmt.Sprintf("user-%d", who), "display_name": name},
		Attributes: map[string]string{"source.address": fmt.Sprintf("192.0.2.%d:4711", who%250), "user_agent": "grpc-go/1.85"},
		Request:    l.request(),
	}
}

// request has about as many bytes of JSON as were asked for, a third of them
// random, as names, hashes and ids are; large ones are random throughout, so that
// nothing is gained by compressing what was written down.
func (l *load) request() proto.Message {
	r := l.random
	s := &sandboxv1.Sandbox{
		Name: fmt.Sprintf("sandbox-%06d", r.IntN(1e6)), Labels: map[string]string{"team": fmt.Sprintf("team-%d", r.IntN(30)), "stage": "production"},
		Spec: &sandboxv1.SandboxSpec{
			Image: fmt.Sprintf("registry.example/team-%d/service:%d.%d", r.IntN(30), r.IntN(9), r.IntN(40)), Replicas: int32(r.IntN(9)),
			Environment: map[string]string{},
		},
	}
	if l.bytes > 10_000 {
		s.Spec.Environment["CERTIFICATE"] = l.text(l.bytes - 400)
		return &sandboxv1.CreateSandboxRequest{Sandbox: s}
	}
	for i := 0; i*64 < l.bytes-300; i++ {
		s.Spec.Environment[fmt.Sprintf("SERVICE_SETTING_%02d", i)] = "https://service.internal/" + l.text(21)
	}
	return &sandboxv1.CreateSandboxRequest{Sandbox: s}
}

func (l *load) text(n int) string {
	b := make([]byte, n*3/4+1)
	for i := range b {
		b[i] = byte(l.random.Uint32())
	}
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}

func handle(context.Context, proto.Message) (proto.Message, error) {
	return &sandboxv1.CreateSandboxResponse{}, nil
}

// A sealer puts events into hash chains as an emitter does, without one, so
// that entries for a store are made at full speed.
type sealer struct {
	tb      testing.TB
	epochs  map[string]*profile.Link // by tenant
	now     time.Time
	entries []store.Entry
	stream  uint64
}

type acknowledged struct{}

func (acknowledged) Spooled(context.Context) error { return nil }

func (s *sealer) emit(_ context.Context, e ocsf.Event) activity.Ack {
	common := e.Common()
	common.Time = s.now.UnixMilli() // the chain has a clock of its own
	common.Metadata.Product = &ocsf.Product{Name: "docket"}
	link := s.epochs[common.Metadata.TenantUID]
	if link == nil {
		link = &profile.Link{Emitter: "gateway-0", Epoch: newUID()}
		s.epochs[common.Metadata.TenantUID] = link
	}
	link.Sequence++
	raw, fingerprint, err := profile.Seal(e, *link)
	if err != nil {
		s.tb.Fatal(err)
	}
	h, err := profile.Parse(raw)
	if err != nil {
		s.tb.Fatal(err)
	}
	link.PrevUID, link.PrevFingerprint = h.MetadataUID, fingerprint
	if lent, ok := e.(activity.Lent); ok {
		lent.Release()
	}
	s.stream++
	s.entries = append(s.entries, store.Entry{Raw: raw, Header: h, StreamSeq: s.stream})
	return acknowledged{}
}

// recorded gives batches of the entries of so many operations, which follow
// each other by step.
func recorded(tb testing.TB, l *load, operations int, step time.Duration, each func(entries []store.Entry)) {
	tb.Helper()
	const batch = 20_000 // events, as a flush takes at full speed
	s := &sealer{tb: tb, epochs: map[string]*profile.Link{}, now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}
	rec := activity.NewRecorder(s.emit)
	chain := newChain(tb, interceptor.AuditBestEffort, rec)
	for i := range operations {
		s.now = s.now.Add(step)
		if out := chain.Run(tb.Context(), l.operation(time.Now()), handle); status.Code(out.Status.Err()) == codes.Internal {
			tb.Fatal(out.Reason)
		}
		if len(s.entries) >= batch || i+1 == operations {
			each(s.entries)
			s.entries = nil
		}
	}
}

// A supply is the events of operations that a chain recorded, which are emitted again
// and again as those of others; but for what they say of each other's payloads, which
// nobody follows here. Not for concurrent use.
type supply struct {
	operations [][]lent
	next       int
}

// A lent event is a recorder's, as far as an emitter knows; but it stays the supply's.
type lent struct{ *ocsf.APIActivity }

func (lent) Release() {}

// newSupply runs so many operations of l.
func newSupply(tb testing.TB, l *load, operations int) *supply {
	tb.Helper()
	s := &supply{operations: make([][]lent, 0, operations)}
	var events []lent
	rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		// Of the recorder's event, which lends its memory, this is the event without the
		// way to give the memory back.
		event, ok := reflect.ValueOf(e).Elem().FieldByName("APIActivity").Addr().Interface().(*ocsf.APIActivity)
		if !ok {
			tb.Errorf("the recorder's event is %T", e)
		}
		events = append(events, lent{event})
		return acknowledged{}
	})
	chain := newChain(tb, interceptor.AuditBestEffort, rec)
	for range operations {
		chain.Run(tb.Context(), l.operation(time.Now()), handle)
		s.operations, events = append(s.operations, events), nil
	}
	return s
}

// operation returns the events of a new operation, at a time. Those of earlier ones
// that were given out must not be in use any more.
func (s *supply) operation(at time.Time) []lent {
	events := s.operations[s.next]
	s.next = (s.next + 1) % len(s.operations)
	operation := newUID()
	evaluations := map[string]string{} // by what they were
	for _, e := range events {
		e.Time, e.Metadata.UID, e.Metadata.CorrelationUID = at.UnixMilli(), newUID(), operation
		if r := e.API.Request; r != nil {
			if evaluations[r.UID] == "" {
				evaluations[r.UID] = newUID()
			}
			r.UID = evaluations[r.UID]
		}
	}
	return events
}
