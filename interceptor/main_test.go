// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	service = "demo.sandbox.v1.Sandboxes"
	create  = service + "/CreateSandbox"
)

// memory is a Recorder that remembers what it was told. It keeps what facts
// point to only after the operation is over, which tests know.
type memory struct {
	mu       sync.Mutex
	facts    []interceptor.Fact
	statuses []string // of the outcomes, when they were recorded
	barriers []int    // facts known at each barrier

	barrier func(ctx context.Context, n int) error // of the n-th call, from 1; nil always succeeds
}

func (m *memory) Record(f interceptor.Fact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.facts = append(m.facts, f)
	if f.Outcome != nil {
		m.statuses = append(m.statuses, f.Outcome.Status.Code().String())
	}
}

func (m *memory) Barrier(ctx context.Context, _ interceptor.UID) error {
	m.mu.Lock()
	m.barriers = append(m.barriers, len(m.facts))
	n := len(m.barriers)
	m.mu.Unlock()
	if m.barrier == nil {
		return nil
	}
	return m.barrier(ctx, n)
}

// story is what was recorded, one word per fact.
func (m *memory) story() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var words []string
	for _, f := range m.facts {
		words = append(words, word(f))
	}
	return words
}

func word(f interceptor.Fact) string {
	switch {
	case f.Outcome != nil:
		return "outcome:" + f.Outcome.Decision.String()
	case f.Result != nil:
		return f.Binding.ID + ":" + f.Result.Decision.String()
	case f.Failure != nil:
		return fmt.Sprintf("%s:%s=%s", f.Binding.ID, f.Failure.Kind, f.Failure.Decision)
	}
	return f.Binding.ID + "?"
}

func (m *memory) failure(t *testing.T) *interceptor.Failure {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.facts {
		if f.Failure != nil {
			return f.Failure
		}
	}
	t.Fatal("no failure was recorded")
	return nil
}

func (m *memory) result(t *testing.T, id string) *interceptor.Result {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.facts {
		if f.Result != nil && f.Binding.ID == id {
			return f.Result
		}
	}
	t.Fatalf("no result of %s was recorded", id)
	return nil
}

// handler counts its calls and answers with a session.
type handler struct {
	mu     sync.Mutex
	calls  int
	given  proto.Message
	err    error
	before func()
}

func (h *handler) handle(_ context.Context, request proto.Message) (proto.Message, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	h.given = request
	if h.before != nil {
		h.before()
	}
	if h.err != nil {
		return nil, h.err
	}
	return &sandboxv1.CreateSandboxResponse{Session: &sandboxv1.Session{Id: "s-1", AccessToken: "canary"}}, nil
}

// answers makes an interceptor of one answer.
func answers(r *interceptor.Result, err error) interceptor.Interceptor {
	return interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { return r, err })
}

var (
	allows = answers(&interceptor.Result{Decision: interceptor.Allow}, nil)
	denies = answers(&interceptor.Result{Decision: interceptor.Deny, Reason: "no"}, nil)
	breaks = answers(nil, errors.New("10.0.0.7:443: connection reset"))
)

// patches makes an interceptor that asks for patches.
func patches(p ...interceptor.Patch) interceptor.Interceptor {
	return answers(&interceptor.Result{Decision: interceptor.Modify, Patches: p}, nil)
}

func bind(id string, impl interceptor.Interceptor, phases ...interceptor.Phase) interceptor.Binding {
	if len(phases) == 0 {
		phases = []interceptor.Phase{interceptor.Validate}
	}
	return interceptor.Binding{Interceptor: "i", ID: id, RPCs: []string{create}, Phases: phases, Impl: impl}
}

func planOf(bindings ...interceptor.Binding) *interceptor.Plan {
	for i := range bindings {
		bindings[i].BindingOrder = int32(i)
	}
	return &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: bindings}
}

// start makes a chain that is closed, with all it started, when the test ends.
func start(t *testing.T, plan *interceptor.Plan, rec interceptor.Recorder) *interceptor.Chain {
	t.Helper()
	chain, err := interceptor.New(plan, rec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := chain.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return chain
}

func operation() *interceptor.Operation {
	return &interceptor.Operation{
		Service: service, Method: "CreateSandbox", Principal: map[string]string{"kind": "user", "subject": "alice"},
		Request: &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{
			Name: "a", ResourceVersion: 7,
			Spec: &sandboxv1.SandboxSpec{
				Image: "debian", Replicas: 5,
				Credentials: &sandboxv1.Credentials{Token: "canary", TokenHint: "hint", Secrets: map[string]string{"k": "canary"}},
			},
		}},
	}
}

func goexit() { runtime.Goexit() }
