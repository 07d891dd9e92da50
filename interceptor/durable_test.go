// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

func TestDurableMethods(t *testing.T) {
	for mode, want := range map[string]string{
		AuditAuto:       "CreateSandbox Getaway Checkout Listen Countdown Readdress get",
		AuditDurable:    "CreateSandbox Getaway Checkout Listen Countdown Readdress get Get GetSandbox ListAll Watch ReadX DescribeIt Search2 CountAll CheckAccess",
		AuditBestEffort: "",
	} {
		plan := (&Plan{Audit: mode}).normal()
		var got []string
		for _, method := range strings.Fields("CreateSandbox Getaway Checkout Listen Countdown Readdress get Get GetSandbox ListAll Watch ReadX DescribeIt Search2 CountAll CheckAccess") {
			if plan.durable("s", method) {
				got = append(got, method)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: durable are %v", mode, got)
		}
	}
}

// Who speaks nearer to the operation is heard: the method, its service, its
// bindings, the plan.
func TestWhoSaysWhatIsDurable(t *testing.T) {
	methods := map[string]string{"s/Create": AuditBestEffort, "s/*": AuditDurable, "u/*": AuditAuto}
	for name, tc := range map[string]struct {
		plan, binding, other string
		service, method      string
		skipped              bool
		want                 bool
	}{
		"the method":                         {AuditDurable, AuditDurable, "", "s", "Create", false, false},
		"its service":                        {AuditBestEffort, AuditBestEffort, AuditBestEffort, "s", "Delete", false, true},
		"its service, by the name of it":     {AuditDurable, "", "", "u", "Get", false, false},
		"a binding":                          {AuditBestEffort, AuditDurable, "", "t", "Create", false, true},
		"one binding of two":                 {AuditBestEffort, AuditBestEffort, AuditDurable, "t", "Create", false, true},
		"all bindings":                       {AuditDurable, AuditBestEffort, AuditBestEffort, "t", "Create", false, false},
		"not one alone":                      {AuditDurable, AuditBestEffort, "", "t", "Create", false, true},
		"the plan":                           {AuditDurable, "", "", "t", "Get", false, true},
		"the plan, since none takes part":    {AuditAuto, AuditDurable, AuditDurable, "t", "Get", true, false},
		"auto, which a binding can overrule": {AuditAuto, AuditDurable, "", "t", "Get", false, true},
	} {
		plan := (&Plan{Audit: tc.plan, AuditMethods: methods}).normal()
		steps := []step{{bound: &bound{Binding: &Binding{Audit: tc.binding}}}, {bound: &bound{Binding: &Binding{Audit: tc.other}}}}
		if tc.skipped {
			steps[0].skipped, steps[1].skipped = "why", "why"
		}
		if got := plan.durable(tc.service, tc.method, steps[:1], steps[1:]); got != tc.want {
			t.Errorf("%s: durable: %t", name, got)
		}
	}
}

// silent never has a fact durable.
type silent struct{}

func (silent) Record(Fact)                        {}
func (silent) Barrier(context.Context, UID) error { return errors.New("the disk is gone") }

// What is said of a method and a binding decides whether the audit can hold an
// operation up.
func TestBestEffortOfOneMethod(t *testing.T) {
	allow := Func(func(context.Context, *Evaluation) (*Result, error) { return &Result{Decision: Allow}, nil })
	plan := &Plan{
		Unmatched: UnmatchedAllow, AuditMethods: map[string]string{"s/Touch": AuditBestEffort},
		Bindings: []Binding{
			{Interceptor: "i", ID: "b", Phases: []Phase{Validate}, Impl: allow, RPCs: []string{"s/Create", "s/Touch"}},
			{Interceptor: "i", ID: "read", Phases: []Phase{Validate}, Impl: allow, RPCs: []string{"s/GetSecret"}, Audit: AuditDurable},
		},
	}
	chain, err := New(plan, silent{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := chain.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for method, want := range map[string]bool{"Create": false, "Touch": true, "GetSecret": false} {
		out := chain.Run(t.Context(), &Operation{Service: "s", Method: method, Request: &emptypb.Empty{}},
			func(context.Context, proto.Message) (proto.Message, error) { return &emptypb.Empty{}, nil })
		if out.Ran != want {
			t.Errorf("%s: handler called: %t, %s", method, out.Ran, out.Reason)
		}
	}
}

func TestPlanRefusesUnknownAudit(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"no method":    func(p *Plan) { p.AuditMethods = map[string]string{"s": AuditDurable} },
		"no service":   func(p *Plan) { p.AuditMethods = map[string]string{"/*": AuditDurable} },
		"unknown mode": func(p *Plan) { p.AuditMethods = map[string]string{"s/M": "sometimes"} },
		"of a binding": func(p *Plan) {
			p.Bindings = []Binding{{Interceptor: "i", ID: "b", Phases: []Phase{Validate}, Audit: "sometimes", Impl: Func(nil)}}
		},
		"auto, binding's": func(p *Plan) {
			p.Bindings = []Binding{{Interceptor: "i", ID: "b", Phases: []Phase{Validate}, Audit: AuditAuto, Impl: Func(nil)}}
		},
	} {
		plan := &Plan{Unmatched: UnmatchedAllow}
		change(plan)
		var wrong *PlanError
		if _, err := New(plan, silent{}); !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Field, "audit") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
