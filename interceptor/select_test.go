// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
)

func TestSelectors(t *testing.T) {
	alice := map[string]string{"kind": "user", "subject": "alice"}
	box := map[string]string{"kind": "sandbox", "sandbox_id": "s-1"}
	const principal = "selector: principal"
	for _, tc := range []struct {
		principals []string
		labels     map[string]string
		who, has   map[string]string
		skipped    string
	}{
		{nil, nil, alice, nil, ""},
		{[]string{"user"}, nil, alice, nil, ""},
		{[]string{"us"}, nil, alice, nil, principal},
		{[]string{"us*"}, nil, alice, nil, ""},
		{[]string{"user/alice"}, nil, alice, nil, ""},
		{[]string{"user/al"}, nil, alice, nil, principal},
		{[]string{"user/al*"}, nil, alice, nil, ""},
		{[]string{"user/*"}, nil, alice, nil, ""},
		{[]string{"*"}, nil, nil, nil, ""},
		{[]string{"user"}, nil, nil, nil, principal},
		{[]string{"user/*"}, nil, box, nil, principal},
		{[]string{"user/*", "sandbox/s-1"}, nil, box, nil, ""},
		{[]string{"sandbox/s-2"}, nil, box, nil, principal},
		{[]string{"sandbox/s-1"}, nil, map[string]string{"kind": "sandbox", "subject": "own", "sandbox_id": "s-1"}, nil, principal},
		{[]string{"sandbox/own"}, nil, map[string]string{"kind": "sandbox", "subject": "own", "sandbox_id": "s-1"}, nil, ""},
		{[]string{"user/s-1"}, nil, map[string]string{"kind": "user", "sandbox_id": "s-1"}, nil, principal},
		{nil, map[string]string{"env": "prod"}, alice, map[string]string{"env": "prod", "team": "x"}, ""},
		{nil, map[string]string{"env": "prod"}, alice, map[string]string{"env": "test"}, "selector: label env"},
		{nil, map[string]string{"env": "*"}, alice, map[string]string{"env": ""}, ""},
		{nil, map[string]string{"env": "*", "team": "x"}, alice, map[string]string{"env": "a"}, "selector: label team"},
		{nil, map[string]string{"b": "1", "a": "1"}, alice, nil, "selector: label a"},
		{[]string{"user"}, map[string]string{"env": "prod"}, box, nil, principal},
	} {
		for _, phase := range []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate, interceptor.PostCommit} {
			t.Run(fmt.Sprintf("%v %v %v %v %s", tc.principals, tc.labels, tc.who, tc.has, phase), func(t *testing.T) {
				rec, h := &memory{}, &handler{}
				picky := bind("picky", allows, phase)
				picky.Principals, picky.Labels = tc.principals, tc.labels
				chain, err := interceptor.New(planOf(bind("first", allows, phase), picky, bind("last", allows, phase)), rec)
				if err != nil {
					t.Fatal(err)
				}
				op := operation()
				op.Principal, op.Labels = tc.who, tc.has
				out := chain.Run(t.Context(), op, h.handle)
				if err := chain.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				var parts, places []string
				for _, p := range out.Parts {
					parts = append(parts, p.Binding+" "+p.Skipped)
				}
				for _, f := range rec.facts {
					if f.Result != nil {
						places = append(places, fmt.Sprintf("%s %d of %d", f.Binding.ID, f.Evaluation.Index, f.Evaluation.Count))
					}
				}
				wantParts, wantPlaces := []string{"first ", "picky ", "last "}, []string{"first 0 of 3", "picky 1 of 3", "last 2 of 3"}
				if tc.skipped != "" {
					wantParts[1] += tc.skipped
					wantPlaces = []string{"first 0 of 2", "last 1 of 2"}
				}
				if phase == interceptor.PostCommit { // those that are called have no part yet
					wantParts = nil
					if tc.skipped != "" {
						wantParts = []string{"picky " + tc.skipped}
					}
				}
				if diff := cmp.Diff(wantParts, parts) + cmp.Diff(wantPlaces, places); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// Who is selected is decided by the payload that was proposed, once.
func TestSelectorsAreDecidedOnce(t *testing.T) {
	op := operation()
	op.Labels = map[string]string{"env": "test"}
	meddles := bind("meddles", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		op.Labels["env"] = "prod"
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}), interceptor.ModifyOperation)
	prod, test := bind("prod", denies), bind("test", allows)
	prod.Labels, test.Labels = map[string]string{"env": "prod"}, map[string]string{"env": "test"}
	rec, h := &memory{}, &handler{}
	start(t, planOf(meddles, prod, test), rec).Run(t.Context(), op, h.handle)
	if diff := cmp.Diff([]string{"meddles?", "meddles:allow", "test?", "test:allow", "outcome:allow"}, rec.story()); diff != "" {
		t.Error(diff)
	}
}

// An operation that every binding passes over is unmatched, as is one that only
// shadows look at: those have no say.
func TestNobodyIsSelected(t *testing.T) {
	picky, shadow := bind("picky", allows), bind("shadow", allows)
	picky.Principals, shadow.Shadow = []string{"sandbox"}, true
	for name, tc := range map[string]struct {
		binding interceptor.Binding
		allowed string
	}{"picky": {picky, "outcome:allow"}, "shadow": {shadow, "shadow? shadow:allow outcome:allow"}} {
		for unmatched, code := range map[string]codes.Code{interceptor.UnmatchedAllow: codes.OK, interceptor.UnmatchedDeny: codes.PermissionDenied} {
			plan := planOf(tc.binding)
			plan.Unmatched = unmatched
			rec, h := &memory{}, &handler{}
			out := start(t, plan, rec).Run(t.Context(), operation(), h.handle)
			want := "outcome:deny"
			if code == codes.OK {
				want = tc.allowed
			}
			if out.Status.Code() != code || out.Ran != (code == codes.OK) || fmt.Sprint(rec.story()) != "["+want+"]" || len(out.Parts) != 1 {
				t.Errorf("%s, %s: status %s, facts %v, parts %+v", name, unmatched, out.Status, rec.story(), out.Parts)
			}
			if rec.barriers[len(rec.barriers)-1] != len(rec.facts) || len(rec.barriers) > 1 && rec.barriers[0] == 0 {
				t.Errorf("%s, %s: barriers after facts %v", name, unmatched, rec.barriers)
			}
		}
	}
}

// The outcome names every binding that is not called, those of post_commit
// too.
func TestSkippedInPostCommit(t *testing.T) {
	for name, tc := range map[string]struct {
		judge interceptor.Interceptor
		err   error
		want  string
	}{
		"denied":  {denies, nil, "denied by i/judge"},
		"failed":  {allows, context.Canceled, "the handler failed"},
		"allowed": {allows, nil, ""},
	} {
		rec, h := &memory{}, &handler{err: tc.err}
		out := start(t, planOf(bind("judge", tc.judge), bind("observer", allows, interceptor.PostCommit)), rec).Run(t.Context(), operation(), h.handle)
		if tc.want == "" {
			if len(out.Parts) != 1 {
				t.Errorf("%s: parts %+v", name, out.Parts)
			}
			continue
		}
		if diff := cmp.Diff(interceptor.Part{Interceptor: "i", Binding: "observer", Phase: interceptor.PostCommit, Skipped: tc.want}, out.Parts[1]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if name == "denied" && out.By != &out.Parts[0] {
			t.Error("By is not the part that denied")
		}
	}
}
