// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
)

// An outcome says of each binding what it decided, or would have, also where
// nobody records, and of more bindings than memory was made for.
func TestPartsOfAnOutcome(t *testing.T) {
	change := patches(interceptor.Patch{Op: "replace", Path: "/sandbox/name", Value: []byte(`"b"`)})
	shadow := func(b interceptor.Binding) interceptor.Binding {
		b.Shadow = true
		return b
	}
	open := func(b interceptor.Binding) interceptor.Binding {
		b.FailurePolicy = interceptor.FailOpen
		return b
	}
	const modify, validate = interceptor.ModifyOperation, interceptor.Validate
	for name, tc := range map[string]struct {
		bindings []interceptor.Binding
		want     []string // binding phase decision would failure skipped
		by       int      // which part denied; -1 for none
	}{
		"all kinds": {
			[]interceptor.Binding{
				bind("allows", allows, modify, validate), bind("changes", change, modify), shadow(bind("would deny", denies, validate)),
				shadow(bind("would change", change, modify)), shadow(bind("would fail", breaks, validate)), shadow(open(bind("would fail open", breaks, validate))),
				open(bind("fails open", breaks, validate)), bind("denies", denies, validate), bind("late", allows, validate),
			},
			[]string{
				"allows modify_operation allow none  ", "changes modify_operation modify none  ", "would change modify_operation none modify  ",
				"allows validate allow none  ", "would deny validate none deny  ", "would fail validate none deny invalid_result=none ",
				"would fail open validate none allow invalid_result=none ", "fails open validate allow none invalid_result=allow ",
				"denies validate deny none  ", "late validate none none  denied by i/denies", //nolint:dupword // columns may be alike
			},
			8,
		},
		"denied early": { // more parts follow than memory was made for
			[]interceptor.Binding{bind("a", allows), bind("denies", denies), bind("c", allows), bind("d", allows), bind("e", allows), bind("f", allows), bind("g", allows)},
			[]string{
				"a validate allow none  ", "denies validate deny none  ", "c validate none none  denied by i/denies", "d validate none none  denied by i/denies", //nolint:dupword // columns may be alike
				"e validate none none  denied by i/denies", "f validate none none  denied by i/denies", "g validate none none  denied by i/denies", //nolint:dupword // columns may be alike
			},
			1,
		},
		"fails closed": {
			[]interceptor.Binding{bind("fails", breaks), bind("late", allows)},
			[]string{"fails validate deny none invalid_result=deny ", "late validate none none  denied by i/fails"}, //nolint:dupword // columns may be alike
			0,
		},
		"allowed": {[]interceptor.Binding{bind("a", allows)}, []string{"a validate allow none  "}, -1},
	} {
		for _, rec := range []interceptor.Recorder{interceptor.Discard, &memory{}} {
			h := &handler{}
			out := start(t, planOf(tc.bindings...), rec).Run(t.Context(), operation(), h.handle)
			var got []string
			for i, p := range out.Parts {
				failure := ""
				if p.Failure != nil {
					failure = fmt.Sprintf("%s=%s", p.Failure.Kind, p.Failure.Decision)
					if p.Failure.End.Before(out.End.Add(-1e9)) || p.Failure.End.After(out.End) {
						t.Errorf("%s: %s failed at %s, the operation ended at %s", name, p.Binding, p.Failure.End, out.End)
					}
				}
				got = append(got, fmt.Sprintf("%s %s %s %s %s %s", p.Binding, p.Phase, p.Decision, p.Would, failure, p.Skipped))
				if (out.By == &out.Parts[i]) != (i == tc.by) {
					t.Errorf("%s: part %d denied: %t", name, i, out.By == &out.Parts[i])
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// The end of a result, and when it was recorded, is after the call.
func TestResultsHaveAnEnd(t *testing.T) {
	rec, h := &memory{}, &handler{}
	chain := start(t, planOf(bind("a", allows), bind("b", allows, interceptor.PostCommit)), rec)
	chain.Run(t.Context(), operation(), h.handle)
	if err := chain.Close(t.Context()); err != nil { // post_commit is over
		t.Fatal(err)
	}
	for _, f := range rec.facts {
		if f.Result != nil && (f.Result.End != f.Time || f.Result.End.Before(f.Evaluation.Start)) {
			t.Errorf("%s ended at %s, began at %s, recorded at %s", f.Binding.ID, f.Result.End, f.Evaluation.Start, f.Time)
		}
	}
}
