// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestPlansThatCannotBeRun(t *testing.T) {
	for name, change := range map[string]func(*interceptor.Plan){
		"unmatched":                  func(p *interceptor.Plan) { p.Unmatched = "" },
		"audit":                      func(p *interceptor.Plan) { p.Audit = "sometimes" },
		"answer":                     func(p *interceptor.Plan) { p.Answer = "maybe" },
		"audit_deadline_ns":          func(p *interceptor.Plan) { p.AuditDeadline = -1 },
		"interceptor":                func(p *interceptor.Plan) { p.Bindings[0].Interceptor = " " },
		"interceptor: nothing":       func(p *interceptor.Plan) { p.Bindings[0].Impl = nil },
		"id":                         func(p *interceptor.Plan) { p.Bindings[0].ID = "" },
		"id: is used twice":          func(p *interceptor.Plan) { p.Bindings[1].ID = "a" },
		"phases":                     func(p *interceptor.Plan) { p.Bindings[0].Phases = nil },
		"phases: no phase":           func(p *interceptor.Plan) { p.Bindings[0].Phases = []interceptor.Phase{1} },
		"rpcs":                       func(p *interceptor.Plan) { p.Bindings[0].RPCs = []string{"a.B"} },
		`rpcs: "a/b/c"`:              func(p *interceptor.Plan) { p.Bindings[0].RPCs = []string{"a/b/c"} },
		"limits":                     func(p *interceptor.Plan) { p.Bindings[0].MaxPatches = -1 },
		"failure_policy: ignore":     func(p *interceptor.Plan) { p.Bindings[0].FailurePolicy = interceptor.Ignore },
		"post_commit_policy":         func(p *interceptor.Plan) { p.Bindings[0].PostCommitPolicy = interceptor.FailClosed },
		"failure_policy: no policy":  func(p *interceptor.Plan) { p.Bindings[0].FailurePolicy = 9 },
		"modify_policy: ignore":      func(p *interceptor.Plan) { p.Bindings[0].ModifyPolicy = interceptor.Ignore },
		"failure_policy: no policy ": func(p *interceptor.Plan) { p.Bindings[0].ModifyPolicy = 9 },
		"limits: one is negative":    func(p *interceptor.Plan) { p.Bindings[0].MaxQueue = -1 },
		"limits: another binding":    func(p *interceptor.Plan) { p.Bindings[1].MaxQueue = 1 },
		"limits: another ":           func(p *interceptor.Plan) { p.Bindings[1].MaxConcurrent = 1 },
		"limits: one is":             func(p *interceptor.Plan) { p.Bindings[0].CaptureMax = -1 },
		"capture":                    func(p *interceptor.Plan) { p.Bindings[0].Capture = "some" },
		"secret_option":              func(p *interceptor.Plan) { p.SecretOption = -1 },
		"secret_option: 536870912":   func(p *interceptor.Plan) { p.SecretOption = 1 << 29 },
		`principals: ""`:             func(p *interceptor.Plan) { p.Bindings[0].Principals = []string{""} },
		`principals: "/alice"`:       func(p *interceptor.Plan) { p.Bindings[0].Principals = []string{"/alice"} },
		`principals: "user/*/x"`:     func(p *interceptor.Plan) { p.Bindings[0].Principals = []string{"user", "user/*/x"} },
		"labels":                     func(p *interceptor.Plan) { p.Bindings[0].Labels = map[string]string{"": "x"} },
		`attributes: "*.address"`:    func(p *interceptor.Plan) { p.Bindings[0].Attributes = []string{"*.address"} },
		"reads and writes":           func(p *interceptor.Plan) { p.Bindings[0].Reads = []string{""} },
		"writes: 9 metadata":         func(p *interceptor.Plan) { p.Bindings[0].Writes = strings.Fields("a b c d e f g h i") },
		`writes: "envoy.filters"`:    func(p *interceptor.Plan) { p.Bindings[0].Writes = []string{"envoy.filters"} },
		`writes: "Docket.x"`:         func(p *interceptor.Plan) { p.Bindings[0].Writes = []string{"a", "Docket.x"} },
		"settings: a value has no J": func(p *interceptor.Plan) { p.Bindings[0].Settings = map[string]any{"x": math.NaN()} },
	} {
		t.Run(name, func(t *testing.T) {
			plan := planOf(bind("a", allows), bind("b", allows))
			change(plan)
			_, err := interceptor.New(plan, interceptor.Discard)
			var bad *interceptor.PlanError
			if !errors.As(err, &bad) || bad.Hint() == "" || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := interceptor.New(nil, interceptor.Discard); err == nil {
		t.Error("no plan is a plan")
	}
	if _, err := interceptor.New(planOf(), nil); err == nil {
		t.Error("no recorder is a recorder")
	}
}

func TestAPlanInForceNeverChanges(t *testing.T) {
	plan := planOf(bind("a", allows))
	plan.Bindings[0].Settings = map[string]any{"list": []any{"x", map[string]any{"k": "v"}}}
	plan.Bindings[0].Labels = map[string]string{"env": "prod"}
	plan.Bindings[0].Principals, plan.Bindings[0].Attributes = []string{"user"}, []string{"user_agent"}
	plan.Bindings[0].Reads, plan.Bindings[0].Writes = []string{"a"}, []string{"b"}
	chain := start(t, plan, interceptor.Discard)
	before := chain.Plan().Digest()
	plan.Bindings[0].RPCs[0], plan.Bindings[0].Phases[0] = "x/Y", interceptor.PostCommit
	plan.Bindings[0].Labels["env"], plan.Bindings[0].Principals[0], plan.Bindings[0].Attributes[0] = "test", "x", "x"
	plan.Bindings[0].Reads[0], plan.Bindings[0].Writes[0] = "x", "x"
	plan.Bindings[0].Settings["list"].([]any)[1].(map[string]any)["k"] = "changed"
	if after := chain.Plan().Digest(); after != before || !chain.Plan().Governs(service, "CreateSandbox") {
		t.Errorf("digest was %s and is %s", before, after)
	}
}

func TestDigest(t *testing.T) {
	plan := planOf(bind("a", allows), bind("b", allows))
	digest := plan.Digest()
	if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(digest) {
		t.Errorf("digest %q", digest)
	}
	if got := start(t, plan, interceptor.Discard).Plan().Digest(); got != digest {
		t.Errorf("with its defaults written out it is %s; want %s", got, digest)
	}
	slices.Reverse(plan.Bindings)
	if got := plan.Digest(); got != digest {
		t.Errorf("listed in another order it is %s; want %s", got, digest)
	}
	raw, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	var again interceptor.Plan
	if err := json.Unmarshal(raw, &again); err != nil {
		t.Fatal(err)
	}
	if got := again.Digest(); got != digest {
		t.Errorf("after a round trip through %s it is %s; want %s", raw, got, digest)
	}
	plan.Bindings[0].Timeout = time.Second
	if plan.Digest() == digest {
		t.Error("another timeout has the same digest")
	}
}

// Plans that were recorded before bindings had selectors, scopes and shadows are
// found by their digest, and must be what they were.
func TestOldPlansKeepTheirDigest(t *testing.T) {
	const recorded = `{"bindings":[{"interceptor":"notary","id":"stamp","binding_order":3,"phases":["post_commit"],"post_commit_policy":"ignore","timeout_ns":500000000,"max_response_bytes":1048576,"max_patches":32,"max_concurrent":1024,"settings":{"key":"a","n":2}},{"interceptor":"images","id":"allow-list","order":10,"rpcs":["demo.sandbox.v1.Sandboxes/CreateSandbox"],"phases":["modify_operation","validate"],"failure_policy":"fail_open","timeout_ns":250000000,"max_response_bytes":1048576,"max_patches":32,"max_concurrent":1024,"endpoint":"unix:///run/images.sock"}],"unmatched":"deny","audit":"auto","audit_deadline_ns":1000000000,"answer":"withhold"}`
	const digest = "sha256:f42131a2c37b7d9e825fe9a6c7720faa774fd169b5aa77e46e7f9e347d5b35e6"
	var plan interceptor.Plan
	if err := json.Unmarshal([]byte(recorded), &plan); err != nil {
		t.Fatal(err)
	}
	for i := range plan.Bindings {
		plan.Bindings[i].Impl = allows
	}
	inForce := start(t, &plan, interceptor.Discard).Plan()
	for name, p := range map[string]*interceptor.Plan{"as recorded": &plan, "in force": inForce} {
		if got := p.Digest(); got != digest {
			t.Errorf("%s: digest %s; want %s", name, got, digest)
		}
		raw, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(recorded, string(raw)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestGoverns(t *testing.T) {
	plan := planOf(bind("a", allows))
	if !plan.Governs(service, "CreateSandbox") || plan.Governs(service, "GetSandbox") || plan.Governs("Sandboxes", "CreateSandbox") {
		t.Error("a binding with rpcs selects those alone")
	}
	plan.Bindings[0].RPCs = nil
	if !plan.Governs("any.Service", "Method") {
		t.Error("a binding without rpcs selects every method")
	}
}

func TestWords(t *testing.T) {
	type value interface {
		MarshalText() ([]byte, error)
		String() string
	}
	for word, v := range map[string]value{
		"modify_operation": interceptor.ModifyOperation, "validate": interceptor.Validate, "post_commit": interceptor.PostCommit,
		"fail_closed": interceptor.FailClosed, "fail_open": interceptor.FailOpen, "ignore": interceptor.Ignore,
		"none": interceptor.None, "allow": interceptor.Allow, "deny": interceptor.Deny, "modify": interceptor.Modify,
	} {
		if text, err := v.MarshalText(); err != nil || string(text) != word || v.String() != word {
			t.Errorf("%q is written %q, %v", word, text, err)
		}
	}
	var phases []interceptor.Phase
	if err := json.Unmarshal([]byte(`["validate","post_commit"]`), &phases); err != nil || !slices.Equal(phases, []interceptor.Phase{3, 4}) {
		t.Errorf("phases %v, %v", phases, err)
	}
	var policy interceptor.FailurePolicy
	if err := policy.UnmarshalText([]byte("fail_opne")); err == nil || err.Error() != `unknown failure policy "fail_opne": want one of fail_closed, fail_open, ignore` {
		t.Errorf("error %v", err)
	}
	if _, err := interceptor.Decision(3).MarshalText(); err == nil {
		t.Error("decision 3 has a word")
	}
}

func TestPayload(t *testing.T) {
	p := interceptor.NewPayload(operation().Request)
	for pointer, want := range map[string]any{
		"/sandbox/spec/image": "debian", "/sandbox/spec/replicas": json.Number("5"), "/sandbox/resourceVersion": "7",
		"/sandbox/spec/credentials/tokenHint": "hint", "/sandbox/spec/credentials/token": nil, "/sandbox/spec/credentials/secrets": nil, "/nowhere": nil, "x": nil,
	} {
		got, ok := p.Lookup(pointer)
		if got != want || ok != (want != nil) {
			t.Errorf("%s is %v, %t; want %v", pointer, got, ok, want)
		}
	}
	object, err := structpb.NewStruct(map[string]any{"b": []any{"x", 1.5}, "a": nil})
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := interceptor.NewPayload(object).JSON(); err != nil || string(raw) != `{"a":null,"b":["x",1.5]}` {
		t.Errorf("a Struct is %s, %v", raw, err)
	}
	if got, ok := interceptor.NewPayload(object).Lookup("/b/0"); got != "x" || !ok {
		t.Errorf("/b/0 is %v", got)
	}
	if _, err := interceptor.NewPayload(nil).JSON(); err == nil {
		t.Error("no message has JSON")
	}
	if _, err := interceptor.NewPayload(&anypb.Any{TypeUrl: "x/no.Such", Value: []byte("canary")}).JSON(); err == nil {
		t.Error("an Any of an unknown type has JSON")
	}
	if raw, err := interceptor.NewPayload(&sandboxv1.GetSandboxRequest{}).JSON(); err != nil || string(raw) != "{}" {
		t.Errorf("an empty message is %s, %v", raw, err)
	}
}

func TestUIDs(t *testing.T) {
	chain := start(t, planOf(bind("a", allows)), &memory{})
	now := time.UnixMilli(1750000000123)
	chain.Now = func() time.Time { return now }
	form := regexp.MustCompile(`^01977420-dc7b-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[interceptor.UID]bool{}
	for range 1000 {
		op := operation()
		chain.Run(t.Context(), op, (&handler{}).handle)
		if !form.MatchString(string(op.UID)) || seen[op.UID] {
			t.Fatalf("uid %s is not a new UUIDv7 of its time", op.UID)
		}
		seen[op.UID] = true
	}
}
