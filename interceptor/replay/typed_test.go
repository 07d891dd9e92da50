// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// TestTypedMessages: a chain that knows the types of its messages, with secrets in
// the request, in the current state and in the response, and numbers that JSON has
// as texts. No cassette has a secret, what is replayed of it comes out the same,
// and a gateway whose interceptors are played by it shows them the same.
func TestTypedMessages(t *testing.T) {
	const canary = "hunter2"
	sandbox := func(name string, replicas int32) *sandboxv1.Sandbox {
		return &sandboxv1.Sandbox{
			Name: name, Labels: map[string]string{"env": "prod"}, ResourceVersion: 1<<63 + 1, Paused: proto.Bool(false),
			Spec: &sandboxv1.SandboxSpec{
				Image: "base:1", Replicas: replicas, Tier: sandboxv1.Tier_TIER_LARGE, Ports: []*sandboxv1.Port{{Number: 1 << 31, Name: "web"}},
				Credentials: &sandboxv1.Credentials{Token: canary, TokenHint: "of the staging", Secrets: map[string]string{"a": canary}},
			},
		}
	}
	plan := func(first, second, last interceptor.Interceptor) *interceptor.Plan {
		return planWith(bind("tier", interceptor.ModifyOperation, first), bind("replicas", interceptor.Validate, second), bind("watch", interceptor.PostCommit, last))
	}
	tier := counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{
			{Op: "replace", Path: "/sandbox/spec/tier", Value: []byte(`"TIER_SMALL"`)}, {Op: "remove", Path: "/sandbox/paused"},
		}}, nil
	})
	few := counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		if n, _ := e.Payload.Lookup("/sandbox/spec/replicas"); n == 3.0 {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "three is a crowd"}, nil
		}
		return allow()
	})
	play := func(rec interceptor.Recorder, p *interceptor.Plan) {
		chain, err := interceptor.New(p, rec)
		if err != nil {
			t.Fatal(err)
		}
		for i, replicas := range []int32{1, 3} {
			op := operation(t, i+1, "", "")
			op.Service, op.Method = "demo.sandbox.v1.Sandboxes", "CreateSandbox"
			op.Request, op.State = &sandboxv1.CreateSandboxRequest{Sandbox: sandbox("web", replicas)}, sandbox("was", 1)
			chain.Run(t.Context(), op, func(_ context.Context, m proto.Message) (proto.Message, error) {
				request, _ := m.(*sandboxv1.CreateSandboxRequest)
				if request.GetSandbox().GetSpec().GetCredentials().GetToken() != canary {
					t.Error("the service does not get the secret")
				}
				return &sandboxv1.CreateSandboxResponse{Sandbox: request.GetSandbox(), Session: &sandboxv1.Session{Id: "s", AccessToken: canary}}, nil
			})
		}
		if err := chain.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	record := func(p *interceptor.Plan) []byte {
		var b bytes.Buffer
		c := replay.NewCassette(&b)
		play(c, p)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	cassette := record(plan(tier, few, watch()))
	if bytes.Contains(cassette, []byte(canary)) {
		t.Error("the secret is in the cassette")
	}
	if !bytes.Contains(cassette, []byte(`"tokenHint":"of the staging"`)) || !bytes.Contains(cassette, []byte(`"9223372036854775809"`)) {
		t.Error("what is no secret is not in the cassette")
	}
	report := replayed(t, lines(cassette), func() *interceptor.Plan { return plan(tier, few, watch()) })
	if report.Same != 2 || report.Reexecuted != report.Replayed {
		t.Errorf("replayed: %s", report)
	}
	h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	play(activity.NewRecorder(h.emit), plan(tier, few, watch()))
	var cut bytes.Buffer
	if _, err := replay.Cut(t.Context(), h, &cut); err != nil {
		t.Fatal(err)
	}
	if a, b := said(t, lines(cassette)), said(t, lines(cut.Bytes())); strings.Join(a, "") != strings.Join(b, "") {
		t.Errorf("recorded:\n%s\ncut:\n%s", a, b)
	}
	clients := map[string]interceptor.Interceptor{}
	for _, name := range []string{"tier", "replicas", "watch"} {
		clients[name] = dial(t, replay.Server(t, lines(cassette), replay.As(name)))
	}
	if again := record(plan(clients["tier"], clients["replicas"], clients["watch"])); !bytes.Equal(cassette, again) {
		t.Errorf("with the server:\n%s\nthen:\n%s", said(t, lines(again)), said(t, lines(cassette)))
	}
}
