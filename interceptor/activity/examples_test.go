// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// TestExamples keeps the events of the story as published examples: what
// Docket writes, byte for byte.
func TestExamples(t *testing.T) {
	for _, version := range profile.Versions() {
		t.Run(version, func(t *testing.T) { examples(t, version) })
	}
}

func examples(t *testing.T, version string) {
	s := story(t, activity.WithSchema(version))
	s.emit(context.Background(), activity.PlanActivated(s.plan(), activity.WithVersion("0.1.0"), activity.WithSchema(version),
		activity.WithClock(func() time.Time { return time.UnixMilli(1793215001000) }), activity.WithUIDs(func() string { return "0199d0aa-2000-7000-8000-000000000999" })))
	dir := filepath.Join("..", "..", "schemas", "ocsf", "examples", version)
	if *update {
		old, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		for _, f := range old {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	kinds := map[string]bool{}
	for i, raw := range s.raw {
		h, err := profile.Check(raw)
		if err != nil {
			t.Fatal(err)
		}
		kinds[h.Kind] = true
		name := filepath.Join(dir, fmt.Sprintf("%02d_%s_%s.json", i+1, h.Kind, h.Decision))
		if *update {
			if err := os.WriteFile(name, append(raw, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(raw)+"\n"); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, kind := range profile.Kinds() {
		switch kind {
		case profile.KindAction: // side effects of rules, which do not exist yet
		case profile.KindAccess, profile.KindForeign: // no facts of a chain
		default:
			if !kinds[kind] {
				t.Errorf("the story has no %s", kind)
			}
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.json")); len(files) != len(s.raw) {
		t.Errorf("%d examples in %s, the story has %d events", len(files), dir, len(s.raw))
	}
}

// TestOperations reads the story back, in each version of OCSF, and compares it
// with what happened.
func TestOperations(t *testing.T) {
	for _, version := range profile.Versions() {
		t.Run(version, func(t *testing.T) { operations(t, version) })
	}
}

func operations(t *testing.T, version string) {
	var b strings.Builder
	for op, err := range activity.Operations(story(t, activity.WithSchema(version)).all) {
		if err != nil {
			t.Fatal(err)
		}
		describe(&b, op)
	}
	file := filepath.Join("testdata", "operations.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}

// TestRecorded reads the story, up to the agent, as it was recorded before
// events had all of their captions: what was written once is read for ever.
func TestRecorded(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "recorded.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for op, err := range activity.Operations(func(yield func([]byte, error) bool) {
		for event := range bytes.Lines(raw) {
			event = bytes.TrimSpace(event)
			if _, err := profile.Check(event); err != nil {
				t.Error(err)
			}
			clean(t, event, ocsf.DefaultVersion)
			if !yield(event, nil) {
				return
			}
		}
	}) {
		if err != nil {
			t.Fatal(err)
		}
		describe(&b, op)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "recorded.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}

func describe(b *strings.Builder, op *activity.Operation) {
	o := op.Outcome
	fmt.Fprintf(b, "%s %s %s/%s by %v from %v\n", op.UID, op.Tenant, op.Service, op.Method, op.Principal, op.Attributes)
	fmt.Fprintf(b, "  request %s\n", payload(op.Request))
	for _, e := range op.Evaluations {
		raw, _ := e.Payload.JSON()
		fmt.Fprintf(b, "  %s %s/%s %d of %d was shown %s", e.Phase, e.Interceptor, e.Binding, e.Index, e.Count, raw)
		switch {
		case e.Result != nil:
			fmt.Fprintf(b, ": %s %q %s %v %v %v %s\n", e.Result.Decision, e.Result.Reason, e.Result.StatusCode, patches(e.Result.Patches), e.Result.Annotations, e.Result.Warnings, e.Result.Violation)
		case e.Failure != nil:
			fmt.Fprintf(b, ": %s %q %s %s\n", e.Failure.Kind, e.Failure.Detail, e.Failure.Policy, e.Failure.Decision)
		}
	}
	fmt.Fprintf(b, "  outcome %s %q ran %v, handler %v, answered %s, %v, response %s\n", o.Decision, o.Reason, o.Ran, o.HandlerStatus, o.Status.Code(), patches(o.Patches), payload(o.Response))
	for _, p := range o.Parts {
		fmt.Fprintf(b, "    %s %s/%s %s %s", p.Phase, p.Interceptor, p.Binding, p.Evaluation, p.Decision)
		if p.Failure != nil {
			fmt.Fprintf(b, " %s", p.Failure.Kind)
		}
		fmt.Fprintf(b, " %s\n", p.Skipped)
	}
	if o.By != nil {
		fmt.Fprintf(b, "    by %s/%s\n", o.By.Interceptor, o.By.Binding)
	}
}

func payload(m proto.Message) string {
	if m == nil {
		return "unknown"
	}
	raw, err := interceptor.NewPayload(m).JSON()
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func patches(ps []interceptor.Patch) []string {
	var out []string
	for _, p := range ps {
		out = append(out, fmt.Sprintf("%s %s%s=%s", p.Op, p.From, p.Path, p.Value))
	}
	return out
}
