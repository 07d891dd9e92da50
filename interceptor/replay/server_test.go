// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/remote"
	"github.com/docket-audit/docket/interceptor/replay"
)

// dial connects to a server until the test ends.
func dial(t *testing.T, endpoint string) *remote.Client {
	t.Helper()
	client, err := remote.Dial(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// TestServer: a gateway whose interceptors are played by the record decides as it
// did with them, whatever they did: what comes of the operations is what came of
// them, event by event.
func TestServer(t *testing.T) {
	for name, play := range screenplays(t) {
		switch name {
		case "redacted", "truncated", "cut_off", "cancelled":
			continue // not all of it was recorded
		}
		t.Run(name, func(t *testing.T) {
			var first, second strings.Builder
			play.cassette(t, &first)
			was := said(t, lines(first.String()))
			names := map[string]bool{}
			for _, b := range play.plan().Bindings {
				names[b.Interceptor] = true
			}
			servers := map[string]*remote.Client{}
			for n := range names {
				servers[n] = dial(t, replay.Server(t, lines(first.String()), replay.As(n)))
			}
			stoodIn := *play
			stoodIn.plan = func() *interceptor.Plan {
				p := play.plan()
				for i := range p.Bindings {
					b := &p.Bindings[i]
					b.Impl, b.Timeout = servers[b.Interceptor], 300*time.Millisecond
				}
				return p
			}
			stoodIn.cassette(t, &second)
			is := said(t, lines(second.String()))
			unsaid := strings.NewReplacer("panic fail", "invalid_result fail", "(panic)", "(invalid_result)")
			digest := func(p *interceptor.Plan) string { return p.Digest() }
			for i := range is {
				is[i] = strings.ReplaceAll(is[i], digest(stoodIn.plan()), digest(play.plan()))
				// The wire has no word for a panic: what is INTERNAL is an invalid result.
				was[i] = unsaid.Replace(was[i])
			}
			if diff := cmp.Diff(was, is); diff != "" {
				t.Errorf("with the server (-then +now):\n%s", diff)
			}
		})
	}
}

// TestServerIsAllOfThem: without a name the server is every interceptor of the
// record in one, in their order.
func TestServerIsAllOfThem(t *testing.T) {
	var b strings.Builder
	(&screenplay{plan: func() *interceptor.Plan {
		p := oldPlan()
		p.Bindings[0].Attributes, p.Bindings[1].Reads = []string{"user_*"}, []string{"tenant"}
		return p
	}, play: func(t testing.TB, run func(*interceptor.Operation) *interceptor.Outcome, _ *interceptor.Chain) {
		for i, r := range requests {
			op := operation(t, i+1, r.name, r.image)
			op.Attributes = map[string]string{"user_agent": "curl"}
			op.Metadata = map[string]map[string]any{"tenant": {"plan": "gold"}}
			run(op)
		}
	}}).cassette(t, &b)
	manifest, err := dial(t, replay.Server(t, lines(b.String()))).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rpcs := []string{"demo.Sandboxes/CreateSandbox"}
	phase := func(p interceptor.Phase) []interceptor.Phase { return []interceptor.Phase{p} }
	want := &interceptor.Manifest{Name: "images+naming+quota+watch", Bindings: []interceptor.Binding{
		{ID: "lower-case", RPCs: rpcs, Phases: phase(interceptor.ModifyOperation), Attributes: []string{"user_agent"}},
		{ID: "allow-list", BindingOrder: 1, RPCs: rpcs, Phases: phase(interceptor.Validate), Reads: []string{"tenant"}},
		{ID: "per-tenant", BindingOrder: 2, RPCs: rpcs, Phases: phase(interceptor.Validate), FailurePolicy: interceptor.FailOpen},
		{ID: "commits", BindingOrder: 3, RPCs: rpcs, Phases: phase(interceptor.PostCommit)},
	}}
	if diff := cmp.Diff(want, manifest); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

func evaluation(t *testing.T, name string, change ...func(*interceptor.Evaluation)) *interceptor.Evaluation {
	t.Helper()
	op := operation(t, 1, name, "base:1")
	e := &interceptor.Evaluation{
		Interceptor: "images", Binding: "allow-list", Phase: interceptor.Validate, Service: op.Service, Method: op.Method,
		Principal: op.Principal, Payload: interceptor.NewPayload(op.Request),
	}
	for _, c := range change {
		c(e)
	}
	return e
}

// TestStrictServer: what was not recorded is an error that says what differs, and
// fails the test with all of it.
func TestStrictServer(t *testing.T) {
	var b strings.Builder
	(&screenplay{plan: oldPlan}).cassette(t, &b)
	for name, c := range map[string]struct {
		ask  *interceptor.Evaluation
		want string
	}{
		"payload": {evaluation(t, "other"), `nothing was recorded of binding allow-list in validate of demo.Sandboxes/CreateSandbox with this input; ` +
			`nearest is evaluation 00dc6acf-afe8-7002-8000-000000000001 of operation 00dc6acf-afe8-7000-8000-000000000001: payload/name is "other", was "web"`},
		"principal": {evaluation(t, "web", func(e *interceptor.Evaluation) {
			e.Principal = map[string]string{"kind": "user", "subject": "mallory"}
		}), `principal/subject is "mallory", was "alice"`},
		"attributes": {evaluation(t, "web", func(e *interceptor.Evaluation) { e.Attributes = map[string]string{"user_agent": "curl"} }), `attributes/user_agent is "curl", was absent`},
		"metadata":   {evaluation(t, "web", func(e *interceptor.Evaluation) { e.Metadata = map[string]map[string]any{"risk": {"score": 1}} }), `metadata/risk is {"score":1}, was absent`},
		"state":      {evaluation(t, "web", func(e *interceptor.Evaluation) { e.State = e.Payload }), `current state is {"image":"base:1","name":"web"}, was absent`},
		"phase":      {evaluation(t, "web", func(e *interceptor.Evaluation) { e.Phase = interceptor.ModifyOperation }), "but of binding allow-list in validate of demo.Sandboxes/CreateSandbox"},
		"binding":    {evaluation(t, "web", func(e *interceptor.Evaluation) { e.Binding = "deny\nlist" }), `nothing was recorded of binding deny\nlist in validate`},
		"method":     {evaluation(t, "web", func(e *interceptor.Evaluation) { e.Method = "DeleteSandbox"; e.Binding = "none" }), "nothing was recorded of binding none in validate of demo.Sandboxes/DeleteSandbox"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stageHand{}
			client := dial(t, replay.Server(s, lines(b.String())))
			if r, err := client.Evaluate(t.Context(), evaluation(t, "web")); err != nil || r.Decision != interceptor.Allow {
				t.Errorf("as recorded: %v, %v", r, err)
			}
			for range 2 {
				_, err := client.Evaluate(t.Context(), c.ask)
				if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v\nwant %s", err, c.want)
				}
			}
			s.end()
			if len(s.errors) != 1 || !strings.Contains(s.errors[0], "2 x ") || !strings.Contains(s.errors[0], c.want) {
				t.Errorf("the test fails with %q", s.errors)
			}
		})
	}
}

// TestLenientServer answers in the order of recording, and counts.
func TestLenientServer(t *testing.T) {
	var b strings.Builder
	(&screenplay{plan: oldPlan}).cassette(t, &b)
	s := &stageHand{}
	client := dial(t, replay.Server(s, lines(b.String()), replay.Lenient()))
	var got []string
	ask := func(e *interceptor.Evaluation) {
		r, err := client.Evaluate(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Decision.String())
	}
	for range len(requests) + 2 {
		ask(evaluation(t, "other"))
	}
	ask(evaluation(t, "web")) // is known
	if diff := cmp.Diff([]string{"allow", "allow", "allow", "allow", "deny", "allow", "allow", "allow", "allow", "allow", "allow"}, got); diff != "" {
		t.Errorf("decisions:\n%s", diff)
	}
	if _, err := client.Evaluate(t.Context(), evaluation(t, "web", func(e *interceptor.Evaluation) { e.Binding = "none" })); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("of a binding that was not there: %v", err)
	}
	s.end()
	if len(s.logs) != 1 || !strings.Contains(s.logs[0], "1 evaluations answered as recorded, 10 by the next") || len(s.errors) != 1 {
		t.Errorf("%q, %q", s.logs, s.errors)
	}
}

// TestServerAnswersInTurn: of equal questions the first is answered first.
func TestServerAnswersInTurn(t *testing.T) {
	var b strings.Builder
	n := 0
	(&screenplay{
		plan: func() *interceptor.Plan {
			return planWith(bind("turns", interceptor.Validate, counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
				if n++; n > 1 {
					return &interceptor.Result{Decision: interceptor.Deny, Reason: "once is enough"}, nil
				}
				return allow()
			})))
		},
		play: named("web", "web"),
	}).cassette(t, &b)
	client := dial(t, replay.Server(t, lines(b.String())))
	var got []string
	for range 3 {
		r, err := client.Evaluate(t.Context(), evaluation(t, "web", func(e *interceptor.Evaluation) { e.Binding = "turns-1" }))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Decision.String())
	}
	if diff := cmp.Diff([]string{"allow", "deny", "deny"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestServerThatCannotBe: what no server can be made of is told when it is made.
func TestServerThatCannotBe(t *testing.T) {
	var one strings.Builder
	(&screenplay{plan: oldPlan}).cassette(t, &one)
	var two strings.Builder
	(&screenplay{plan: func() *interceptor.Plan {
		return planWith(bind("a", interceptor.Validate, says(nil)), bind("b", interceptor.Validate, says(nil), func(b *interceptor.Binding) { b.ID = "a-1" }))
	}}).cassette(t, &two)
	for name, c := range map[string]struct {
		source replay.Source
		opts   []replay.ServerOption
		want   string
	}{
		"nothing":      {lines(nil), nil, "has no evaluations"},
		"nobody":       {lines(one.String()), []replay.ServerOption{replay.As("nobody")}, `by interceptor "nobody"; it has those of "images", "naming", "quota", "watch"`},
		"ids twice":    {lines(two.String()), nil, `both a and b have a binding "a-1"`},
		"broken":       {&history{}, []replay.ServerOption{replay.ServedFrom("broken")}, "on fire"},
		"none of them": {replay.File("testdata/none.ndjson"), nil, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stageHand{}
			func() {
				defer func() {
					if cause := recover(); cause != nil && cause != any(s) {
						panic(cause)
					}
				}()
				replay.Server(s, c.source, c.opts...)
			}()
			if len(s.errors) != 1 || !strings.Contains(s.errors[0], c.want) {
				t.Errorf("%q, want %q", s.errors, c.want)
			}
			s.end()
		})
	}
	if err := func() error {
		client := dial(t, replay.Server(t, lines(two.String()), replay.As("b")))
		_, err := client.Evaluate(t.Context(), evaluation(t, "web", func(e *interceptor.Evaluation) { e.Binding = "a-1" }))
		return err
	}(); err != nil {
		t.Errorf("told by its name: %v", err)
	}
}

// TestServerStops with the test, also while somebody waits for a recorded timeout
// without a deadline of his own, and leaves nothing.
func TestServerStops(t *testing.T) {
	var b strings.Builder
	(&screenplay{
		plan: func() *interceptor.Plan {
			return planWith(bind("slow", interceptor.Validate, says(map[string]func() (*interceptor.Result, error){"web": failsWith(interceptor.Timeout)})))
		},
		play: named("web"),
	}).cassette(t, &b)
	s := &stageHand{}
	endpoint := replay.Server(s, lines(b.String()))
	client := dial(t, endpoint)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := client.Evaluate(context.Background(), evaluation(t, "web", func(e *interceptor.Evaluation) { e.Binding = "slow-1" }))
		if err == nil {
			t.Error("a timeout was answered")
		}
	})
	s.end()
	wg.Wait()
	if len(s.errors) > 0 {
		t.Errorf("%q", s.errors)
	}
	if _, err := os.Stat(strings.TrimPrefix(endpoint, "unix://")); !os.IsNotExist(err) {
		t.Errorf("the socket is there: %v", err)
	}
}

// TestServerOfWhatIsLost: a result that is not in the record, or not as it was, is
// not made up.
func TestServerOfWhatIsLost(t *testing.T) {
	redactor, err := activity.NewRedactor([]activity.Rule{{Name: "notes", Pointers: []string{"/note"}, Do: activity.RedactDrop}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, opt := range map[string]activity.Option{"too large to be recorded": activity.WithCaptureMax(200), "are redacted": activity.WithRedactor(redactor)} {
		play := screenplays(t)["truncated"]
		play.opts = []activity.Option{opt}
		var b strings.Builder
		play.cassette(t, &b)
		s := &stageHand{}
		client := dial(t, replay.Server(s, lines(b.String()), replay.Lenient())) // the first is the one
		_, err := client.Evaluate(t.Context(), evaluation(t, "web", func(e *interceptor.Evaluation) {
			e.Binding, e.Phase = "long-1", interceptor.ModifyOperation
		}))
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		s.end()
		if len(s.errors) != 1 || !strings.Contains(s.errors[0], want) {
			t.Errorf("the test fails with %q", s.errors)
		}
	}
}

// TestServerOfWhatIsNotThere: an evaluation whose input was not recorded is not
// taken for one with another input.
func TestServerOfWhatIsNotThere(t *testing.T) {
	var b strings.Builder
	(&screenplay{plan: func() *interceptor.Plan {
		p := oldPlan()
		p.Bindings[1].Capture = interceptor.CaptureNone
		return p
	}}).cassette(t, &b)
	s := &stageHand{}
	client := dial(t, replay.Server(s, lines(b.String())))
	_, err := client.Evaluate(t.Context(), evaluation(t, "web"))
	if err == nil || !strings.Contains(err.Error(), "payload is not in the record: capture = none") {
		t.Errorf("%v", err)
	}
	s.end()
}
