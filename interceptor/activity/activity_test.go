// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"context"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRefusal records an operation that nobody could judge: one event, which
// says why, and nothing of the request.
func TestRefusal(t *testing.T) {
	const why = "the request has 9 bytes, a governed one at most 8"
	s := newStage(t, storyPlan())
	op := operation(t, uids("3000")(), "canary", "registry.example/base:1", 1)
	op.Request, op.Refusal = nil, status.New(codes.ResourceExhausted, why)
	s.run(op, created)
	s.close()
	if len(s.raw) != 1 {
		t.Fatalf("%d events", len(s.raw))
	}
	h, err := profile.Check(s.raw[0])
	if err != nil || h.Kind != profile.KindOutcome || h.Decision != profile.DecisionDeny || h.StatusCode != "RESOURCE_EXHAUSTED" || h.StatusDetail != why {
		t.Errorf("header %+v, %v", h, err)
	}
	for got, err := range activity.Operations(s.all) {
		if err != nil {
			t.Fatal(err)
		}
		if o := got.Outcome; got.Request != nil || o == nil || o.Ran || o.HandlerStatus != nil || o.Reason != why || len(o.Parts) != 5 || o.Parts[0].Skipped != why {
			t.Errorf("read back: %+v, outcome %+v", got.Operation, o)
		}
	}
}

// TestMemory runs operations to every kind of end, and sees that nothing of
// them stays, whatever the acknowledgements do.
func TestMemory(t *testing.T) {
	broken := errors.New("disk full")
	for name, ack := range map[string]func(ocsf.Event) activity.Ack{
		"spooled":     func(ocsf.Event) activity.Ack { return spooled{} },
		"refused":     func(ocsf.Event) activity.Ack { return spooled{broken} },
		"never":       func(ocsf.Event) activity.Ack { return never{} },
		"only facts":  func(e ocsf.Event) activity.Ack { return refuse(e, profile.KindOutcome) },
		"only answer": func(e ocsf.Event) activity.Ack { return refuse(e, profile.KindEvaluation) },
		"panics":      func(ocsf.Event) activity.Ack { panic("emit") },
	} {
		for _, audit := range []string{interceptor.AuditDurable, interceptor.AuditBestEffort} {
			t.Run(name+"/"+audit, func(t *testing.T) {
				plan := storyPlan()
				plan.Audit, plan.AuditDeadline = audit, 5*time.Millisecond
				s := newStage(t, plan)
				s.ack = ack
				for i := range 20 {
					s.run(operation(t, "", "Web 7", "registry.example/base:1", float64(i%4)), created)
					s.run(operation(t, "", "Web 7", "evil", 1), created)
					s.run(operation(t, "", "w", "registry.example/base:1", 1), func(context.Context, proto.Message) (proto.Message, error) { panic("handler") })
					gone, cancel := context.WithCancel(context.Background())
					cancel()
					s.chain.Run(gone, operation(t, "", "w", "x", 1), created)
				}
				s.close()
				s.run(operation(t, "", "w", "x", 1), created) // denied: the chain is closed
				if n := s.rec.Open(); n != 0 {
					t.Errorf("the recorder still remembers %d operations", n)
				}
			})
		}
	}
}

type never struct{}

func (never) Spooled(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func refuse(e ocsf.Event, kind string) activity.Ack {
	if e.Common().Metadata.EventCode == kind {
		return spooled{errors.New("no room")}
	}
	return spooled{}
}

// TestBarrier checks what the barriers promise, by outcome.
func TestBarrier(t *testing.T) {
	for _, c := range []struct {
		name    string
		refused string
		ran     bool
		pending bool
	}{
		{"all durable", "", true, false},
		{"an evaluation is lost", profile.KindEvaluation, false, true},
		{"the outcome is lost", profile.KindOutcome, true, true},
		{"the finding is lost", profile.KindFinding, false, true},
	} {
		plan := storyPlan()
		plan.Audit = interceptor.AuditDurable
		s := newStage(t, plan)
		s.ack = func(e ocsf.Event) activity.Ack { return refuse(e, c.refused) }
		out := s.run(operation(t, "", "web", "registry.example/base:1", 2), created)
		if out.Ran != c.ran || out.AuditPending != c.pending {
			t.Errorf("%s: ran %v, pending %v", c.name, out.Ran, out.AuditPending)
		}
		s.close()
	}
	rec := activity.NewRecorder(newLog(t).emit)
	if err := rec.Barrier(context.Background(), "unheard of"); err == nil {
		t.Error("a barrier for an operation without facts promises something")
	}
}

// TestPlanRejected writes that a plan was rejected, in each version: the plan in
// force is told, and no plan is carried.
func TestPlanRejected(t *testing.T) {
	for _, version := range profile.Versions() {
		for _, inForce := range []*interceptor.Plan{nil, storyPlan()} {
			l := newLog(t)
			e := activity.PlanRejected(errors.New("line 7: unknown key \"order\" \xff"), "/etc/docket/docket.toml", inForce, activity.WithSchema(version))
			l.emit(context.Background(), e)
			h, err := profile.Check(l.raw[0])
			if err != nil || h.Kind != profile.KindLifecycle || h.Tenant != profile.TenantDocket || ocsf.ClassUID(h.ClassUID) != ocsf.ClassApplicationError {
				t.Errorf("header %+v, %v", h, err)
			}
			if raw := string(l.raw[0]); !strings.Contains(raw, `"rejected":{"error":"line 7: unknown key`) || (inForce != nil) != strings.Contains(raw, `"plan":"sha256:`) {
				t.Errorf("event: %s", raw)
			}
		}
	}
}

// TestSchema asks for a version of OCSF that no event can be sealed in.
func TestSchema(t *testing.T) {
	for _, v := range append(profile.Versions(), "") {
		if err := activity.CheckSchema(v); err != nil {
			t.Error(err)
		}
	}
	var unknown *activity.SchemaError
	if err := activity.CheckSchema("1.7.0"); !errors.As(err, &unknown) || unknown.Version != "1.7.0" {
		t.Errorf("CheckSchema: %v", err)
	}
	rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		_, _, err := profile.Seal(e, newLog(t).link)
		return spooled{err}
	}, activity.WithSchema("1.7.0"))
	plan := storyPlan()
	plan.Audit = interceptor.AuditDurable
	chain, err := interceptor.New(plan, rec)
	if err != nil {
		t.Fatal(err)
	}
	if out := chain.Run(context.Background(), operation(t, "", "web", "registry.example/base:1", 1), created); out.Ran || out.Status.Code() != codes.Unavailable {
		t.Errorf("what cannot be recorded is done: %+v", out)
	}
	if err := chain.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
