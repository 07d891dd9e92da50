// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
)

var (
	words    = rapid.StringOfN(rapid.RuneFrom([]rune("ab-_.é\u2028 \"\\")), 1, 6, -1)
	maybe    = rapid.StringOfN(rapid.RuneFrom([]rune("ab-_.é\u2028 \"\\")), 0, 6, -1)
	instants = rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMilli(rapid.Int64Range(1, 4e12).Draw(t, "ms")).UTC()
	})
	values = rapid.OneOf(rapid.Just(`"x"`), rapid.Just(`null`), rapid.Just(`{"a":[1,2.5,true]}`), rapid.Just(`7`))
)

func drawPatches(t *rapid.T) []interceptor.Patch {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) interceptor.Patch {
		p := interceptor.Patch{Op: words.Draw(t, "op"), Path: "/" + words.Draw(t, "path"), From: maybe.Draw(t, "from")}
		if rapid.Bool().Draw(t, "has value") {
			p.Value = []byte(values.Draw(t, "value"))
		}
		return p
	}), 1, 3).Draw(t, "patches")
}

func drawPayload(t *rapid.T, label string) *interceptor.Payload {
	v := rapid.MapOfN(words, rapid.OneOf(maybe.AsAny(), rapid.Bool().AsAny(), rapid.Float64Range(-1e6, 1e6).AsAny(), rapid.Just[any](nil), rapid.Just[any](map[string]any{"same_as": "x"})), 0, 3).Draw(t, label)
	s, err := structpb.NewStruct(v)
	if err != nil {
		t.Fatal(err)
	}
	return interceptor.NewPayload(s)
}

func drawOperation(t *rapid.T) *interceptor.Operation {
	op := &interceptor.Operation{
		UID: interceptor.UID(words.Draw(t, "uid")), Tenant: words.Draw(t, "tenant"), Service: maybe.Draw(t, "service"), Method: maybe.Draw(t, "method"),
		Start: instants.Draw(t, "start"),
	}
	if rapid.Bool().Draw(t, "has principal") {
		op.Principal = rapid.MapOfN(rapid.OneOf(words, rapid.SampledFrom([]string{"kind", "subject", "display_name", "provider", "roles", "sandbox_id"})), rapid.OneOf(maybe, rapid.SampledFrom([]string{"user", "service", "sandbox", "agent", "anonymous"})), 1, 4).Draw(t, "principal")
	}
	if rapid.Bool().Draw(t, "has attributes") {
		op.Attributes = rapid.MapOfN(rapid.OneOf(words, rapid.SampledFrom([]string{"source.address", "agent.id", "agent.session", "model"})), rapid.OneOf(maybe, rapid.SampledFrom([]string{"192.0.2.7:80", "[2001:db8::1%eth0]:65535", "host:99999", "::ffff:192.0.2.1", "p/m", "/"})), 1, 5).Draw(t, "attributes")
	}
	if rapid.Bool().Draw(t, "has trace") {
		config := trace.SpanContextConfig{Remote: true}
		copy(config.TraceID[:], rapid.SliceOfN(rapid.ByteRange(1, 255), 16, 16).Draw(t, "trace"))
		copy(config.SpanID[:], rapid.SliceOfN(rapid.ByteRange(1, 255), 8, 8).Draw(t, "span"))
		op.Trace = trace.NewSpanContext(config)
	}
	return op
}

// TestRoundTrip draws operations, tells a Recorder their facts, and reads the
// same back from the events.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLog(t)
		rec := activity.NewRecorder(l.emit, activity.WithSchema(rapid.SampledFrom(profile.Versions()).Draw(rt, "version")))
		op := drawOperation(rt)
		now := instants.Draw(rt, "now")
		plan := &interceptor.Plan{Unmatched: interceptor.UnmatchedDeny, Answer: interceptor.AnswerWithhold}
		record := func(f interceptor.Fact) {
			f.Time, f.Operation, f.Plan = now, op, plan
			rec.Record(f)
		}
		var want []interceptor.Evaluation
		var results []*interceptor.Result
		var failures []*interceptor.Failure
		n := rapid.IntRange(0, 3).Draw(rt, "evaluations")
		out := &interceptor.Outcome{Decision: interceptor.Allow, End: op.Start.Add(time.Second)}
		phase := interceptor.ModifyOperation
		for i := range n {
			if rapid.Bool().Draw(rt, "next phase") {
				phase = interceptor.Validate
			}
			e := interceptor.Evaluation{
				UID: interceptor.UID("e" + string(rune('0'+i))), Operation: op.UID, Interceptor: words.Draw(rt, "interceptor"), Binding: words.Draw(rt, "binding") + string(rune('0'+i)),
				Phase: phase,
				Start: instants.Draw(rt, "start"), Index: i, Count: n,
				Service: op.Service, Method: op.Method, Principal: op.Principal, Trace: op.Trace,
				Payload: drawPayload(rt, "payload"),
			}
			if rapid.Bool().Draw(rt, "has state") {
				e.State = drawPayload(rt, "state")
			}
			record(interceptor.Fact{Evaluation: &e})
			part := interceptor.Part{Evaluation: e.UID, Interceptor: e.Interceptor, Binding: e.Binding, Phase: e.Phase}
			end := e.Start.Add(time.Duration(rapid.IntRange(0, 1000).Draw(rt, "took")) * time.Millisecond)
			var res *interceptor.Result
			var fail *interceptor.Failure
			if rapid.Bool().Draw(rt, "fails") {
				fail = &interceptor.Failure{
					Kind: rapid.SampledFrom([]interceptor.FailureKind{interceptor.Timeout, interceptor.InvalidResult, interceptor.Panic, interceptor.Cancelled}).Draw(rt, "kind"), Detail: maybe.Draw(rt, "detail"),
					Policy: interceptor.FailOpen, Decision: interceptor.Allow, End: end,
				}
				part.Failure, part.Decision = fail, fail.Decision
			} else {
				res = &interceptor.Result{
					Decision: rapid.SampledFrom([]interceptor.Decision{interceptor.Allow, interceptor.Deny, interceptor.Modify}).Draw(rt, "decision"),
					Reason:   maybe.Draw(rt, "reason"), StatusCode: maybe.Draw(rt, "code"), End: end,
				}
				if res.Decision == interceptor.Modify {
					res.Patches = drawPatches(rt)
				}
				if rapid.Bool().Draw(rt, "talks") {
					res.Annotations, res.Warnings, res.Violation = map[string]string{words.Draw(rt, "k"): maybe.Draw(rt, "v")}, []string{words.Draw(rt, "w")}, words.Draw(rt, "violation")
				}
				part.Decision = res.Decision
			}
			record(interceptor.Fact{Evaluation: &e, Result: res, Failure: fail})
			out.Parts = append(out.Parts, part)
			want, results, failures = append(want, e), append(results, res), append(failures, fail)
		}
		ended(rt, out)
		record(interceptor.Fact{Outcome: out})
		if rec.Open() != 0 {
			rt.Fatalf("%d operations are remembered", rec.Open())
		}
		compare(rt, l, op, want, results, failures, out)
	})
}

// ended draws how the operation ended.
func ended(t *rapid.T, out *interceptor.Outcome) {
	switch rapid.SampledFrom([]string{"ok", "handler failed", "denied", "audit"}).Draw(t, "end") {
	case "ok":
		out.Ran, out.Status, out.HandlerStatus = true, status.New(codes.OK, ""), status.New(codes.OK, "")
		if rapid.Bool().Draw(t, "modified") {
			out.Decision, out.Patches = interceptor.Modify, drawPatches(t)
		}
	case "handler failed":
		out.Ran, out.Status = true, status.New(codes.Code(rapid.Uint32Range(1, 16).Draw(t, "code")), maybe.Draw(t, "message"))
		out.HandlerStatus = out.Status
	case "denied":
		out.Decision, out.Reason, out.Status = interceptor.Deny, words.Draw(t, "reason"), status.New(codes.PermissionDenied, "no")
		for i := range out.Parts {
			if p := &out.Parts[i]; p.Decision == interceptor.Deny && p.Failure == nil {
				out.By = p
				break
			}
		}
		out.Parts = append(out.Parts, interceptor.Part{Interceptor: "late", Binding: "one", Phase: interceptor.Validate, Skipped: "denied"})
		if out.By != nil { // the append may have moved the parts
			for i := range out.Parts {
				if out.Parts[i].Evaluation == out.By.Evaluation {
					out.By = &out.Parts[i]
					break
				}
			}
		}
	case "audit":
		out.Decision, out.Reason, out.Status = interceptor.Deny, "audit unavailable", status.New(codes.Unavailable, "audit unavailable")
	}
}

func compare(t *rapid.T, l *log, op *interceptor.Operation, want []interceptor.Evaluation, results []*interceptor.Result, failures []*interceptor.Failure, out *interceptor.Outcome) {
	var got *activity.Operation
	for o, err := range activity.Operations(l.all) {
		if err != nil || got != nil {
			t.Fatalf("more than one operation: %v", err)
		}
		got = o
	}
	type operation struct {
		UID                                  interceptor.UID
		Tenant, Service, Method, Trace, Span string
		Principal, Attributes                map[string]string
		Start                                time.Time
	}
	plain := func(o *interceptor.Operation) operation {
		return operation{o.UID, o.Tenant, o.Service, o.Method, o.Trace.TraceID().String(), o.Trace.SpanID().String(), o.Principal, o.Attributes, o.Start}
	}
	if diff := cmp.Diff(plain(op), plain(&got.Operation)); diff != "" {
		t.Fatalf("operation (-want +got):\n%s", diff)
	}
	if len(got.Evaluations) != len(want) {
		t.Fatalf("%d evaluations, want %d", len(got.Evaluations), len(want))
	}
	for i, e := range got.Evaluations {
		w := &want[i]
		if e.UID != w.UID || e.Interceptor != w.Interceptor || e.Binding != w.Binding || e.Phase != w.Phase || !e.Start.Equal(w.Start) || e.Index != w.Index || e.Count != w.Count || e.Operation != w.Operation {
			t.Fatalf("evaluation %d: %+v, want %+v", i, e.Evaluation, w)
		}
		if text(e.Payload) != text(w.Payload) || text(e.State) != text(w.State) || e.Missing != "" {
			t.Fatalf("evaluation %d was shown %s and %s (%s), want %s and %s", i, text(e.Payload), text(e.State), e.Missing, text(w.Payload), text(w.State))
		}
		if diff := cmp.Diff(results[i], e.Result) + cmp.Diff(failures[i], e.Failure); diff != "" {
			t.Fatalf("end of evaluation %d (-want +got):\n%s", i, diff)
		}
	}
	type outcome struct {
		Decision        interceptor.Decision
		Reason          string
		Ran             bool
		Status, Handler string
		Patches         []interceptor.Patch
		Parts           []interceptor.Part
		By              *interceptor.Part
		End             time.Time
	}
	ends := func(o *interceptor.Outcome) outcome {
		p := outcome{o.Decision, o.Reason, o.Ran, o.Status.Code().String(), o.HandlerStatus.Code().String(), o.Patches, o.Parts, o.By, o.End}
		if o.Ran {
			p.Status, p.Handler = o.Status.String(), o.HandlerStatus.String()
		}
		return p
	}
	if diff := cmp.Diff(ends(out), ends(got.Outcome)); diff != "" {
		t.Fatalf("outcome (-want +got):\n%s", diff)
	}
}

func text(p *interceptor.Payload) string {
	if p == nil {
		return "absent"
	}
	raw, err := p.JSON()
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
