// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A counter is an interceptor that counts its calls.
type counter struct {
	interceptor.Func
	calls atomic.Int64
}

func (c *counter) Evaluate(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	c.calls.Add(1)
	return c.Func(ctx, e)
}

func counting(f func(e *interceptor.Evaluation) (*interceptor.Result, error)) *counter {
	return &counter{Func: func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) { return f(e) }}
}

func allow() (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

func at(e *interceptor.Evaluation, pointer string) string {
	v, ok := e.Payload.Lookup(pointer)
	if !ok {
		return ""
	}
	return fmt.Sprint(v)
}

// naming puts names into lower case.
func naming() *counter {
	return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		name := at(e, "/name")
		if lower := strings.ToLower(name); lower != name {
			value, _ := json.Marshal(lower)
			return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "replace", Path: "/name", Value: value}}}, nil
		}
		return allow()
	})
}

// images allows the images on a list.
func images(list ...string) *counter {
	return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		if image := at(e, "/image"); !slices.Contains(list, image) {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: fmt.Sprintf("image %q is not on the list", image)}, nil
		}
		return allow()
	})
}

// quota times out for names that end in "slow".
func quota() *counter {
	return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		if strings.HasSuffix(at(e, "/name"), "slow") {
			return nil, &interceptor.Failure{Kind: interceptor.Timeout, Detail: "no answer"}
		}
		return allow()
	})
}

// watch looks at what was committed.
func watch() *counter {
	return counting(func(*interceptor.Evaluation) (*interceptor.Result, error) { return allow() })
}

func planOf(naming, images, quota, watch interceptor.Interceptor, more ...interceptor.Binding) *interceptor.Plan {
	phases := func(p ...interceptor.Phase) []interceptor.Phase { return p }
	return &interceptor.Plan{
		Unmatched: interceptor.UnmatchedAllow,
		Bindings: append([]interceptor.Binding{
			{Interceptor: "naming", ID: "lower-case", Order: 1, Phases: phases(interceptor.ModifyOperation), Impl: naming},
			{Interceptor: "images", ID: "allow-list", Order: 2, Phases: phases(interceptor.Validate), Impl: images},
			{Interceptor: "quota", ID: "per-tenant", Order: 3, Phases: phases(interceptor.Validate), FailurePolicy: interceptor.FailOpen, Impl: quota},
			{Interceptor: "watch", ID: "commits", Order: 4, Phases: phases(interceptor.PostCommit), Impl: watch},
		}, more...),
	}
}

// A history is events as a store holds them.
type history struct {
	mu   sync.Mutex
	link profile.Link
	raw  [][]byte
	lose func(ocsf.Event) bool // events that never get durable
	opts []activity.Option
}

type ack struct{ err error }

func (a ack) Spooled(context.Context) error { return a.err }

func (h *history) emit(_ context.Context, e ocsf.Event) activity.Ack {
	h.mu.Lock()
	defer h.mu.Unlock()
	raw, header, err := profile.SealHeader(e, h.link)
	if err != nil {
		panic(err)
	}
	h.link.Sequence++
	h.link.PrevUID, h.link.PrevFingerprint, h.link.PrevTypeUID = header.MetadataUID, header.Fingerprint, header.TypeUID
	h.raw = append(h.raw, raw)
	if h.lose != nil && h.lose(e) {
		return ack{errors.New("disk full")}
	}
	return ack{}
}

func (h *history) Events(_ context.Context, where string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if where == "broken" {
			yield(nil, errors.New("store is on fire"))
			return
		}
		for _, raw := range h.raw {
			if !yield(raw, nil) {
				return
			}
		}
	}
}

// requests are what is asked in the history: names, images, and what becomes
// of them under the old plan.
var requests = []struct{ name, image string }{
	{"web", "base:1"},
	{"Web-2", "base:1"},
	{"web-3", "base:2"},
	{"web-slow", "base:1"},
	{"web-4", "evil:1"},
	{"Web-slow", "base:2"},
	{"fails", "base:1"},
	{"web-5", "base:2"},
}

func request(t testing.TB, name, image string) proto.Message {
	t.Helper()
	s, err := structpb.NewStruct(map[string]any{"name": name, "image": image})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func handler(_ context.Context, m proto.Message) (proto.Message, error) {
	s, _ := m.(*structpb.Struct)
	if s.GetFields()["name"].GetStringValue() == "fails" {
		return nil, status.Error(codes.AlreadyExists, "it is there")
	}
	return m, nil
}

// record runs the requests under the old plan.
func record(t testing.TB, plan *interceptor.Plan, opts ...activity.Option) *history {
	t.Helper()
	h := &history{opts: opts, link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	h.run(t, plan, func(chain *interceptor.Chain) {
		for i, r := range requests {
			chain.Run(context.Background(), operation(t, i+1, r.name, r.image), handler)
		}
	})
	return h
}

func operation(t testing.TB, n int, name, image string) *interceptor.Operation {
	t.Helper()
	return &interceptor.Operation{
		UID: interceptor.UID(fmt.Sprintf("0199d0aa-3000-7000-8000-%012d", n)), Tenant: "acme",
		Service: "demo.Sandboxes", Method: "CreateSandbox", Principal: map[string]string{"kind": "user", "subject": "alice"},
		Request: request(t, name, image), Start: time.UnixMilli(1793215000000 + int64(n)),
	}
}

func (h *history) run(t testing.TB, plan *interceptor.Plan, script func(*interceptor.Chain)) {
	t.Helper()
	chain, err := interceptor.New(plan, activity.NewRecorder(h.emit, h.opts...))
	if err != nil {
		t.Fatal(err)
	}
	script(chain)
	if err := chain.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func oldPlan() *interceptor.Plan {
	return planOf(naming(), images("base:1", "base:2"), quota(), watch())
}
