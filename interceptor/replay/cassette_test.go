// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// TestCassettesSayTheSame: what replay reads of a cassette is what it reads of the
// store, of operations of all kinds, in all versions of OCSF.
func TestCassettesSayTheSame(t *testing.T) {
	for _, version := range profile.Versions() {
		for name, play := range screenplays(t) {
			if play.lose != nil {
				continue // made by Cut
			}
			t.Run(version+"/"+name, func(t *testing.T) {
				play.opts = append(play.opts, activity.WithSchema(version))
				h := play.history(t)
				var b bytes.Buffer
				play.cassette(t, &b)
				want := said(t, h)
				if diff := cmp.Diff(want, said(t, lines(b.Bytes()))); diff != "" {
					t.Errorf("recorded (-store +cassette):\n%s", diff)
				}
				var cut bytes.Buffer
				if n, err := replay.Cut(t.Context(), h, &cut, replay.Events(activity.WithSchema(version))); err != nil || n != len(want) {
					t.Fatalf("cut %d of %d operations: %v", n, len(want), err)
				}
				if diff := cmp.Diff(want, said(t, lines(cut.Bytes()))); diff != "" {
					t.Errorf("cut (-store +cassette):\n%s", diff)
				}
				clean(t, b.Bytes(), version)
				clean(t, cut.Bytes(), version)
			})
		}
	}
}

// clean judges the events of a cassette by OCSF's schema.
func clean(t *testing.T, cassette []byte, version string) {
	t.Helper()
	for line := range bytes.Lines(cassette) {
		report, err := ocsf.Validate(bytes.TrimSpace(line), version, ocsf.ModeServer)
		if err != nil || !report.Valid() || len(report.Warnings) > 0 {
			t.Fatalf("not clean: %v, %+v\n%s", err, report, line)
		}
	}
}

// lines is a Source of what is in a cassette.
type lines []byte

func (l lines) Events(context.Context, string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for line := range bytes.Lines(l) {
			if !yield(bytes.TrimSpace(line), nil) {
				return
			}
		}
	}
}

// said is what replay reads of operations, without what is noise.
func said(t *testing.T, s replay.Source) []string {
	t.Helper()
	var list []string
	for op, err := range activity.Operations(s.Events(t.Context(), "")) {
		if err != nil {
			t.Fatal(err)
		}
		names := map[interceptor.UID]string{op.UID: "O"}
		shown := map[string]string{}
		for i := range op.Evaluations {
			e := &op.Evaluations[i]
			names[e.UID] = fmt.Sprintf("E%d", i)
			maps.Copy(shown, e.Attributes)
		}
		part := func(p *interceptor.Part) string {
			if p == nil {
				return "nobody"
			}
			s := fmt.Sprintf("%s/%s %s %s shadow=%t would=%s skipped=%q of %s", p.Interceptor, p.Binding, p.Phase, p.Decision, p.Shadow, p.Would, p.Skipped, names[p.Evaluation])
			if p.Failure != nil {
				s += fmt.Sprintf(" failed %s %s %s", p.Failure.Kind, p.Failure.Policy, p.Failure.Decision)
			}
			return s
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s/%s of %v by %s durable=%t labels=%v shown=%v truncated=%t redacted=%t\n",
			op.Tenant, op.Service, op.Method, op.Principal, op.Plan, op.Durable, op.Labels, shown, op.Truncated, op.Redacted)
		for i := range op.Evaluations {
			e := &op.Evaluations[i]
			missing := e.Missing
			for uid, name := range names {
				missing = strings.ReplaceAll(missing, string(uid), name)
			}
			fmt.Fprintf(&b, "%s/%s %s %d of %d: %s state %s attributes=%v metadata=%v missing=%q truncated=%t redacted=%t shadow=%t would=%s\n",
				e.Interceptor, e.Binding, e.Phase, e.Index, e.Count, text(t, e.Payload), text(t, e.State), e.Attributes, e.Metadata,
				missing, e.Truncated, e.Redacted, e.Shadow, e.Would)
			if r := e.Result; r != nil {
				fmt.Fprintf(&b, "  result %s %q %q %s %v %q %v %q\n", r.Decision, r.Reason, r.StatusCode, patchText(r.Patches), r.Annotations, r.Warnings, r.Metadata, r.Violation)
			}
			if f := e.Failure; f != nil {
				fmt.Fprintf(&b, "  failure %s %s %s\n", f.Kind, f.Policy, f.Decision)
			}
		}
		if o := op.Outcome; o != nil {
			fmt.Fprintf(&b, "outcome %s ran=%t %q by %s; %s %q handler %v %s\n", o.Decision, o.Ran, o.Reason, part(o.By), o.Status.Code(), o.Status.Message(), o.HandlerStatus, patchText(o.Patches))
			for i := range o.Parts {
				fmt.Fprintf(&b, "  %s\n", part(&o.Parts[i]))
			}
		}
		list = append(list, b.String())
	}
	return list
}

func text(t *testing.T, p *interceptor.Payload) string {
	t.Helper()
	if p == nil {
		return "none"
	}
	raw, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func patchText(patches []interceptor.Patch) string {
	var b strings.Builder
	for _, p := range patches {
		fmt.Fprintf(&b, "[%s %s %s %s]", p.Op, p.Path, p.From, p.Value)
	}
	return b.String()
}

// TestRecordThenReplay is what a cassette is for: the same chain, replayed from it,
// comes out the same, and all of it is executed again.
func TestRecordThenReplay(t *testing.T) {
	for _, name := range []string{"march.ndjson", "march.ndjson.gz"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "testdata", name)
			t.Run("record", func(t *testing.T) { (&screenplay{plan: oldPlan}).perform(t, replay.Record(t, path)) })
			first, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if packed := len(first) > 2 && first[0] == 0x1f && first[1] == 0x8b; packed != strings.HasSuffix(name, ".gz") {
				t.Errorf("compressed: %t", packed)
			}
			plan := planOf(naming(), images("base:1", "base:2"), counting(func(*interceptor.Evaluation) (*interceptor.Result, error) { return allow() }), watch())
			report := replayed(t, replay.File(path), func() *interceptor.Plan { return plan }, replay.RequireVerified())
			timeouts := 2 // which are answered from the record, as ever
			if report.Same != len(requests) || report.Replayed-report.Reexecuted != timeouts {
				t.Errorf("%s", report)
			}
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Run("again", func(t *testing.T) { (&screenplay{plan: oldPlan}).perform(t, replay.Record(t, path)) })
			after, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if second, err := os.ReadFile(path); err != nil || !bytes.Equal(first, second) {
				t.Errorf("the same test gives other bytes, or %v", err)
			}
			if !os.SameFile(before, after) {
				t.Error("a file that is as it should be was replaced")
			}
			if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestNoiseIsNotInCassettes: two runs with other clocks, uids, traces, addresses
// and details are the same cassette; and what nothing was decided by is in none.
func TestNoiseIsNotInCassettes(t *testing.T) {
	run := func(n int) []byte {
		var b bytes.Buffer
		c := replay.NewCassette(&b, replay.Events(activity.WithGateway(fmt.Sprintf("gateway-%d", n)), activity.WithVersion(fmt.Sprintf("0.%d.0", n))))
		plan := planOf(naming(), images("base:1"), counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
			return nil, &interceptor.Failure{Kind: interceptor.Unavailable, Detail: fmt.Sprintf("dial 10.9.8.7:4072%d", n)}
		}), watch())
		for i := range plan.Bindings {
			plan.Bindings[i].Endpoint = fmt.Sprintf("unix:///tmp/of-run-%d.sock", n)
		}
		chain, err := interceptor.New(plan, c)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range requests {
			op := operation(t, i+n*100, r.name, r.image)
			op.Trace = spanOf(byte(n))
			op.Attributes = map[string]string{"source.address": fmt.Sprintf("10.0.0.%d:4072%d", n, n), "authorization": "Bearer hunter2"}
			op.RequestID = fmt.Sprintf("request-%d", n)
			op.Start = time.Now()
			chain.Run(t.Context(), op, handler)
		}
		if err := chain.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	first, second := run(1), run(2)
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Errorf("two runs (-first +second):\n%s", diff)
	}
	for _, noise := range []string{"hunter2", "request-", "10.0.0.", "10.9.8.7", "gateway-", "0.1.0", "of-run", "0101010101", "trace_uid", `"trace"`, `"kind":"finding"`, "fail_open was"} {
		if bytes.Contains(first, []byte(noise)) {
			t.Errorf("%q is in the cassette", noise)
		}
	}
	if n := regexp.MustCompile(`"duration":[1-9]`).FindIndex(first); n != nil {
		t.Error("a duration is in the cassette")
	}
}

// TestConcurrentOperations are in an order that does not depend on which came
// first.
func TestConcurrentOperations(t *testing.T) {
	run := func(shuffle int) []byte {
		var b bytes.Buffer
		c := replay.NewCassette(&b, replay.InAnyOrder())
		chain, err := interceptor.New(oldPlan(), c)
		if err != nil {
			t.Fatal(err)
		}
		const n = 64
		var wg sync.WaitGroup
		for i := range n {
			r := requests[(i*shuffle)%n%len(requests)]
			wg.Go(func() {
				chain.Run(context.Background(), operation(t, 1+i, fmt.Sprintf("%s-%d", r.name, (i*shuffle)%n), r.image), handler)
			})
		}
		wg.Wait()
		if err := chain.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	first := run(1)
	for _, shuffle := range []int{1, 3, 5, 7, 11, 13} {
		if !bytes.Equal(first, run(shuffle)) {
			t.Fatalf("the order of %d gives another cassette", shuffle)
		}
	}
	operation := ""
	seen := map[string]bool{}
	for line := range bytes.Lines(first) {
		h, err := profile.Parse(bytes.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if h.OperationUID != operation {
			if seen[h.OperationUID] && h.OperationUID != "" {
				t.Fatalf("the events of operation %s are apart", h.OperationUID)
			}
			seen[h.OperationUID], operation = true, h.OperationUID
		}
	}
}

// TestOverlap: operations stay in their order until two overlap.
func TestOverlap(t *testing.T) {
	names := func(overlap bool) []string {
		var b bytes.Buffer
		c := replay.NewCassette(&b)
		inner := make(chan struct{})
		var chain *interceptor.Chain
		plan := planWith(bind("nests", interceptor.Validate, counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
			if at(e, "/name") == "z" && overlap {
				go func() {
					defer close(inner)
					chain.Run(context.Background(), operation(t, 9, "y", "base:1"), handler)
				}()
				<-inner
			}
			return allow()
		})))
		chain, err := interceptor.New(plan, c)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"z", "b", "a"} {
			chain.Run(t.Context(), operation(t, i+1, name, "base:1"), handler)
		}
		if err := errors.Join(chain.Close(context.Background()), c.Close()); err != nil {
			t.Fatal(err)
		}
		var out []string
		for op, err := range activity.Operations(lines(b.Bytes()).Events(t.Context(), "")) {
			if err != nil {
				t.Fatal(err)
			}
			name, _ := op.Evaluations[0].Payload.Lookup("/name")
			out = append(out, fmt.Sprint(name))
		}
		return out
	}
	if diff := cmp.Diff([]string{"z", "b", "a"}, names(false)); diff != "" {
		t.Errorf("one after the other:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "y", "z"}, names(true)); diff != "" {
		t.Errorf("overlapping:\n%s", diff)
	}
}

// TestHandlerStatus: what the handler said is data, and stays.
func TestHandlerStatus(t *testing.T) {
	var b bytes.Buffer
	(&screenplay{plan: oldPlan}).cassette(t, &b)
	for op, err := range activity.Operations(lines(b.Bytes()).Events(t.Context(), "")) {
		if err != nil {
			t.Fatal(err)
		}
		name, _ := op.Evaluations[0].Payload.Lookup("/name")
		if want := status.New(codes.AlreadyExists, "it is there"); name == "fails" && op.Outcome.HandlerStatus.String() != want.String() {
			t.Errorf("handler: %s", op.Outcome.HandlerStatus)
		}
	}
}

func spanOf(n byte) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{n, 1, 1, 1, 1}, SpanID: trace.SpanID{n, 1, 1}})
}
