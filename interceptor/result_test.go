// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// What a result holds is counted as a whole, and may be just as much as is allowed.
func TestHowLongAResultMayBe(t *testing.T) {
	rename := interceptor.Patch{Op: "replace", Path: "/sandbox/name", Value: []byte(`"b"`)}
	for name, tc := range map[string]struct {
		result interceptor.Result
		size   int // as it counts
	}{
		"a reason":    {interceptor.Result{Reason: "0123456789"}, 10},
		"a code":      {interceptor.Result{StatusCode: "0123456789"}, 10},
		"patches":     {interceptor.Result{Patches: []interceptor.Patch{rename, rename}}, 2 * (len("replace/sandbox/name\"b\"") + 8)},
		"a from":      {interceptor.Result{Patches: []interceptor.Patch{{Op: "copy", Path: "/sandbox/labels/a", From: "/sandbox/name"}}}, len("copy/sandbox/labels/a/sandbox/name") + 8},
		"annotations": {interceptor.Result{Annotations: map[string]string{"k": "v", "kk": "vv"}}, 2 + 4 + 4 + 4},
		"warnings":    {interceptor.Result{Warnings: []string{"w", "ww"}}, 3 + 2 + 2},
		"together":    {interceptor.Result{Reason: "r", Warnings: []string{"w"}, Annotations: map[string]string{"k": "v"}}, 1 + 3 + 6},
	} {
		for _, room := range []int{0, -1} {
			given := tc.result
			if given.Decision = interceptor.Allow; len(given.Patches) > 0 {
				given.Decision = interceptor.Modify
			}
			b := bind("b", answers(&given, nil), interceptor.ModifyOperation)
			b.MaxResponseBytes = tc.size + room
			rec, h, op := &memory{}, &handler{}, operation()
			op.Request.(*sandboxv1.CreateSandboxRequest).Sandbox.Labels = map[string]string{"team": "x"}
			out := start(t, planOf(b), rec).Run(t.Context(), op, h.handle)
			if fits := out.Decision != interceptor.Deny; fits != (room == 0) {
				t.Errorf("%s in %d bytes: %s (%s)", name, b.MaxResponseBytes, out.Decision, out.Reason)
			}
			if room < 0 {
				if f := rec.failure(t); f.Kind != interceptor.Limit {
					t.Errorf("%s: %s", name, f)
				}
			}
		}
	}
}

// As many patches as are allowed are allowed.
func TestHowManyPatchesAResultMayHave(t *testing.T) {
	rename := interceptor.Patch{Op: "replace", Path: "/sandbox/name", Value: []byte(`"b"`)}
	for n, want := range map[int]interceptor.Decision{3: interceptor.Modify, 4: interceptor.Deny} {
		list := make([]interceptor.Patch, n)
		for i := range list {
			list[i] = rename
		}
		b := bind("b", patches(list...), interceptor.ModifyOperation)
		b.MaxPatches = 3
		h := &handler{}
		if out := start(t, planOf(b), interceptor.Discard).Run(t.Context(), operation(), h.handle); out.Decision != want {
			t.Errorf("%d patches of 3: %s (%s)", n, out.Decision, out.Reason)
		}
	}
}

// A result is recorded as what it amounts to, in texts that can be recorded.
func TestResultsAreTidied(t *testing.T) {
	for name, tc := range map[string]struct {
		given, want interceptor.Result
	}{
		"what is wrong with it is not its own to say": {interceptor.Result{Decision: interceptor.Allow, Violation: "mine"}, interceptor.Result{Decision: interceptor.Allow}},
		"a change of nothing":                         {interceptor.Result{Decision: interceptor.Modify}, interceptor.Result{Decision: interceptor.Allow}},
		"patches beside a deny": {
			interceptor.Result{Decision: interceptor.Deny, Reason: "no", Patches: []interceptor.Patch{{Op: "remove", Path: "/x"}}},
			interceptor.Result{Decision: interceptor.Deny, Reason: "no", Violation: "1 patches beside a deny"},
		},
		"texts": {
			interceptor.Result{Decision: interceptor.Deny, Reason: "n\xffo", StatusCode: "NOT\xff"},
			interceptor.Result{Decision: interceptor.Deny, Reason: "n\ufffdo", StatusCode: "NOT\ufffd", Violation: "status code \"NOT\ufffd\" on a deny"},
		},
		"the last of the codes": {
			interceptor.Result{Decision: interceptor.Deny, StatusCode: " unauthenticated "}, interceptor.Result{Decision: interceptor.Deny, StatusCode: " unauthenticated "},
		},
		"the first of the codes but one": {
			interceptor.Result{Decision: interceptor.Deny, StatusCode: "CANCELLED"}, interceptor.Result{Decision: interceptor.Deny, StatusCode: "CANCELLED"},
		},
	} {
		rec, h := &memory{}, &handler{}
		out := start(t, planOf(bind("b", answers(&tc.given, nil), interceptor.ModifyOperation)), rec).Run(t.Context(), operation(), h.handle)
		got := *rec.result(t, "b")
		got.End = tc.want.End
		if diff := cmp.Diff(tc.want, got); diff != "" || !utf8.ValidString(out.Status.Message()) {
			t.Errorf("%s: the caller is told %q\n%s", name, out.Status.Message(), diff)
		}
	}
	for name, code := range map[string]codes.Code{"unauthenticated": codes.Unauthenticated, "CANCELLED": codes.Canceled, "CANCELED": codes.PermissionDenied} {
		h := &handler{}
		out := start(t, planOf(bind("b", answers(&interceptor.Result{Decision: interceptor.Deny, StatusCode: name}, nil))), interceptor.Discard).Run(t.Context(), operation(), h.handle)
		if out.Status.Code() != code {
			t.Errorf("%s is %s", name, out.Status.Code())
		}
	}
}

// The words of a cause are a peer's: there is an end to them.
func TestTheWordsOfAFailureAreBounded(t *testing.T) {
	for word, least := range map[string]int{"x": 4 << 10, "\u20ac": 4<<10 - 2, "\xff": 1} {
		rec, h := &memory{}, &handler{}
		start(t, planOf(bind("b", answers(nil, errors.New("a"+strings.Repeat(word, 8<<10))))), rec).Run(t.Context(), operation(), h.handle)
		if f := rec.failure(t); len(f.Detail) < least || len(f.Detail) > 4<<10+3 || !utf8.ValidString(f.Detail) {
			t.Errorf("%d bytes of %q", len(f.Detail), word)
		}
	}
}
