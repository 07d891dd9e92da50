// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
)

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
