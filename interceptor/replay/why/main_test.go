// SPDX-License-Identifier: Apache-2.0

package why_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay/why"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type durable struct{}

func (durable) Spooled(context.Context) error { return nil }

// record runs requests through a plan and returns them as the record has them.
func record(t testing.TB, plan *interceptor.Plan, requests ...map[string]any) []*activity.Operation {
	t.Helper()
	var all []*structpb.Struct
	for _, fields := range requests {
		request, err := structpb.NewStruct(fields)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, request)
	}
	return recordLabelled(t, plan, nil, all...)
}

func recordLabelled(t testing.TB, plan *interceptor.Plan, labels map[string]string, requests ...*structpb.Struct) []*activity.Operation {
	t.Helper()
	var raws [][]byte
	link := profile.Link{Emitter: "g", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}
	chain, err := interceptor.New(plan, activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		raw, fingerprint, err := profile.Seal(e, link)
		if err != nil {
			t.Error(err)
			return durable{}
		}
		raws = append(raws, raw)
		link.Sequence++
		link.PrevUID, link.PrevFingerprint = e.Common().Metadata.UID, fingerprint
		return durable{}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for n, request := range requests {
		chain.Run(t.Context(), &interceptor.Operation{
			UID: interceptor.UID(fmt.Sprintf("0199d0aa-3000-7000-8000-%012d", n)), Tenant: "acme",
			Service: "boxes.v1.Boxes", Method: "CreateBox", Request: request, Start: time.UnixMilli(1_793_215_000_000 + int64(n)),
			Labels: labels, Principal: map[string]string{"kind": "user", "subject": "ann"},
		}, func(_ context.Context, m proto.Message) (proto.Message, error) { return m, nil })
	}
	if err := chain.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var events iter.Seq2[[]byte, error] = func(yield func([]byte, error) bool) {
		for _, raw := range raws {
			if !yield(raw, nil) {
				return
			}
		}
	}
	var ops []*activity.Operation
	for op, err := range activity.Operations(events) {
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, op)
	}
	return ops
}

// judge is an interceptor that denies what it has an objection to.
func judge(object func(request map[string]any) string) interceptor.Func {
	return func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		raw, err := e.Payload.JSON()
		if err != nil {
			return nil, err
		}
		var request map[string]any
		if err := json.Unmarshal(raw, &request); err != nil {
			return nil, err
		}
		if reason := object(request); reason != "" {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: reason}, nil
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}
}

func validating(name string, impl interceptor.Interceptor) interceptor.Binding {
	return interceptor.Binding{Interceptor: name, ID: "check", Phases: []interceptor.Phase{interceptor.Validate}, Impl: impl}
}

func planOf(bindings ...interceptor.Binding) *interceptor.Plan {
	for i := range bindings {
		bindings[i].Order = int32(i)
	}
	return &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: bindings}
}

// explain records requests, the last of which is asked about.
func explain(t testing.TB, plan *interceptor.Plan, o why.Options, requests ...map[string]any) *why.Answer {
	t.Helper()
	ops := record(t, plan, requests...)
	o.Allowed = ops[:len(ops)-1]
	slices.Reverse(o.Allowed)
	a, err := why.Explain(t.Context(), ops[len(ops)-1], plan, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// patches writes a change like "replace /image "base:1"".
func patches(c *why.Change) string {
	if c == nil {
		return "none"
	}
	var all []string
	for _, p := range c.Patches {
		all = append(all, strings.TrimSpace(p.Op+" "+p.Path+" "+string(p.Value)))
	}
	return strings.Join(all, "; ")
}

func decisive(a *why.Answer) string {
	var all []string
	for _, f := range a.Fields {
		if f.Decisive {
			all = append(all, f.Pointer)
		}
	}
	return strings.Join(all, " ")
}

type object = map[string]any

func get(in any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := in.(map[string]any)
			in = m[step]
		case int:
			l, _ := in.([]any)
			if step >= len(l) {
				return nil
			}
			in = l[step]
		}
	}
	return in
}

func num(in any, path ...any) float64 {
	f, _ := get(in, path...).(float64)
	return f
}
