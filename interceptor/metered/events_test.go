// SPDX-License-Identifier: Apache-2.0

package metered_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/metered"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// events keeps what a recorder hands over, as it is sealed.
type events struct {
	mu   sync.Mutex
	link profile.Link
	raw  [][]byte
	err  error
}

type kept struct{ err error }

func (k kept) Spooled(context.Context) error { return k.err }

func (l *events) emit(_ context.Context, e ocsf.Event) activity.Ack {
	l.mu.Lock()
	defer l.mu.Unlock()
	raw, h, err := profile.SealHeader(e, l.link)
	l.err = errors.Join(l.err, err)
	l.link.Sequence++
	l.link.PrevUID, l.link.PrevFingerprint, l.link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
	l.raw = append(l.raw, raw)
	return kept{err}
}

// TestCountersEqualEvents runs random operations through random chains, faults,
// shadows, and skipped bindings among them: each counter of what was decided is
// the number of events that say so, read back from what was written.
func TestCountersEqualEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &events{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
		c := &counts{sum: map[string]int64{}}
		rec, err := metered.New(activity.NewRecorder(l.emit, activity.WithRedactor(drawRedactor(t))), c)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := interceptor.New(drawPlan(t), rec)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 4).Draw(t, "operations") {
			handler := func(_ context.Context, m proto.Message) (proto.Message, error) { return m, nil }
			if rapid.Bool().Draw(t, "handler fails") {
				handler = func(context.Context, proto.Message) (proto.Message, error) {
					return nil, status.Error(codes.NotFound, "none")
				}
			}
			ctx, cancel := context.WithCancel(context.Background())
			if rapid.IntRange(0, 5).Draw(t, "caller leaves") == 0 {
				cancel()
			}
			kind := rapid.SampledFrom([]string{"user", "sandbox"}).Draw(t, "kind")
			chain.Run(ctx, &interceptor.Operation{Service: "demo.S", Method: "Create", Principal: map[string]string{"kind": kind, "subject": "s1"}, Attributes: map[string]string{"request.headers.authorization": "s2", "request.headers.x-note": "s3"}, Request: drawRequest(t)}, handler)
			cancel()
		}
		if err := chain.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if l.err != nil {
			t.Fatal(l.err)
		}
		got := map[string]int64{}
		for name, n := range c.sum {
			if counted(name) {
				got[name] = n
			}
		}
		if diff := cmp.Diff(tally(t, l.raw), got); diff != "" {
			t.Fatalf("counters (-events +counters):\n%s", diff)
		}
	})
}

// drawRedactor draws rules that find something, or nothing.
func drawRedactor(t *rapid.T) *activity.Redactor {
	var rules []activity.Rule
	for i, do := range []string{activity.RedactDrop, activity.RedactMask, activity.RedactHMAC} {
		switch rapid.IntRange(0, 3).Draw(t, do) {
		case 1:
			rules = append(rules, activity.Rule{Name: do, Regex: fmt.Sprintf("s%d|no|gone", i), Do: do})
		case 2:
			rules = append(rules, activity.Rule{Name: do, Pointers: []string{"/a/*", "/x"}, Do: do})
		case 3:
			rules = append(rules, activity.Rule{Name: do, Headers: []string{"X-Note"}, Do: do})
		}
	}
	r, err := activity.NewRedactor(rules, []byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// drawRequest draws a request with texts for the rules to find, sometimes of more
// places than an event lists.
func drawRequest(t *rapid.T) *structpb.Struct {
	items := map[string]any{}
	for i := range rapid.SampledFrom([]int{0, 1, 3, 100}).Draw(t, "items") {
		items[fmt.Sprint("k", i)] = fmt.Sprint("s", i%4)
	}
	s, err := structpb.NewStruct(map[string]any{"a": items, "b": items})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// redacted counts what an event says was left out of it. Where it lists all of
// it, the list and the sums agree.
func redacted(t *rapid.T, raw []byte, n map[string]int64) {
	var e struct {
		Unmapped struct {
			Docket struct {
				Redacted   map[string]int64 `json:"redacted"`
				Redactions []struct {
					Do     string `json:"do"`
					N      int64  `json:"n"`
					Failed bool   `json:"failed"`
				} `json:"redactions"`
				More int64 `json:"redactions_more"`
			} `json:"docket"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	d := e.Unmapped.Docket
	listed := map[string]int64{}
	for _, r := range d.Redactions {
		if r.Failed {
			r.Do = activity.RedactFailed
		}
		listed[r.Do] += r.N
	}
	if d.More == 0 && len(listed)+len(d.Redacted) > 0 {
		if diff := cmp.Diff(listed, d.Redacted); diff != "" {
			t.Fatalf("redactions (-listed +said):\n%s\n%s", diff, raw)
		}
	}
	for do, sum := range d.Redacted {
		if sum < listed[do] {
			t.Fatalf("%d values are said to be left out (%s), %d are listed", sum, do, listed[do])
		}
		n["docket_chain_redactions{action="+do+"}"] += sum
	}
}

// drawPlan draws bindings that allow, change, deny and fail in every way.
func drawPlan(t *rapid.T) *interceptor.Plan {
	plan := &interceptor.Plan{Unmatched: rapid.SampledFrom([]string{interceptor.UnmatchedAllow, interceptor.UnmatchedDeny}).Draw(t, "unmatched"), Audit: interceptor.AuditDurable}
	for i := range rapid.IntRange(0, 4).Draw(t, "bindings") {
		phase := rapid.SampledFrom([]interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate, interceptor.PostCommit}).Draw(t, "phase")
		b := interceptor.Binding{Interceptor: fmt.Sprintf("i%d", i), ID: "b", Phases: []interceptor.Phase{phase}, Shadow: rapid.Bool().Draw(t, "shadow")}
		if phase == interceptor.PostCommit {
			b.PostCommitPolicy = rapid.SampledFrom([]interceptor.FailurePolicy{interceptor.FailOpen, interceptor.Ignore}).Draw(t, "policy")
		} else {
			b.FailurePolicy = rapid.SampledFrom([]interceptor.FailurePolicy{interceptor.FailOpen, interceptor.FailClosed}).Draw(t, "policy")
		}
		if rapid.IntRange(0, 3).Draw(t, "selective") == 0 {
			b.Principals = []string{"user"}
		}
		what := rapid.SampledFrom([]string{"allow", "deny", "modify", "bad patch", "out of scope", "unavailable", "limit", "error", "panic", "nothing"}).Draw(t, "what")
		b.Impl = interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { return does(what) })
		plan.Bindings = append(plan.Bindings, b)
	}
	return plan
}

func does(what string) (*interceptor.Result, error) {
	patch := func(path string) []interceptor.Patch {
		return []interceptor.Patch{{Op: "add", Path: path, Value: []byte(`"x"`)}}
	}
	switch what {
	case "allow":
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	case "deny":
		return &interceptor.Result{Decision: interceptor.Deny, Reason: "no"}, nil
	case "modify":
		return &interceptor.Result{Decision: interceptor.Modify, Patches: patch("/x")}, nil
	case "bad patch":
		return &interceptor.Result{Decision: interceptor.Modify, Patches: patch("/a/b")}, nil
	case "out of scope":
		return &interceptor.Result{Decision: interceptor.Allow, Metadata: map[string]map[string]any{"ns": {"k": "v"}}}, nil
	case "unavailable":
		return nil, &interceptor.Failure{Kind: interceptor.Unavailable, Detail: "gone"}
	case "limit":
		return nil, &interceptor.Failure{Kind: interceptor.Limit, Detail: "long"}
	case "error":
		return nil, errors.New("broken")
	case "panic":
		panic("oops")
	}
	return nil, nil
}

// counted says whether a counter is one that events are counted by.
func counted(name string) bool {
	for _, prefix := range []string{"docket_chain_operations{", "docket_chain_evaluations{", "docket_chain_failures{", "docket_chain_shadow{", "docket_chain_skipped{", "docket_chain_patches{", "docket_chain_redactions{"} {
		if len(name) > len(prefix) && name[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

// tally counts what events say, under the names of the counters.
func tally(t *rapid.T, all [][]byte) map[string]int64 {
	n := map[string]int64{}
	findings, opened := 0, 0
	for _, raw := range all {
		redacted(t, raw, n)
		r, err := activity.Read(raw)
		if errors.Is(err, activity.ErrNoFact) {
			findings++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		e := r.Evaluation
		switch {
		case r.Outcome != nil:
			out := r.Outcome
			n[fmt.Sprintf("docket_chain_operations{decision=%s,method=demo.S/Create,ran=%v}", out.Decision, out.Ran)]++
			if len(out.Patches) > 0 {
				n["docket_chain_patches{method=demo.S/Create}"] += int64(len(out.Patches))
			}
			for _, p := range out.Parts {
				if p.Skipped != "" {
					n[fmt.Sprintf("docket_chain_skipped{binding=%s,interceptor=%s,phase=%s}", p.Binding, p.Interceptor, p.Phase)]++
				}
			}
		case r.Result != nil || r.Failure != nil:
			decision := r.Header.Decision
			shadow := r.Binding.Shadow
			if shadow {
				n[fmt.Sprintf("docket_chain_shadow{binding=%s,interceptor=%s,phase=%s,would=%s}", e.Binding, e.Interceptor, e.Phase, r.Would)]++
			}
			n[fmt.Sprintf("docket_chain_evaluations{binding=%s,decision=%s,interceptor=%s,phase=%s,shadow=%v}", e.Binding, decision, e.Interceptor, e.Phase, shadow)]++
			if f := r.Failure; f != nil {
				n[fmt.Sprintf("docket_chain_failures{binding=%s,interceptor=%s,kind=%s,policy=%s}", e.Binding, e.Interceptor, f.Kind, f.Policy)]++
				// No error lets an operation pass unless the event says under which policy.
				if f.Decision == interceptor.Allow && f.Policy != interceptor.FailOpen {
					t.Fatalf("a failure under %s lets pass: %s", f.Policy, raw)
				}
				if f.Decision == interceptor.Allow {
					opened++
				}
			}
		}
	}
	if findings != opened {
		t.Fatalf("%d findings of %d bindings that failed open", findings, opened)
	}
	return n
}
