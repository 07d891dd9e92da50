// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

func denying(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Deny, Reason: "no"}, nil
}

// post_commit delays no answer: its binding waits until the caller has it.
func TestPostCommitDelaysNoAnswer(t *testing.T) {
	answered, observed := make(chan struct{}), make(chan string, 1)
	b := bind(create, func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		select {
		case <-answered:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		raw, err := e.Payload.JSON()
		observed <- string(raw)
		return &interceptor.Result{Decision: interceptor.Allow}, err
	})
	b.Phases, b.Timeout = []interceptor.Phase{interceptor.PostCommit}, 20*time.Second
	u := newUpstream(t, "", nil)
	u.script(create, answering(func([]byte) ([]byte, error) { return []byte("\x0a\x03\x0a\x01n"), nil }))
	_, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil, b), Descriptors: descriptorSet(t)})
	if _, _, trailer, err := unary(t.Context(), conn, create, nil); err != nil || len(trailer.Get("docket-operation-uid")) != 1 {
		t.Fatalf("%v, trailer %v", err, trailer)
	}
	close(answered)
	if got := <-observed; got != `{"sandbox":{"name":"n"}}` {
		t.Errorf("the binding was shown %s", got)
	}
}

// plansByUID keeps of each operation by which plan it ended.
type plansByUID struct {
	mu    sync.Mutex
	plans map[string]*interceptor.Plan // guarded by mu
}

func (r *plansByUID) Record(f interceptor.Fact) {
	if f.Outcome == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plans[string(f.Operation.UID)] = f.Plan
}

func (*plansByUID) Barrier(context.Context, interceptor.UID) error { return nil }

func (r *plansByUID) digest(t *testing.T, tr transcript) string {
	t.Helper()
	uid := tr.Trailer.Get("docket-operation-uid")
	if len(uid) != 1 {
		t.Fatalf("got %+v", tr)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.plans[uid[0]].Digest()
}

// A plan that is swapped in while the proxy serves is seen by the next call;
// calls under way end by the one that they began with, whatever the new one says
// of their method.
func TestSwapIsSeen(t *testing.T) {
	for name, next := range map[string]*interceptor.Plan{
		"denies":          {Bindings: []interceptor.Binding{bind(create, denying)}, Unmatched: interceptor.UnmatchedAllow},
		"governs nothing": {Unmatched: interceptor.UnmatchedDeny},
	} {
		t.Run(name, func(t *testing.T) {
			began, finish := make(chan struct{}), make(chan struct{})
			slow := bind(create, func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
				close(began)
				select {
				case <-finish:
				case <-ctx.Done():
				}
				return &interceptor.Result{Decision: interceptor.Allow}, nil
			})
			slow.Timeout = 20 * time.Second
			rec, u := &plansByUID{plans: map[string]*interceptor.Plan{}}, newUpstream(t, "", nil)
			u.script(create, answering(func([]byte) ([]byte, error) { return nil, nil }))
			u.script(get, answering(func([]byte) ([]byte, error) { return nil, nil }))
			chain := newChain(t, rec, nil, slow)
			_, conn := serveProxy(t, u, Config{Chain: chain, Descriptors: descriptorSet(t)})
			before := chain.Plan().Digest()
			first := make(chan transcript, 1)
			go func() { first <- converse(t.Context(), conn, create, false, [][]byte{{}}) }()
			<-began
			if tr := converse(t.Context(), conn, get, false, [][]byte{{}}); tr.Code != codes.OK {
				t.Errorf("an ungoverned method, before: %+v", tr)
			}

			retired, err := chain.Swap(next)
			if err != nil {
				t.Fatal(err)
			}
			after := chain.Plan().Digest()
			tr := converse(t.Context(), conn, create, false, [][]byte{{}})
			if tr.Code != codes.PermissionDenied || rec.digest(t, tr) != after || after == before {
				t.Errorf("after: %+v by %s, want %s", tr, rec.digest(t, tr), after)
			}
			if tr, unmatched := converse(t.Context(), conn, get, false, [][]byte{{}}), next.Unmatched == interceptor.UnmatchedDeny; (tr.Code == codes.OK) == unmatched {
				t.Errorf("an ungoverned method, after: %+v", tr)
			}
			select {
			case <-retired:
				t.Error("the old plan is retired, and an operation runs by it")
			default:
			}
			close(finish)
			if tr := <-first; tr.Code != codes.OK || rec.digest(t, tr) != before || u.called(create) != 1 {
				t.Errorf("the call under way: %+v by %s, want %s", tr, rec.digest(t, tr), before)
			}
			<-retired
		})
	}
}

// A stream that passed is refused once a plan is in force that names it.
func TestSwapNamesAStream(t *testing.T) {
	u := newUpstream(t, "v1", streams(t))
	u.script(create, answering(func([]byte) ([]byte, error) { return nil, nil }))
	chain := newChain(t, nil, nil, bind("", allowing))
	_, conn := serveProxy(t, u, Config{Chain: chain})
	for _, step := range []struct {
		rpc  string
		want codes.Code
	}{{"", codes.OK}, {create, codes.FailedPrecondition}, {get, codes.OK}} {
		if _, err := chain.Swap(&interceptor.Plan{Bindings: []interceptor.Binding{bind(step.rpc, allowing)}, Unmatched: interceptor.UnmatchedAllow}); err != nil {
			t.Fatal(err)
		}
		if tr := converse(t.Context(), conn, create, false, [][]byte{{}}); tr.Code != step.want {
			t.Errorf("with a binding of %q: got %+v", step.rpc, tr)
		}
	}
}

// Every answer to a call that is an operation names it, once and truly, and so
// does its record; whatever the upstream or the caller says of it.
func TestEveryAnswerNamesItsOperation(t *testing.T) {
	panics := func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { panic("x") }
	fails := func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return nil, errors.New("broken")
	}
	slow := func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ok := answering(func([]byte) ([]byte, error) { return nil, nil })
	failing := func(ss grpc.ServerStream) error {
		ss.SetTrailer(tails)
		return status.Error(codes.Aborted, "conflict")
	}
	lying := func(ss grpc.ServerStream) error {
		ss.SetTrailer(tails)
		if err := ss.SetHeader(metadata.Pairs("docket-operation-uid", "forged", "docket-audit", "pending")); err != nil {
			return err
		}
		return ok(ss)
	}
	tooLong := make([]byte, DefaultMaxRequestBytes+1)
	for _, c := range []struct {
		name     string
		f        interceptor.Func
		edit     func(*interceptor.Plan)
		script   func(grpc.ServerStream) error
		method   string
		messages [][]byte
		opts     []grpc.CallOption
		want     codes.Code
	}{
		{name: "allow", f: allowing, script: ok, want: codes.OK},
		{name: "deny", f: denying, script: ok, want: codes.PermissionDenied},
		{name: "failure", f: fails, script: ok, want: codes.PermissionDenied},
		{name: "failure, open", f: fails, script: ok, edit: func(p *interceptor.Plan) { p.Bindings[0].FailurePolicy = interceptor.FailOpen }, want: codes.OK},
		{name: "panic", f: panics, script: ok, want: codes.PermissionDenied},
		{name: "timeout", f: slow, script: ok, edit: func(p *interceptor.Plan) { p.Bindings[0].Timeout = time.Millisecond }, want: codes.PermissionDenied},
		{name: "upstream's error", f: allowing, script: failing, want: codes.Aborted},
		{name: "upstream that lies", f: allowing, script: lying, want: codes.OK},
		{name: "upstream without the method", f: allowing, want: codes.Unimplemented},
		{name: "too long", f: allowing, messages: [][]byte{tooLong}, want: codes.ResourceExhausted},
		{name: "too long, packed", f: allowing, messages: [][]byte{tooLong}, opts: []grpc.CallOption{grpc.UseCompressor("gzip")}, want: codes.ResourceExhausted},
		{name: "no message", f: allowing, messages: [][]byte{}, want: codes.InvalidArgument},
		{name: "garbage", f: allowing, messages: [][]byte{{0xff}}, want: codes.InvalidArgument},
		{name: "another codec", f: allowing, opts: []grpc.CallOption{grpc.CallContentSubtype("json")}, want: codes.Unimplemented},
		{name: "no descriptor", f: allowing, edit: func(p *interceptor.Plan) { p.Bindings[0].RPCs = nil }, method: "/unknown.Service/M", want: codes.FailedPrecondition},
		{name: "unmatched", f: allowing, edit: func(p *interceptor.Plan) { p.Unmatched = interceptor.UnmatchedDeny }, method: get, want: codes.PermissionDenied},
		{name: "unknown and unmatched", f: allowing, edit: func(p *interceptor.Plan) { p.Unmatched = interceptor.UnmatchedDeny }, method: "/unknown.Service/M", want: codes.PermissionDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec, u := &recorder{}, newUpstream(t, "", nil)
			if c.script != nil {
				u.script(create, c.script)
			}
			_, conn := serveProxy(t, u, Config{Chain: newChain(t, rec, c.edit, bind(create, c.f)), Descriptors: descriptorSet(t)})
			method, messages := c.method, c.messages
			if method == "" {
				method = create
			}
			if messages == nil {
				messages = [][]byte{{}}
			}
			ctx := metadata.AppendToOutgoingContext(t.Context(), "docket-operation-uid", "forged")
			tr := converse(ctx, conn, method, false, messages, c.opts...)
			op, _ := rec.newest(t)
			if uid := tr.Trailer.Get("docket-operation-uid"); tr.Code != c.want || len(uid) != 1 || uid[0] != string(op.UID) || op.UID == "" {
				t.Errorf("operation %s: got %+v", op.UID, tr)
			}
			if strings.Join(tr.Header.Get("docket-operation-uid"), "")+strings.Join(tr.Trailer.Get("docket-audit"), "") != "" {
				t.Errorf("what is ours to say came from the upstream: %+v", tr)
			}
			if len(rec.outcomes) != 1 {
				t.Errorf("%d outcomes", len(rec.outcomes))
			}
		})
	}
}

// A caller whose deadline has passed has no operation done, and a record of it.
// gRPC resets its stream at that moment, so that a trailer comes to it no more, or
// just in time.
func TestDeadlineDuringEvaluation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		u, client, hung := tonicAt(t, rec)
		_, answer := client.Call(create, encode(t, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "slow"}}), "grpc-timeout", "3S")
		start := time.Now()
		a := <-answer
		told := a.Status == "4" && len(a.Trailer["docket-operation-uid"]) == 1 || a.Status == "reset: CANCEL"
		if err := <-hung; err == nil || time.Since(start) != 3*time.Second || !told {
			t.Errorf("the binding's context ended with %v after %v, the caller got %+v", err, time.Since(start), a)
		}
		synctest.Wait()
		op, outcome := rec.newest(t)
		if code := outcome.Status.Code(); outcome.Ran || outcome.Decision != interceptor.Deny || code != codes.DeadlineExceeded && code != codes.Canceled || op.UID == "" || u.called(create) != 0 {
			t.Errorf("operation %+v, outcome %+v, called %d", op, outcome, u.called(create))
		}
	})
}
