// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/interceptor/replay/served"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A gateway records what its one binding decides into a store, a commit for each
// operation.
type gateway struct {
	t     *testing.T
	chain *interceptor.Chain
	to    *memory.Store
	now   time.Time

	mu    sync.Mutex
	link  profile.Link  // guarded by mu
	batch []store.Entry // guarded by mu
	seq   uint64        // guarded by mu

	commits atomic.Uint64
}

type spooled struct{}

func (spooled) Spooled(context.Context) error { return nil }

func namesWithout(letter string) *interceptor.Plan {
	return &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{{
		Interceptor: "names", ID: "letters", Phases: []interceptor.Phase{interceptor.Validate},
		Impl: interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
			if name, _ := e.Payload.Lookup("/name"); name == letter {
				return &interceptor.Result{Decision: interceptor.Deny, Reason: "not that one"}, nil
			}
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		}),
	}}}
}

func newGateway(t *testing.T, to *memory.Store) *gateway {
	t.Helper()
	g := &gateway{t: t, to: to, now: time.UnixMilli(1_793_215_000_000), link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	var err error
	g.chain, err = interceptor.New(namesWithout("b"), activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		g.mu.Lock()
		defer g.mu.Unlock()
		raw, header, err := profile.SealHeader(e, g.link)
		if err != nil {
			t.Error(err)
			return spooled{}
		}
		g.link.Sequence++
		g.link.PrevUID, g.link.PrevFingerprint, g.link.PrevTypeUID = header.MetadataUID, header.Fingerprint, header.TypeUID
		g.seq++
		g.batch = append(g.batch, store.Entry{Raw: raw, Header: header, StreamSeq: g.seq})
		return spooled{}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.chain.Close(context.Background()) })
	return g
}

func (g *gateway) ask(n int, name string) {
	g.t.Helper()
	request, err := structpb.NewStruct(map[string]any{"name": name})
	if err != nil {
		g.t.Fatal(err)
	}
	g.chain.Run(g.t.Context(), &interceptor.Operation{
		UID: interceptor.UID(fmt.Sprintf("0199d0aa-3000-7000-8000-%012d", n)), Tenant: "acme",
		Service: "demo.Sandboxes", Method: "CreateSandbox", Request: request, Start: g.now.Add(time.Duration(n) * time.Second),
	}, func(_ context.Context, m proto.Message) (proto.Message, error) { return m, nil })
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := g.to.Commit(g.t.Context(), store.Batch{Entries: g.batch, StreamSeq: g.seq}); err != nil {
		g.t.Fatal(err)
	}
	g.batch = nil
	g.commits.Add(1)
}

// TestServed replays what a server holds, and what comes while it is watched.
func TestServed(t *testing.T) {
	kept := memory.New(memory.Options{})
	defer kept.Close()
	g := newGateway(t, kept)
	for n, name := range []string{"a", "b", "c"} {
		g.ask(n, name)
	}
	s := serve.New(serve.Config{Store: kept, Commits: g.commits.Load, Poll: time.Millisecond})
	defer s.Close()
	audit := s.Client(authz.Trusted("test", authz.ByDirectory), "directory")

	for _, c := range []struct {
		since time.Time
		where string
		want  replay.Report
	}{
		{time.Time{}, "", replay.Report{Same: 1, Flips: 2}},
		{g.now.Add(-time.Hour), "", replay.Report{Same: 1, Flips: 2}},
		{time.Now().Add(time.Hour), "", replay.Report{}},
		{time.Time{}, `tenant == "globex"`, replay.Report{}},
	} {
		r, err := replay.Run(t.Context(), served.History(audit, c.since), namesWithout("a"), replay.Where(c.where))
		if err != nil {
			t.Fatal(err)
		}
		if r.Same != c.want.Same || r.Flips != c.want.Flips || r.Operations() != c.want.Operations() {
			t.Errorf("since %v where %q: %s", c.since, c.where, r)
		}
	}
	if _, err := replay.Run(t.Context(), served.History(audit, time.Time{}), namesWithout("a"), replay.Where("no such column")); err == nil {
		t.Error("a condition that is none was taken")
	}
	if _, err := replay.Run(t.Context(), served.History(audit, time.Time{}), namesWithout("a"), replay.RequireVerified()); err == nil {
		t.Error("a server's word was taken for proof")
	}

	stop, ready, told := make(chan struct{}), make(chan struct{}), make(chan struct{})
	done := make(chan *replay.Report, 1)
	go func() {
		defer close(done)
		r, err := replay.Run(t.Context(), listening{served.Live(audit, stop), ready}, namesWithout("a"), replay.Each(func(replay.Diff) { close(told) }))
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	<-ready
	g.ask(3, "b")
	<-told // by nothing but that no more comes
	close(stop)
	if r := <-done; r == nil || r.Flips != 1 || r.Operations() != 1 {
		t.Errorf("of what came: %v", r)
	}
}

// A listening source tells when it begins to listen.
type listening struct {
	replay.Source
	ready chan struct{}
}

func (l listening) Events(ctx context.Context, where string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var once sync.Once
		for raw, err := range l.Source.Events(ctx, where) {
			if raw == nil {
				once.Do(func() { close(l.ready) })
			}
			if !yield(raw, err) {
				return
			}
		}
	}
}
