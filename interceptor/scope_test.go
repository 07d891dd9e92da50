// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/google/go-cmp/cmp"
)

type namespaces = map[string]map[string]any

func writer(m namespaces) interceptor.Interceptor {
	return answers(&interceptor.Result{Decision: interceptor.Allow, Metadata: m}, nil)
}

// seen is what a binding was shown.
type seen struct {
	Attributes map[string]string
	Metadata   namespaces
}

func TestRule8ScopeOfABinding(t *testing.T) {
	const validate = interceptor.Validate
	shown := map[string]seen{}
	look := func(id string, attributes, reads []string, phase interceptor.Phase) interceptor.Binding {
		b := bind(id, interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
			s := seen{Attributes: maps.Clone(e.Attributes)}
			for name, values := range e.Metadata {
				if s.Metadata == nil {
					s.Metadata = namespaces{}
				}
				s.Metadata[name] = maps.Clone(values)
			}
			shown[id] = s
			// What it is given is its own to spoil.
			for name := range e.Attributes {
				e.Attributes[name] = "spoilt"
			}
			for _, values := range e.Metadata {
				values["team"] = "spoilt"
			}
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		}), phase)
		b.Attributes, b.Reads = attributes, reads
		return b
	}
	writes := func(id string, granted []string, m namespaces, phase interceptor.Phase) interceptor.Binding {
		b := bind(id, writer(m), phase)
		b.Writes = granted
		return b
	}
	risk := namespaces{"risk": {"score": 7.0, "why": []any{"new", map[string]any{"x": nil}}}}
	plan := planOf(
		look("before", []string{"source.*", "user_agent"}, []string{"risk", "org"}, interceptor.ModifyOperation),
		writes("writer", []string{"risk", "org"}, risk, interceptor.ModifyOperation),
		look("granted", []string{"request.headers.x-team"}, []string{"risk", "other"}, validate),
		look("nothing granted", nil, nil, validate),
		look("everything", []string{"*"}, []string{"org", "risk"}, validate),
		writes("overwrites", []string{"org"}, namespaces{"org": {"name": "b"}}, validate),
		look("after", []string{"source.address"}, []string{"org"}, validate),
		writes("late", []string{"org"}, namespaces{"org": {"name": "late"}}, interceptor.PostCommit),
		look("last", []string{"user_agent"}, []string{"org", "risk"}, interceptor.PostCommit),
	)
	attributes := map[string]string{"source.address": "192.0.2.7:1", "source.port": "1", "user_agent": "demo", "request.headers.x-team": "a"}
	op := operation()
	op.Attributes, op.Metadata = maps.Clone(attributes), namespaces{"org": {"name": "a", "team": "x"}}
	rec, h := &memory{}, &handler{}
	chain := start(t, plan, rec)
	chain.Run(t.Context(), op, h.handle)
	if err := chain.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	org := map[string]any{"name": "a", "team": "x"}
	want := map[string]seen{
		"before":          {map[string]string{"source.address": "192.0.2.7:1", "source.port": "1", "user_agent": "demo"}, namespaces{"org": org}},
		"granted":         {map[string]string{"request.headers.x-team": "a"}, namespaces{"risk": risk["risk"]}},
		"nothing granted": {},
		"everything":      {attributes, namespaces{"org": org, "risk": risk["risk"]}},
		"after":           {map[string]string{"source.address": "192.0.2.7:1"}, namespaces{"org": {"name": "b"}}},
		"last":            {map[string]string{"user_agent": "demo"}, namespaces{"org": {"name": "late"}, "risk": risk["risk"]}},
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(namespaces{"org": org}, op.Metadata) + cmp.Diff(attributes, op.Attributes); diff != "" {
		t.Errorf("the operation itself was changed: %s", diff)
	}
}

// What a binding writes is copied, in the form that it has as JSON: who wrote it
// cannot change it afterwards, and the next one sees numbers as numbers.
func TestWhatIsWrittenIsCopied(t *testing.T) {
	written := map[string]any{
		"i": 7, "i64": int64(8), "n": json.Number("9.5"), "f": 1.5, "t": true, "nil": nil, "s": "a\xff",
		"list": []any{1, map[string]any{"k\xff": json.Number("2")}},
	}
	var shown namespaces
	look := bind("look", interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		shown = e.Metadata
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}))
	meddle := bind("meddle", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		written["i"] = "changed"
		written["list"].([]any)[1].(map[string]any)["k\xff"] = "changed"
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}))
	b := bind("b", writer(namespaces{"mine": written}))
	b.Writes, look.Reads = []string{"mine"}, []string{"mine"}
	rec, h := &memory{}, &handler{}
	start(t, planOf(b, meddle, look), rec).Run(t.Context(), operation(), h.handle)
	want := namespaces{"mine": {
		"i": 7.0, "i64": 8.0, "n": 9.5, "f": 1.5, "t": true, "nil": nil, "s": "a\ufffd", "list": []any{1.0, map[string]any{"k\ufffd": 2.0}},
	}}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Error(diff)
	}
}

// manyNames is metadata that is longer than a result may be by its names alone.
func manyNames() map[string]any {
	m := map[string]any{}
	for i := range 1 << 17 {
		m[fmt.Sprintf("%08x", i)] = nil
	}
	return m
}

func TestRule8WritesThatAreNotGranted(t *testing.T) {
	self := map[string]any{}
	self["self"] = self
	deep := any("x")
	for range 40 {
		deep = []any{deep}
	}
	for _, tc := range []struct {
		name     string
		metadata namespaces
		kind     interceptor.FailureKind
		detail   string
	}{
		{"not granted", namespaces{"mine": {"a": 1.0}, "theirs": {}}, interceptor.Scope, `metadata namespace "theirs", which the binding may not write`},
		{"too long", namespaces{"mine": {"a": strings.Repeat("x", 1<<20)}}, interceptor.Limit, "result of "},
		{"too many names", namespaces{"mine": manyNames(), "too": {}}, interceptor.Limit, "result of "},
		{"a name that is no text", namespaces{"mi\xffne": {"a": 1.0}}, interceptor.InvalidResult, "metadata namespace"},
		{"holds itself", namespaces{"mine": self}, interceptor.InvalidResult, "nested too deeply"},
		{"deep", namespaces{"mine": {"a": deep}}, interceptor.InvalidResult, "nested too deeply"},
		{"no JSON", namespaces{"mine": {"a": func() {}}}, interceptor.InvalidResult, "func() has no JSON form"},
		{"no number", namespaces{"mine": {"a": math.NaN()}}, interceptor.InvalidResult, "NaN is no number of JSON"},
		{"a number that is none", namespaces{"mine": {"a": json.Number("seven")}}, interceptor.InvalidResult, "read number: "},
		{"a number that is too large", namespaces{"mine": {"a": []any{json.Number("1e999")}}}, interceptor.InvalidResult, "read number: "},
	} {
		for _, policy := range []interceptor.FailurePolicy{interceptor.FailClosed, interceptor.FailOpen} {
			t.Run(fmt.Sprintf("%s, %s", tc.name, policy), func(t *testing.T) {
				rec, h := &memory{}, &handler{}
				var shown namespaces
				b, look := bind("b", writer(tc.metadata)), bind("look", interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
					shown = e.Metadata
					return &interceptor.Result{Decision: interceptor.Allow}, nil
				}))
				b.Writes, b.FailurePolicy, b.Timeout = []string{"mine"}, policy, time.Minute
				look.Reads = []string{"mine", "theirs"}
				out := start(t, planOf(b, look), rec).Run(t.Context(), operation(), h.handle)
				if f := rec.failure(t); f.Kind != tc.kind || !strings.Contains(f.Detail, tc.detail) || f.Policy != policy {
					t.Errorf("failure %+v", f)
				}
				if (out.Decision == interceptor.Allow) != (policy == interceptor.FailOpen) || shown != nil {
					t.Errorf("decision %s, the next was shown %v", out.Decision, shown)
				}
			})
		}
	}
	t.Run("beside a deny", func(t *testing.T) {
		rec, h := &memory{}, &handler{}
		b := bind("b", answers(&interceptor.Result{Decision: interceptor.Deny, Reason: "no", Metadata: namespaces{"theirs": {}}}, nil))
		b.FailurePolicy = interceptor.FailOpen
		out := start(t, planOf(b), rec).Run(t.Context(), operation(), h.handle)
		if got := rec.result(t, "b").Violation; out.Decision != interceptor.Deny || out.Status.Message() != "no" || !strings.Contains(got, `"theirs"`) {
			t.Errorf("decision %s, violation %q", out.Decision, got)
		}
	})
}

// What an interceptor answered is not its own to change afterwards.
func TestWrittenMetadataIsACopy(t *testing.T) {
	mine := namespaces{"ns": {"list": []any{"a"}, "n": 3}}
	var shown namespaces
	b := bind("b", writer(mine))
	b.Writes = []string{"ns"}
	look := bind("look", interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		mine["ns"]["list"].([]any)[0] = "changed"
		shown = e.Metadata
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}))
	look.Reads = []string{"ns"}
	start(t, planOf(b, look), &memory{}).Run(t.Context(), operation(), (&handler{}).handle)
	if diff := cmp.Diff(namespaces{"ns": {"list": []any{"a"}, "n": 3.0}}, shown); diff != "" {
		t.Error(diff)
	}
}

// Metadata dies with its operation, however many there are at once.
func TestMetadataStaysWithItsOperation(t *testing.T) {
	writes := bind("writes", interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if e.Metadata != nil {
			return nil, fmt.Errorf("saw %v", e.Metadata)
		}
		return &interceptor.Result{Decision: interceptor.Allow, Metadata: namespaces{"ns": {"of": e.Principal["subject"]}}}, nil
	}))
	reads := bind("reads", interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if got := e.Metadata["ns"]["of"]; got != e.Principal["subject"] {
			return nil, fmt.Errorf("of %s: saw %v", e.Principal["subject"], got)
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}))
	writes.Writes, writes.Reads, reads.Reads = []string{"ns"}, []string{"ns"}, []string{"ns"}
	writes.Timeout, reads.Timeout = time.Minute, time.Minute
	chain := start(t, planOf(writes, reads), interceptor.Discard)
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			op := operation()
			op.Principal = map[string]string{"kind": "user", "subject": fmt.Sprint(i)}
			if out := chain.Run(t.Context(), op, (&handler{}).handle); out.Decision != interceptor.Allow {
				t.Errorf("%d: %s %+v", i, out.Reason, out.Parts)
			}
		})
	}
	all.Wait()
}
