// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

type loader = func(context.Context, *interceptor.Operation, proto.Message) (proto.Message, error)

func TestStateLoader(t *testing.T) {
	loads := func(state proto.Message, err error) loader {
		return func(context.Context, *interceptor.Operation, proto.Message) (proto.Message, error) { return state, err }
	}
	for _, tc := range []struct {
		name   string
		load   loader
		given  proto.Message // by the adapter
		state  string        // that validate is shown; "" is absent
		denied string        // the reason, "" when it is not
		calls  int
	}{
		{"absent", loads(nil, nil), nil, "", "", 1},
		{"empty", loads(&sandboxv1.Sandbox{}, nil), nil, "{}", "", 1},
		{"there", loads(&sandboxv1.Sandbox{Name: "old"}, nil), nil, `{"name":"old"}`, "", 1},
		{"secrets are left out", loads(&sandboxv1.Credentials{Token: "canary", TokenHint: "h"}, nil), nil, `{"tokenHint":"h"}`, "", 1},
		{"there already", loads(nil, errors.New("not to be asked")), &sandboxv1.Sandbox{Name: "mine"}, `{"name":"mine"}`, "", 0},
		{"error", loads(&sandboxv1.Sandbox{}, errors.New("10.0.0.7: refused")), nil, "", "current state unavailable: 10.0.0.7: refused", 1},
		{"panic", func(context.Context, *interceptor.Operation, proto.Message) (proto.Message, error) { panic("x") }, nil, "", "current state unavailable: the loader panicked: x", 1},
		{"goexit", func(context.Context, *interceptor.Operation, proto.Message) (proto.Message, error) {
			goexit()
			return nil, nil
		}, nil, "", "current state unavailable: the loader ended its goroutine", 1},
		{"heeds its context", func(ctx context.Context, _ *interceptor.Operation, _ proto.Message) (proto.Message, error) {
			<-ctx.Done()
			time.Sleep(time.Millisecond)
			return nil, ctx.Err()
		}, nil, "", "current state unavailable: no answer within 2s", 1},
		{"heeds nothing", func(context.Context, *interceptor.Operation, proto.Message) (proto.Message, error) {
			time.Sleep(time.Minute)
			return nil, nil
		}, nil, "", "current state unavailable: no answer within 2s", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var shown []string
				look := bind("look", interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
					state := e.Phase.String() + " "
					if e.State != nil {
						raw, err := e.State.JSON()
						if err != nil {
							return nil, err
						}
						state += string(raw)
					}
					shown = append(shown, state)
					return &interceptor.Result{Decision: interceptor.Allow}, nil
				}), interceptor.ModifyOperation, interceptor.Validate)
				again := bind("again", look.Impl)
				rename := bind("rename", patches(interceptor.Patch{Op: "replace", Path: "/sandbox/name", Value: []byte(`"b"`)}), interceptor.ModifyOperation)
				look.FailurePolicy, again.FailurePolicy = interceptor.FailOpen, interceptor.FailOpen // which has no say
				rec, h, op := &memory{}, &handler{}, operation()
				chain := start(t, planOf(rename, look, again), rec)
				var calls atomic.Int32 // a loader that was left behind tells nobody
				chain.LoadState = func(ctx context.Context, op *interceptor.Operation, request proto.Message) (proto.Message, error) {
					calls.Add(1)
					if name := request.(*sandboxv1.CreateSandboxRequest).GetSandbox().GetName(); name != "b" || op.Method != "CreateSandbox" || len(shown) != 1 {
						t.Errorf("asked with %s of %s, after %v", name, op.Method, shown)
					}
					return tc.load(ctx, op, request)
				}
				op.State = tc.given
				began := time.Now()
				out := chain.Run(t.Context(), op, h.handle)
				if took := time.Since(began); took > 2*time.Second || int(calls.Load()) != tc.calls || op.State != tc.given {
					t.Errorf("asked %d times, took %s, the operation has %v", calls.Load(), took, op.State)
				}
				if tc.denied != "" {
					if out.Decision != interceptor.Deny || out.Reason != tc.denied || out.By != nil || h.calls != 0 || out.Status.Code() != codes.Unavailable || out.Status.Message() != "current state unavailable" {
						t.Errorf("outcome %+v, handler called %d times", out, h.calls)
					}
					if len(shown) != 1 || len(out.Parts) != 4 || out.Parts[2].Skipped != tc.denied {
						t.Errorf("shown %v, parts %+v", shown, out.Parts)
					}
					return
				}
				want := []string{"modify_operation ", "validate " + tc.state, "validate " + tc.state}
				if diff := cmp.Diff(want, shown); diff != "" || out.Decision != interceptor.Modify {
					t.Errorf("%s%s", out.Reason, diff)
				}
			})
		})
	}
}

// The state is not loaded unless somebody is to be shown it, and a shadow, which
// has no say, has none about the loader either.
func TestStateIsLoadedForWhomItConcerns(t *testing.T) {
	shadow := bind("shadow", allows)
	shadow.Shadow = true
	picky := bind("picky", allows)
	picky.Principals = []string{"sandbox"}
	for name, tc := range map[string]struct {
		bindings []interceptor.Binding
		story    string
		calls    int
	}{
		"no validate":       {[]interceptor.Binding{bind("m", allows, interceptor.ModifyOperation)}, "m? m:allow outcome:allow", 0},
		"denied before":     {[]interceptor.Binding{bind("m", denies, interceptor.ModifyOperation), bind("v", allows)}, "m? m:deny outcome:deny", 0},
		"nobody selected":   {[]interceptor.Binding{picky}, "outcome:allow", 0},
		"a shadow":          {[]interceptor.Binding{shadow}, "shadow? shadow:unavailable=none outcome:allow", 1},
		"a shadow and more": {[]interceptor.Binding{shadow, bind("v", allows)}, "shadow? shadow:unavailable=none outcome:deny", 1},
	} {
		t.Run(name, func(t *testing.T) {
			rec, h, calls := &memory{}, &handler{}, 0
			chain := start(t, planOf(tc.bindings...), rec)
			chain.LoadState = func(context.Context, *interceptor.Operation, proto.Message) (proto.Message, error) {
				calls++
				return nil, errors.New("x")
			}
			chain.Run(t.Context(), operation(), h.handle)
			if diff := cmp.Diff(strings.Fields(tc.story), rec.story()); diff != "" || calls != tc.calls {
				t.Errorf("asked %d times\n%s", calls, diff)
			}
			for _, f := range rec.facts {
				if f.Failure != nil && (!f.Uncalled || f.Waited != 0 || !strings.Contains(f.Failure.Detail, "current state unavailable: x")) {
					t.Errorf("a shadow without its state: %+v", f)
				}
			}
		})
	}
}

// So many loads may be under way and wait, and none is counted that is over.
func TestLoadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		chain := start(t, planOf(bind("b", allows)), interceptor.Discard)
		chain.LoadState = func(context.Context, *interceptor.Operation, proto.Message) (proto.Message, error) {
			<-release
			return nil, nil
		}
		const most = interceptor.DefaultMaxConcurrent
		refused := func(why string) {
			t.Helper()
			out := chain.Run(t.Context(), operation(), (&handler{}).handle)
			if out.Decision != interceptor.Deny || out.Status.Code() != codes.Unavailable || !strings.Contains(out.Reason, why) {
				t.Errorf("outcome %s: %s; want %q", out.Status, out.Reason, why)
			}
		}
		for range most { // each is left behind after 2 s, and stays under way
			go func() { chain.Run(t.Context(), operation(), (&handler{}).handle) }()
		}
		synctest.Wait()
		refused(fmt.Sprintf("%d calls were under way for 2s", most))
		close(release)
		synctest.Wait()
		for range most + 1 {
			if out := chain.Run(t.Context(), operation(), (&handler{}).handle); out.Decision != interceptor.Allow {
				t.Fatalf("when all are over: %s", out.Reason)
			}
		}
	})
}

func TestTheCallerLeavesWhileTheStateIsLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		rec, h := &memory{}, &handler{}
		chain := start(t, planOf(bind("b", allows)), rec)
		chain.StateTimeout = time.Hour
		chain.LoadState = func(context.Context, *interceptor.Operation, proto.Message) (proto.Message, error) {
			cancel()
			time.Sleep(time.Minute)
			return nil, nil
		}
		began := time.Now()
		out := chain.Run(ctx, operation(), h.handle)
		if out.Status.Code() != codes.Canceled || h.calls != 0 || time.Since(began) != 0 {
			t.Errorf("outcome %+v after %s", out, time.Since(began))
		}
	})
}
