// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
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
		for i := range n {
			e := interceptor.Evaluation{
				UID: interceptor.UID("e" + string(rune('0'+i))), Operation: op.UID, Interceptor: words.Draw(rt, "interceptor"), Binding: words.Draw(rt, "binding") + string(rune('0'+i)),
				Phase: rapid.SampledFrom([]interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate}).Draw(rt, "phase"),
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

// TestHostileTexts records what no protobuf text may be, and more than fits.
func TestHostileTexts(t *testing.T) {
	for _, version := range profile.Versions() {
		t.Run(version, func(t *testing.T) { hostileTexts(t, version) })
	}
}

func hostileTexts(t *testing.T, version string) {
	bad := "\xff\xfe" + strings.Repeat("x", 10_000)
	l := newLog(t)
	rec := activity.NewRecorder(l.emit, activity.WithGateway(bad), activity.WithVersion(bad), activity.WithSchema(version))
	op := &interceptor.Operation{
		UID: interceptor.UID(bad), Tenant: bad, Service: bad, Method: bad, Request: &structpb.Struct{},
		Principal:  map[string]string{"kind": bad, "subject": bad, "roles": bad, "provider": bad, bad: bad},
		Attributes: map[string]string{"source.address": bad, "authorization": "Bearer secret-1", "Cookie": "secret-2", "agent.id": bad, "agent.session": bad, "model": bad, bad: bad},
	}
	e := &interceptor.Evaluation{UID: interceptor.UID(bad), Operation: op.UID, Interceptor: bad, Binding: bad, Phase: interceptor.Validate, Payload: interceptor.NewPayload(op.Request)}
	plan := &interceptor.Plan{Answer: bad}
	for _, f := range []interceptor.Fact{
		{Evaluation: e},
		{Evaluation: e, Result: &interceptor.Result{Decision: interceptor.Deny, Reason: bad, StatusCode: bad, Patches: []interceptor.Patch{{Op: bad, Path: bad, From: bad, Value: []byte(bad)}}, Annotations: map[string]string{bad: bad}, Warnings: []string{bad}, Violation: bad}},
		{Evaluation: e, Failure: &interceptor.Failure{Kind: interceptor.FailureKind(bad), Detail: bad, Policy: interceptor.FailOpen, Decision: interceptor.Allow}},
		{Outcome: &interceptor.Outcome{Decision: interceptor.Deny, Reason: bad, Status: status.New(codes.Code(4711), bad), Parts: []interceptor.Part{{Interceptor: bad, Binding: bad, Phase: interceptor.Validate, Skipped: bad}}}},
		{Outcome: &interceptor.Outcome{Decision: interceptor.Allow, Ran: true}},
	} {
		f.Operation, f.Plan = op, plan
		rec.Record(f) // the log complains about what cannot be sealed or is not clean
	}
	for _, raw := range l.raw {
		if strings.Contains(string(raw), "secret-") {
			t.Errorf("a credential is recorded: %s", raw)
		}
		if _, err := activity.Read(raw); err != nil && !errors.Is(err, activity.ErrNoFact) {
			t.Error(err)
		}
	}
}

// TestCaptureMax records payloads and results beyond the limit by digest.
func TestCaptureMax(t *testing.T) {
	l := newLog(t)
	rec := activity.NewRecorder(l.emit, activity.WithCaptureMax(100))
	long, _ := structpb.NewStruct(map[string]any{"text": strings.Repeat("x", 3000)})
	op := &interceptor.Operation{UID: "op", Request: long}
	e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Payload: interceptor.NewPayload(&structpb.Struct{}), State: interceptor.NewPayload(long)}
	rec.Record(interceptor.Fact{Operation: op, Evaluation: e})
	e2 := *e
	e2.UID, e2.Payload, e2.State = "e2", interceptor.NewPayload(long), nil
	rec.Record(interceptor.Fact{Operation: op, Evaluation: &e2})
	large := []interceptor.Patch{{Op: "add", Path: "/x", Value: []byte(`"` + strings.Repeat("x", 3000) + `"`)}}
	rec.Record(interceptor.Fact{Operation: op, Evaluation: e, Result: &interceptor.Result{Decision: interceptor.Modify, Patches: large}})
	rec.Record(interceptor.Fact{Operation: op, Outcome: &interceptor.Outcome{Decision: interceptor.Modify, Patches: large}})
	grades := []string{activity.GradePartial, activity.GradeNone, "", ""}
	for i, raw := range l.raw {
		if len(raw) > 2500 {
			t.Errorf("event %d has %d bytes", i, len(raw))
		}
		h, err := profile.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		r, err := activity.Read(raw)
		if err != nil {
			t.Fatal(err)
		}
		if h.ReplayGrade != grades[i] || r.Truncated != (i >= 2) || (r.Missing != "") != (i < 2) {
			t.Errorf("event %d: grade %q, truncated %v, missing %q", i, h.ReplayGrade, r.Truncated, r.Missing)
		}
		if !strings.Contains(string(raw), `"is_truncated":true`) || !strings.Contains(string(raw), `"untruncated_size":3`) {
			t.Errorf("event %d does not say that it is truncated: %s", i, raw)
		}
	}
}

// secretive is the type of a message with a secret beside a public field.
func secretive(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	mark := &descriptorpb.FieldOptions{}
	mark.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 50001, protowire.VarintType), 1))
	field := func(name string, n int32, o *descriptorpb.FieldOptions) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: proto.String(name), Number: proto.Int32(n), JsonName: proto.String(name), Options: o,
			Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("s.proto"), Syntax: proto.String("proto3"), Package: proto.String("s"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M"), Field: []*descriptorpb.FieldDescriptorProto{field("public", 1, nil), field("token", 2, mark)}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().Get(0)
}

func withSecret(t *testing.T, public, secret string) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(secretive(t))
	if err := protojson.Unmarshal([]byte(`{"public":"`+public+`","token":"`+secret+`"}`), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSecrets records an operation with a secret, through a chain, and a patch
// that names one, which a chain would refuse: no event holds either.
func TestSecrets(t *testing.T) {
	const canary, sibling = "canary-secret", "public-sibling"
	request := withSecret(t, sibling, canary)
	meddler := interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "replace", Path: "/token", Value: []byte(`"` + canary + `"`)}}}, nil
	})
	s := newStage(t, &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{
		{Interceptor: "meddler", ID: "m", Phases: []interceptor.Phase{interceptor.ModifyOperation}, FailurePolicy: interceptor.FailOpen, Impl: meddler},
		{Interceptor: "naming", ID: "n", Phases: []interceptor.Phase{interceptor.PostCommit}, Impl: naming},
	}})
	op := &interceptor.Operation{Service: "s.S", Method: "CreateM", Request: request}
	if out := s.run(op, created); !out.Ran {
		t.Fatalf("did not run: %s", out.Reason)
	}
	s.close()
	e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.ModifyOperation, Index: 0, Count: 1}
	s.rec.Record(interceptor.Fact{Operation: op, Evaluation: e, Result: &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{
		{Op: "add", Path: "/token", Value: []byte(`"` + canary + `"`)}, {Op: "add", Path: "", Value: []byte(`{"token":"` + canary + `"}`)}, {Op: "add", Path: "/public", Value: []byte(`"` + sibling + `"`)},
	}}})
	siblings := 0
	for _, raw := range s.raw {
		if strings.Contains(string(raw), canary) {
			t.Errorf("the secret is recorded: %s", raw)
		}
		siblings += strings.Count(string(raw), sibling)
	}
	if siblings < 3 {
		t.Errorf("the public sibling is recorded %d times, want it in the request, the response and the patch", siblings)
	}
}

// TestOddPayloads records messages whose JSON form is no object, or that have
// none.
func TestOddPayloads(t *testing.T) {
	l := newLog(t)
	rec := activity.NewRecorder(l.emit)
	for i, m := range []proto.Message{wrapperspb.String("x"), wrapperspb.Int64(1 << 60), structpb.NewNullValue(), structpb.NewNumberValue(1.5e300), &structpb.Value{}, nil} {
		op := &interceptor.Operation{UID: interceptor.UID(rune('a' + i)), Request: m}
		e := &interceptor.Evaluation{UID: "e", Operation: op.UID, Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Payload: interceptor.NewPayload(m)}
		rec.Record(interceptor.Fact{Operation: op, Evaluation: e})
		r, err := activity.Read(l.raw[i])
		if err != nil {
			t.Fatal(err)
		}
		want, err := e.Payload.JSON()
		if err != nil {
			if r.Evaluation.Payload != nil || r.Missing == "" || r.Header.ReplayGrade != activity.GradeNone {
				t.Errorf("%v, which has no JSON form: %+v", m, r)
			}
			continue
		}
		if got := text(r.Evaluation.Payload); got != string(want) {
			t.Errorf("%v: %s, want %s", m, got, want)
		}
	}
}

// TestOperationsOutOfOrder reads events that come twice, late, or not at all.
func TestOperationsOutOfOrder(t *testing.T) {
	s := story(t)
	var events [][]byte
	for i := range s.raw { // all backwards, and each twice
		events = append(events, s.raw[len(s.raw)-1-i], s.raw[len(s.raw)-1-i])
	}
	n := 0
	for op, err := range activity.Operations(func(yield func([]byte, error) bool) {
		for _, raw := range events {
			if !yield(raw, nil) {
				return
			}
		}
	}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		for _, e := range op.Evaluations {
			if e.Missing != "" || (e.Result == nil) == (e.Failure == nil) {
				t.Errorf("evaluation %s: missing %q", e.UID, e.Missing)
			}
		}
	}
	if n != 5 {
		t.Errorf("%d operations, want 5", n)
	}
	// Errors are told, with their place, and do not end the reading.
	broken := errors.New("disk error")
	var errs, ops int
	for op, err := range activity.Operations(func(yield func([]byte, error) bool) {
		_ = yield([]byte("{"), nil) && yield(nil, broken) && yield(s.raw[0], nil)
	}) {
		if err != nil {
			errs++
		} else {
			ops++
			if op.Outcome != nil || op.Request == nil {
				t.Errorf("a cut off operation: %+v", op)
			}
		}
	}
	if errs != 2 || ops != 1 {
		t.Errorf("%d errors and %d operations, want 2 and 1", errs, ops)
	}
}

func FuzzRead(f *testing.F) {
	for _, raw := range story(f).raw {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := activity.Read(raw)
		if (r == nil) == (err == nil) {
			t.Fatalf("neither fact nor error: %v", err)
		}
		twice := slices.Repeat([][]byte{raw}, 2)
		for op, err := range activity.Operations(func(yield func([]byte, error) bool) {
			for _, raw := range twice {
				if !yield(raw, nil) {
					return
				}
			}
		}) {
			if (op == nil) == (err == nil) {
				t.Fatalf("neither operation nor error: %v", err)
			}
		}
	})
}

type silent struct{}

func (silent) Spooled(context.Context) error { return nil }

func BenchmarkRecord(b *testing.B) {
	rec := activity.NewRecorder(func(context.Context, ocsf.Event) activity.Ack { return silent{} })
	t := &testing.T{}
	op := operation(t, "op", "web", "base:1", 1)
	plan := storyPlan()
	e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Payload: interceptor.NewPayload(op.Request)}
	b.ReportAllocs()
	for b.Loop() {
		rec.Record(interceptor.Fact{Operation: op, Plan: plan, Evaluation: e})
		rec.Record(interceptor.Fact{Operation: op, Plan: plan, Evaluation: e, Result: &interceptor.Result{Decision: interceptor.Allow}})
		rec.Record(interceptor.Fact{Operation: op, Plan: plan, Outcome: &interceptor.Outcome{Decision: interceptor.Allow, Ran: true}})
	}
}
