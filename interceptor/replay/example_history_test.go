// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
)

var exampleModule = filepath.Join("..", "..", "examples", "replaytest")

// TestExampleHistory compares a recording with what the chain would record of the
// same: forty sandboxes, of which twelve ran as root, when that was still allowed.
// The recording is an export of a store, and older than the captions in events of
// today. It is not made anew: what was recorded once has to be read for ever. The
// example's cassette was cut from it.
func TestExampleHistory(t *testing.T) {
	export := replay.File(filepath.Join("testdata", "march.ndjson.gz"))
	was, is := facts(t, export), facts(t, marchAgain(t))
	if diff := cmp.Diff(was, is); diff != "" || len(is) != 40 {
		t.Errorf("%d operations (-recorded +recorded anew):\n%s", len(is), diff)
	}
	cassette := replay.File(filepath.Join(exampleModule, "testdata", "march.ndjson.gz"))
	if diff := cmp.Diff(said(t, export), said(t, cassette)); diff != "" {
		t.Errorf("the example's cassette (-export +cassette):\n%s", diff)
	}
}

// facts are the operations of a history, as JSON.
func facts(t *testing.T, h replay.Source) []string {
	t.Helper()
	var list []string
	for op, err := range activity.Operations(h.Events(t.Context(), "")) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range op.Evaluations {
			payload, err := e.Payload.JSON()
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprintf("%+v of %s: %+v, shown %s: %+v; %+v", op.UID, op.Plan, op.Principal, payload, *e.Result, op.Outcome.Parts))
		}
	}
	return list
}

// marchAgain records what happened in March.
func marchAgain(t *testing.T) *history {
	t.Helper()
	n := 0
	h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "01955a3c-0000-7000-8000-00000000e003", Sequence: 1}}
	now := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)
	next := func(group string) func() string {
		return func() string { n++; return fmt.Sprintf("01955a3c-%s-7000-8000-%012d", group, n) }
	}
	clock := func() time.Time { now = now.Add(7 * time.Millisecond); return now }
	chain, err := interceptor.New(&interceptor.Plan{
		Unmatched: interceptor.UnmatchedAllow,
		Bindings: []interceptor.Binding{{
			Interceptor: "no-root", ID: "no-root", RPCs: []string{"demo.sandbox.v1.Sandboxes/CreateSandbox"},
			Phases: []interceptor.Phase{interceptor.Validate}, Impl: watch(), Endpoint: "unix:///run/docket/no-root.sock",
		}},
	}, activity.NewRecorder(h.emit, activity.WithGateway("gateway-0"), activity.WithVersion("0.1.0"), activity.WithClock(clock), activity.WithUIDs(next("2000"))))
	if err != nil {
		t.Fatal(err)
	}
	uid := next("4000")
	chain.Now, chain.NewUID = clock, func() interceptor.UID { return interceptor.UID(uid()) }
	for i := range 40 {
		user := "app"
		if i%10 < 3 {
			user = "root"
		}
		request, err := structpb.NewStruct(map[string]any{"name": fmt.Sprintf("sandbox-%d", i), "spec": map[string]any{"image": "registry.example/base:1", "runAsUser": user}})
		if err != nil {
			t.Fatal(err)
		}
		chain.Run(context.Background(), &interceptor.Operation{
			Tenant: []string{"acme", "globex"}[i%2], Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox",
			Principal: map[string]string{"kind": "user", "subject": fmt.Sprintf("user-%d", i%7)}, Request: request, Start: clock(),
		}, handler)
	}
	if err := chain.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return h
}
