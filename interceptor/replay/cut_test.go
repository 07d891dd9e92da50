// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
)

// TestCutIsTheSame: the same source gives the same bytes, and a cassette of a
// cassette says what the first one does.
func TestCutIsTheSame(t *testing.T) {
	h := (&screenplay{plan: oldPlan}).history(t)
	cut := func(s replay.Source) []byte {
		var b bytes.Buffer
		n, err := replay.Cut(t.Context(), s, &b)
		if err != nil || n != len(requests) {
			t.Fatalf("%d operations, %v", n, err)
		}
		return b.Bytes()
	}
	first := cut(h)
	if !bytes.Equal(first, cut(h)) {
		t.Error("cut twice, and not the same")
	}
	if diff := cmp.Diff(said(t, lines(first)), said(t, lines(cut(lines(first))))); diff != "" {
		t.Errorf("a cassette of a cassette:\n%s", diff)
	}
	var uids []string
	for op, err := range activity.Operations(lines(first).Events(t.Context(), "")) {
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, string(op.UID))
		if op.Start.IsZero() || op.Start.Year() == 2000 {
			t.Errorf("operation %s began %s", op.UID, op.Start)
		}
	}
	if diff := cmp.Diff([]string{"0199d0aa-3000-7000-8000-000000000001", "0199d0aa-3000-7000-8000-000000000002"}, uids[:2]); diff != "" {
		t.Errorf("uids:\n%s", diff)
	}
	for name, c := range map[string]struct {
		source replay.Source
		opts   []replay.CassetteOption
		want   string
	}{
		"nothing": {lines(nil), nil, "no operations"},
		"broken":  {h, []replay.CassetteOption{replay.Selecting("broken")}, "store is on fire"},
		"damaged": {lines(first[:len(first)/2]), nil, "malformed"},
		"version": {h, []replay.CassetteOption{replay.Events(activity.WithSchema("0.9.9"))}, "0.9.9"},
	} {
		if _, err := replay.Cut(t.Context(), c.source, &bytes.Buffer{}, c.opts...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := replay.Cut(ctx, h, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAsRecorded(t *testing.T) {
	var b bytes.Buffer
	(&screenplay{plan: oldPlan}).cassette(t, &b, replay.AsRecorded())
	for op, err := range activity.Operations(lines(b.Bytes()).Events(t.Context(), "")) {
		if err != nil || !strings.HasPrefix(string(op.UID), "0199d0aa-3000") || op.Start.Year() != 2026 {
			t.Fatalf("%s of %s, %v", op.UID, op.Start, err)
		}
	}
}

// TestSecretsAreNotInCassettes: neither what rules leave out, nor what is never
// recorded, also when it is cut from a history whose gateway kept more.
func TestSecretsAreNotInCassettes(t *testing.T) {
	key := []byte("0123456789abcdef")
	rules := []activity.Rule{
		{Name: "names", Pointers: []string{"/name"}, Do: activity.RedactHMAC},
		{Name: "images", Regex: "evil:1|base:2", Do: activity.RedactMask},
		{Name: "people", Regex: "alice", Do: activity.RedactDrop},
	}
	redactor, err := activity.NewRedactor(rules, key)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{"evil:1", "base:2", "alice", "Web-2", "web-slow", "Web-slow", "hunter2"}
	check := func(t *testing.T, b []byte) {
		t.Helper()
		for _, s := range secrets {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%q is in the cassette", s)
			}
		}
		for op, err := range activity.Operations(lines(b).Events(t.Context(), "")) {
			if err != nil {
				t.Fatal(err)
			}
			if len(op.Evaluations) == 0 || !op.Evaluations[0].Redacted {
				t.Errorf("operation %s does not say that it is redacted", op.UID)
			}
		}
		report := replayed(t, lines(b), oldPlan)
		if report.Reexecuted != 0 || report.Differs() {
			t.Errorf("what is redacted was judged: %s", report)
		}
	}
	play := &screenplay{plan: oldPlan, play: func(t testing.TB, run func(*interceptor.Operation) *interceptor.Outcome, _ *interceptor.Chain) {
		for i, r := range requests {
			op := operation(t, i+1, r.name, r.image)
			op.Attributes = map[string]string{"request.headers.authorization": "Bearer hunter2", "user_agent": "of alice"}
			run(op)
		}
	}}
	t.Run("recorded", func(t *testing.T) {
		var b bytes.Buffer
		play.cassette(t, &b, replay.Events(activity.WithRedactor(redactor)))
		check(t, b.Bytes())
	})
	t.Run("cut", func(t *testing.T) {
		var b bytes.Buffer
		if _, err := replay.Cut(t.Context(), play.history(t), &b, replay.Events(activity.WithRedactor(redactor))); err != nil {
			t.Fatal(err)
		}
		check(t, b.Bytes())
	})
	t.Run("cut of what was redacted", func(t *testing.T) {
		first, err := activity.NewRedactor(rules[:1], key)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := activity.NewRedactor(rules[1:], nil)
		if err != nil {
			t.Fatal(err)
		}
		half := *play
		half.opts = []activity.Option{activity.WithRedactor(first)}
		var b bytes.Buffer
		if _, err := replay.Cut(t.Context(), half.history(t), &b, replay.Events(activity.WithRedactor(rest))); err != nil {
			t.Fatal(err)
		}
		check(t, b.Bytes())
		var e struct {
			Unmapped struct {
				Docket struct {
					Redactions []map[string]any `json:"redactions"`
					Redacted   map[string]int   `json:"redacted"`
				} `json:"docket"`
			} `json:"unmapped"`
		}
		all := slices.Collect(bytes.Lines(b.Bytes()))
		if err := json.Unmarshal(all[1], &e); err != nil {
			t.Fatal(err)
		}
		var by []string
		for _, r := range e.Unmapped.Docket.Redactions {
			by = append(by, fmt.Sprint(r["rule"]))
		}
		slices.Sort(by)
		if diff := cmp.Diff([]string{"credentials", "names", "people"}, slices.Compact(by)); diff != "" || e.Unmapped.Docket.Redacted["hmac"] != 1 {
			t.Errorf("%v; rules that are said to have left something out:\n%s", e.Unmapped.Docket.Redacted, diff)
		}
	})
}
