// SPDX-License-Identifier: Apache-2.0

package why_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay/why"
)

func box(image string, replicas int) object {
	return object{"box": object{"name": "web", "spec": object{"image": image, "replicas": replicas, "privileged": false}}}
}

func onList(list ...string) interceptor.Func {
	return judge(func(r map[string]any) string {
		image, _ := get(r, "box", "spec", "image").(string)
		if !slices.Contains(list, image) {
			return fmt.Sprintf("image %q is not on the list", image)
		}
		return ""
	})
}

// What is found is the smallest change, of one field where that is enough.
func TestChangesOfOneField(t *testing.T) {
	tests := []struct {
		name     string
		judge    interceptor.Func
		requests []map[string]any // the last is denied
		change   string
		edit     why.Edit
		decisive string
	}{
		{
			name: "a value that others had, the most frequent first", judge: onList("base:1", "base:2"),
			requests: []map[string]any{box("base:1", 1), box("base:2", 1), box("base:2", 2), box("evil:1", 3)},
			change:   `replace /box/spec/image "base:2"`, edit: why.Edit{Pointer: "/box/spec/image", Seen: 2}, decisive: "/box/spec/image",
		},
		{
			name: "the largest allowed number", judge: judge(func(r map[string]any) string {
				if n := num(r, "box", "spec", "replicas"); n > 8 {
					return fmt.Sprintf("%v replicas; at most 8 are allowed", n)
				}
				return ""
			}),
			requests: []map[string]any{box("a", 3), box("a", 5000)},
			change:   `replace /box/spec/replicas 8`, edit: why.Edit{Pointer: "/box/spec/replicas", Limit: "largest", Beyond: json.RawMessage("9")}, decisive: "/box/spec/replicas",
		},
		{
			name: "the smallest allowed number, without others", judge: judge(func(r map[string]any) string {
				if num(r, "n") < 37 {
					return "too few"
				}
				return ""
			}),
			requests: []map[string]any{{"n": 5}},
			change:   `replace /n 37`, edit: why.Edit{Pointer: "/n", Limit: "smallest", Beyond: json.RawMessage("36")}, decisive: "/n",
		},
		{
			name: "a number of 64 bits, which is a text", judge: judge(func(r map[string]any) string {
				n, _ := strconv.ParseInt(get(r, "bytes").(string), 10, 64)
				if n > 1<<60+1 {
					return "too large"
				}
				return ""
			}),
			requests: []map[string]any{{"bytes": "12"}, {"bytes": "9223372036854775807"}},
			change:   `replace /bytes "1152921504606846977"`, edit: why.Edit{Pointer: "/bytes", Limit: "largest", Beyond: json.RawMessage(`"1152921504606846978"`)}, decisive: "/bytes",
		},
		{
			name: "a truth", judge: judge(func(r map[string]any) string {
				if get(r, "spec", "host_network") == true {
					return "not allowed"
				}
				return ""
			}),
			requests: []map[string]any{{"spec": object{"host_network": true, "other": true}}},
			change:   `replace /spec/host_network false`, edit: why.Edit{Pointer: "/spec/host_network"}, decisive: "/spec/host_network",
		},
		{
			name: "an item of a list", judge: judge(func(r map[string]any) string {
				list, _ := get(r, "capabilities").([]any)
				if slices.Contains(list, any("SYS_ADMIN")) {
					return "a capability is not allowed"
				}
				return ""
			}),
			requests: []map[string]any{{"capabilities": []any{"NET_RAW", "SYS_ADMIN", "CHOWN"}}},
			change:   `remove /capabilities/1`, edit: why.Edit{Pointer: "/capabilities/1"}, decisive: "/capabilities/1",
		},
		{
			name: "a field too many, with a name that is to be escaped", judge: judge(func(r map[string]any) string {
				if get(r, "a/b~c") != nil {
					return "no"
				}
				return ""
			}),
			requests: []map[string]any{{"a/b~c": "x"}},
			change:   `remove /a~1b~0c`, edit: why.Edit{Pointer: "/a~1b~0c"}, decisive: "/a~1b~0c",
		},
		{
			name: "a member that is missing, and the object for it", judge: judge(func(r map[string]any) string {
				if get(r, "box", "labels", "team") == nil {
					return "label team is required"
				}
				return ""
			}),
			requests: []map[string]any{{"box": object{"name": "a", "labels": object{"team": "core", "x": "y"}}}, {"box": object{"name": "b"}}},
			change:   `add /box/labels {"team":"core"}`, edit: why.Edit{Pointer: "/box/labels/team", Seen: 1}, decisive: "/box/labels/team",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := explain(t, planOf(validating("rules", tt.judge)), why.Options{}, tt.requests...)
			if got := patches(a.Change); got != tt.change {
				t.Fatalf("change %s, want %s\n%s", got, tt.change, text(a))
			}
			if got := a.Change.Edits[0]; got.Pointer != tt.edit.Pointer || got.Seen != tt.edit.Seen || got.Limit != tt.edit.Limit || string(got.Beyond) != string(tt.edit.Beyond) {
				t.Errorf("edit %+v, want %+v", got, tt.edit)
			}
			if got := decisive(a); got != tt.decisive {
				t.Errorf("decisive: %s, want %s", got, tt.decisive)
			}
			if a.By == nil || a.By.String() != "rules/check in validate" || a.Now.How != why.ReExecuted || a.Now.Decision != "deny" {
				t.Errorf("by %v, now %+v", a.By, a.Now)
			}
			if a.Search.Tries > a.Search.Budget || a.Search.Stopped != "" {
				t.Errorf("search %+v", a.Search)
			}
		})
	}
}

func text(a *why.Answer) string {
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// A limit that is no whole number is told as people write one.
func TestLimitOfRealNumbers(t *testing.T) {
	a := explain(t, planOf(validating("rules", judge(func(r map[string]any) string {
		if num(r, "share") > 0.35 {
			return "too large a share"
		}
		return ""
	}))), why.Options{}, map[string]any{"share": 0.9})
	if got := patches(a.Change); got != "replace /share 0.35" {
		t.Errorf("change %s\n%s", got, text(a))
	}
}

// Conditions that must hold together are found together: where the reason tells
// of one after the other, where it tells of nothing, and where two bindings deny.
func TestChangesOfSeveralFields(t *testing.T) {
	privileged := func(r map[string]any) bool { return get(r, "privileged") == true }
	tooMany := func(r map[string]any) bool { return num(r, "n") > 10 }
	denied := object{"name": "a", "n": 500, "privileged": true, "note": "x"}
	tests := []struct {
		name   string
		plan   *interceptor.Plan
		others []map[string]any
		denied map[string]any
		change string
	}{
		{
			name: "one reason after the other", denied: denied, change: "replace /n 10; replace /privileged false",
			plan: planOf(validating("rules", judge(func(r map[string]any) string {
				switch {
				case privileged(r):
					return "no privileged boxes"
				case tooMany(r):
					return "too many"
				}
				return ""
			}))),
		},
		{
			name: "one reason for both", denied: denied, change: "replace /n 10; replace /privileged false",
			plan: planOf(validating("rules", judge(func(r map[string]any) string {
				if privileged(r) || tooMany(r) {
					return "does not comply"
				}
				return ""
			}))),
		},
		{
			name: "two bindings", denied: denied, change: "replace /n 10; replace /privileged false",
			plan: planOf(
				validating("first", judge(func(r map[string]any) string {
					if privileged(r) {
						return "denied"
					}
					return ""
				})),
				validating("second", judge(func(r map[string]any) string {
					if tooMany(r) {
						return "denied"
					}
					return ""
				}))),
		},
		{
			name: "two items of a list", denied: object{"list": []any{"ok", "bad", "worse", "fine"}}, change: "remove /list/2; remove /list/1",
			plan: planOf(validating("rules", judge(func(r map[string]any) string {
				list, _ := get(r, "list").([]any)
				for _, item := range list {
					if item == "bad" || item == "worse" {
						return fmt.Sprintf("%v is not allowed", item)
					}
				}
				return ""
			}))),
		},
		{
			name: "three texts, which only what another had can tell",
			others: []map[string]any{
				{"a": "1", "b": "1", "c": "1", "d": "1", "e": object{"f": "1"}},
				{"a": "x", "b": "y", "c": "z", "d": "1", "e": object{"f": "2"}},
			},
			denied: object{"a": "1", "b": "0", "c": "0", "d": "0", "e": object{"f": "0"}},
			change: `replace /b "1"; replace /c "1"; replace /e/f "1"`,
			plan: planOf(validating("rules", judge(func(r map[string]any) string {
				want := fmt.Sprint(get(r, "a"), get(r, "b"), get(r, "c"), get(r, "e", "f"))
				if want != "1 1 1 1" && want != "x y z 2" && want != "1111" && want != "xyz2" {
					return "no"
				}
				return ""
			}))),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := explain(t, tt.plan, why.Options{}, append(tt.others, tt.denied)...)
			if got := patches(a.Change); got != tt.change {
				t.Errorf("change %s, want %s\n%s", got, tt.change, text(a))
			}
			var changed []string
			for _, e := range a.Change.Edits {
				changed = append(changed, e.Pointer)
			}
			slices.Sort(changed)
			if got := decisive(a); got != strings.Join(changed, " ") {
				t.Errorf("decisive: %s, want %v", got, changed)
			}
			if a.Search.Tries > why.DefaultBudget {
				t.Errorf("%d tries", a.Search.Tries)
			}
		})
	}
}

// The patches of a change make of the recorded request one that is allowed, by
// the chain's own way of applying them.
func TestChangeIsAJSONPatch(t *testing.T) {
	plan := planOf(validating("rules", judge(func(r map[string]any) string {
		list, _ := get(r, "list").([]any)
		if slices.Contains(list, any("bad")) || get(r, "labels", "team") == nil {
			return "no"
		}
		return ""
	})))
	ops := record(t, plan, object{"labels": object{"team": "core"}}, object{"list": []any{"bad", "a", "bad"}})
	a, err := why.Explain(t.Context(), ops[1], plan, why.Options{Allowed: ops})
	if err != nil || a.Change == nil {
		t.Fatalf("%v\n%s", err, text(a))
	}
	patched, err := interceptor.NewPayload(ops[1].Request).Patched(a.Change.Patches)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := patched.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var request map[string]any
	if err := json.Unmarshal(raw, &request); err != nil {
		t.Fatal(err)
	}
	if again := record(t, plan, request); again[0].Outcome.Decision != interceptor.Allow {
		t.Errorf("%s is denied: %s", raw, again[0].Outcome.Reason)
	}
}

// A change that only passes because somebody fails on it is none.
func TestFailuresAllowNothing(t *testing.T) {
	open := validating("rules", interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if _, ok := e.Payload.Lookup("/spec/a"); !ok {
			panic("no a")
		}
		return &interceptor.Result{Decision: interceptor.Deny, Reason: "no"}, nil
	}))
	open.FailurePolicy = interceptor.FailOpen
	a := explain(t, planOf(open), why.Options{}, object{"spec": object{"a": "b"}, "name": "c"})
	if a.Change != nil || decisive(a) != "" {
		t.Errorf("%s", text(a))
	}
}

// A recorded failure decided, and does so again.
func TestFailureDecided(t *testing.T) {
	plan := planOf(validating("slow", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return nil, &interceptor.Failure{Kind: interceptor.Timeout, Detail: "no answer in 100 ms"}
	})))
	a := explain(t, plan, why.Options{}, object{"a": "b"})
	if a.Failure == nil || a.Failure.Kind != "timeout" || a.Failure.Policy != "fail_closed" || a.Now.How != why.FromRecord || a.Search != nil {
		t.Errorf("%s", text(a))
	}
}

// Without an implementation only the record speaks; beside one that has one, who
// has none is assumed to have nothing against it.
func TestWithoutImplementations(t *testing.T) {
	images := onList("base:1")
	plan := planOf(validating("images", images), validating("other", judge(func(map[string]any) string { return "" })))
	ops := record(t, plan, box("base:1", 1), box("evil:1", 1))

	a, err := why.Explain(t.Context(), ops[1], nil, why.Options{Allowed: ops})
	if err != nil || a.Now.How != why.NotAsked || a.Search != nil || a.By.String() != "images/check in validate" {
		t.Errorf("%v\n%s", err, text(a))
	}

	none := *plan
	none.Bindings = slices.Clone(plan.Bindings)
	none.Bindings[0].Impl, none.Bindings[1].Impl = nil, nil
	a, err = why.Explain(t.Context(), ops[1], &none, why.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Now.How != why.FromRecord || a.Search != nil || a.Reason != `image "evil:1" is not on the list` {
		t.Errorf("%s", text(a))
	}

	none.Bindings[0].Impl = images
	a, err = why.Explain(t.Context(), ops[1], &none, why.Options{Allowed: ops})
	if err != nil {
		t.Fatal(err)
	}
	if patches(a.Change) != `replace /box/spec/image "base:1"` || len(a.Search.Assumed) != 1 || a.Search.Assumed[0].String() != "other/check in validate" {
		t.Errorf("%s", text(a))
	}

	// Who patched cannot be assumed away: the other was shown its patches.
	patcher := interceptor.Binding{Interceptor: "patcher", ID: "check", Phases: []interceptor.Phase{interceptor.ModifyOperation}, Impl: interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "add", Path: "/x", Value: json.RawMessage("1")}}}, nil
	})}
	plan = planOf(patcher, validating("images", images))
	ops = record(t, plan, box("evil:1", 1))
	none = *plan
	none.Bindings = slices.Clone(plan.Bindings)
	none.Bindings[0].Impl = nil
	a, err = why.Explain(t.Context(), ops[0], &none, why.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Now.How != why.ReExecuted || a.Search != nil || len(a.Notes) != 1 || !strings.Contains(a.Notes[0], "patcher/check in modify_operation patched the request") {
		t.Errorf("%s", text(a))
	}
}

func TestAllowedAndUndecided(t *testing.T) {
	plan := planOf(validating("images", onList("base:1")))
	a := explain(t, plan, why.Options{}, box("base:1", 1))
	if a.Decision != "allow" || a.By != nil || a.Now.How != why.ReExecuted || a.Now.Decision != "allow" || a.Search != nil || len(a.Judged) != 1 || a.Judged[0].Decision != "allow" {
		t.Errorf("%s", text(a))
	}
	ops := record(t, plan, box("base:1", 1))
	ops[0].Outcome = nil
	if _, err := why.Explain(t.Context(), ops[0], plan, why.Options{}); err == nil {
		t.Error("an operation without an outcome is explained")
	}

	// A candidate is asked in place of the plan that was in force.
	ops = record(t, plan, box("evil:1", 1), box("base:1", 1))
	candidate := planOf(validating("images", onList("evil:1")), validating("more", onList("evil:1")))
	a, err := why.Explain(t.Context(), ops[0], candidate, why.Options{})
	if err != nil || a.Now.Decision != "allow" || a.Asked != candidate.Digest() || a.Plan != plan.Digest() || a.Decision != "deny" {
		t.Errorf("%v\n%s", err, text(a))
	}
	a, err = why.Explain(t.Context(), ops[1], candidate, why.Options{Allowed: ops})
	if err != nil || a.Decision != "allow" || a.Now.Decision != "deny" || a.Now.By.String() != "images/check in validate" || a.Search == nil || a.Search.Allowed != 0 {
		t.Errorf("%v\n%s", err, text(a))
	}
}

// A binding that does not select the changed request is named.
func TestSelectors(t *testing.T) {
	b := validating("prod", judge(func(map[string]any) string { return "nothing in production" }))
	b.Labels = map[string]string{"env": "prod"}
	plan := planOf(b, validating("all", judge(func(map[string]any) string { return "" })))
	ops := record(t, plan, object{"labels": object{"env": "prod"}})
	if ops[0].Outcome.Decision == interceptor.Deny {
		t.Fatal("the operation has no labels as it was recorded")
	}
	// The labels are those that an adapter read from the request.
	request, _ := structpb.NewStruct(object{"labels": object{"env": "prod"}})
	ops = recordLabelled(t, plan, map[string]string{"env": "prod"}, request)
	a, err := why.Explain(t.Context(), ops[0], plan, why.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if patches(a.Change) != "remove /labels/env" || len(a.Change.Skips) != 1 || a.Change.Skips[0].Interceptor != "prod" || decisive(a) != "/labels/env" {
		t.Errorf("%s", text(a))
	}
}

// The same question has the same answer, byte for byte.
func TestDeterministic(t *testing.T) {
	plan := planOf(
		validating("images", onList("base:1", "base:2")),
		validating("size", judge(func(r map[string]any) string {
			if num(r, "box", "spec", "replicas") > 8 {
				return "too large"
			}
			return ""
		})))
	ops := record(t, plan, box("base:2", 4), box("base:1", 2), box("base:2", 3), box("evil:1", 90))
	var first string
	for range 10 {
		a, err := why.Explain(t.Context(), ops[3], plan, why.Options{Allowed: ops})
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = text(a)
		}
		if got := text(a); got != first {
			t.Fatalf("%s\n%s", first, got)
		}
	}
}

// What the record has not, or not as it was, is said and not asked.
func TestNotInTheRecord(t *testing.T) {
	plan := planOf(validating("images", onList("base:1")))
	ops := record(t, plan, box("evil:1", 1))
	ops[0].Evaluations[0].Redacted = true
	a, err := why.Explain(t.Context(), ops[0], plan, why.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Now.How != why.NotAsked || !strings.Contains(a.Now.Why, "redacted") || a.Search != nil || len(a.Notes) != 1 || !strings.Contains(a.Notes[0], "redacted") || a.Reason == "" {
		t.Errorf("%s", text(a))
	}
	ops = record(t, plan, box("evil:1", 1))
	ops[0].Request, ops[0].Evaluations[0].Payload, ops[0].Evaluations[0].Missing = nil, nil, "only its digest was captured"
	if a, err = why.Explain(t.Context(), ops[0], plan, why.Options{}); err != nil {
		t.Fatal(err)
	}
	if a.Now.How != why.NotAsked || a.Now.Why == "" || a.Search != nil || !strings.Contains(text(a), "not in the record: only its digest was captured") {
		t.Errorf("%s", text(a))
	}
}

// Who failed without consequence is taken to fail again, whatever it would say.
func TestFailsAgain(t *testing.T) {
	quota := validating("quota", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return nil, &interceptor.Failure{Kind: interceptor.Timeout, Detail: "slow"}
	}))
	quota.FailurePolicy = interceptor.FailOpen
	a := explain(t, planOf(quota, validating("images", onList("base:1"))), why.Options{}, box("base:1", 1), box("evil:1", 1))
	if patches(a.Change) != `replace /box/spec/image "base:1"` || len(a.Notes) != 1 || !strings.HasPrefix(a.Notes[0], "quota/check in validate failed then") {
		t.Errorf("%s", text(a))
	}
}

// Of any policy of one or two conditions a change is found, it is allowed, and
// nothing of it can be left out.
func TestAnyPolicy(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		request, objections := object{}, []func(r map[string]any) bool{}
		for i := range 8 {
			name := string(rune('a' + i))
			switch rnd.IntN(3) {
			case 0:
				request[name] = rnd.IntN(1000) + 500
				limit := float64(rnd.IntN(400) + 1)
				objections = append(objections, func(r map[string]any) bool { return num(r, name) > limit })
			case 1:
				request[name] = true
				objections = append(objections, func(r map[string]any) bool { return get(r, name) == true })
			default:
				request[name] = []any{"x", "bad", "y"}
				objections = append(objections, func(r map[string]any) bool {
					list, _ := get(r, name).([]any)
					return slices.Contains(list, any("bad"))
				})
			}
		}
		rnd.Shuffle(len(objections), func(i, j int) { objections[i], objections[j] = objections[j], objections[i] })
		objections = objections[:1+rnd.IntN(2)]
		objecting := func(r map[string]any) bool {
			return slices.ContainsFunc(objections, func(objects func(map[string]any) bool) bool { return objects(r) })
		}
		plan := planOf(validating("rules", judge(func(r map[string]any) string {
			if objecting(r) {
				return "does not comply"
			}
			return ""
		})))
		ops := record(t, plan, request)
		a, err := why.Explain(t.Context(), ops[0], plan, why.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if a.Change == nil || len(a.Change.Patches) != len(objections) {
			t.Fatalf("seed %d, %d conditions: %s\n%s", seed, len(objections), patches(a.Change), text(a))
		}
		for left := range 1 + len(a.Change.Patches) {
			some := slices.Clone(a.Change.Patches)
			if left > 0 {
				some = slices.Delete(some, left-1, left)
			}
			patched, err := interceptor.NewPayload(ops[0].Request).Patched(some)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := patched.JSON()
			if err != nil {
				t.Fatal(err)
			}
			var r map[string]any
			if err := json.Unmarshal(raw, &r); err != nil {
				t.Fatal(err)
			}
			if objecting(r) != (left > 0) {
				t.Errorf("seed %d: of %s without %d: denied %v", seed, patches(a.Change), left, left == 0)
			}
		}
	}
}

// What only an allowed operation can tell as a whole is taken from it, an object
// and a list that this one has not among it.
func TestWhatAnotherHad(t *testing.T) {
	plan := planOf(validating("rules", judge(func(r map[string]any) string {
		if num(r, "limits", "cpu") < 1 || num(r, "limits", "memory") < 1 || len(fmt.Sprint(get(r, "zones"))) != len("[a b]") {
			return "no"
		}
		return ""
	})))
	a := explain(t, plan, why.Options{}, object{"name": "x", "limits": object{"cpu": 1, "memory": 2}, "zones": []any{"a", "b"}}, object{"name": "y", "zones": []any{"a"}})
	if got, want := patches(a.Change), `add /limits {"cpu":1,"memory":2}; replace /zones ["a","b"]`; got != want {
		t.Fatalf("change %s, want %s\n%s", got, want, text(a))
	}
	if got := decisive(a); got != "/zones /limits" {
		t.Errorf("decisive: %s", got)
	}
}

// Where the request decides nothing there is no change of it, and that others
// were allowed the same is said.
func TestNotTheRequest(t *testing.T) {
	plan := planOf(validating("people", interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if e.Principal["subject"] == "ann" {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "not for ann"}, nil
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})))
	ops := record(t, plan, box("a", 1))
	other := record(t, planOf(validating("people", judge(func(map[string]any) string { return "" }))), object{"first": true}, box("a", 1))
	a, err := why.Explain(t.Context(), ops[0], plan, why.Options{Allowed: other})
	if err != nil {
		t.Fatal(err)
	}
	if a.Change != nil || decisive(a) != "" || a.Search.Stopped != "" || a.Principal["subject"] != "ann" || len(a.Notes) != 1 || !strings.Contains(a.Notes[0], "something else than the request decided") {
		t.Errorf("%s", text(a))
	}
}
