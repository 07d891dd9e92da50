// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
)

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
