// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"fmt"
	"time"

	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// bare returns the event of a fact that could not be written, because writing it
// panicked with cause: who decided what about which operation, and nothing that
// somebody else wrote. Of the cause it tells the type alone: the value may quote
// what was not to be recorded.
func bare(f *interceptor.Fact, planDigest string, c *Config, cause any) (*draft, ocsf.Event) {
	config := *c
	config.Redactor, config.Now, config.NewUID = nil, time.Now, newUID
	op := &interceptor.Operation{
		UID: f.Operation.UID, Tenant: f.Operation.Tenant, Service: f.Operation.Service, Method: f.Operation.Method,
		Trace: f.Operation.Trace, Start: f.Operation.Start, Durable: f.Operation.Durable,
	}
	w := writer{config: &config, fact: *stripped(f, op), digest: planDigest, shared: share(op, &config), op: &operation{}}
	e := w.event()
	e.own(ownBroken, fmt.Sprintf("the event could not be written whole: panic of type %T", cause))
	return e, w.finding(e)
}

// stripped returns a fact without anything that is not the chain's own.
func stripped(f *interceptor.Fact, op *interceptor.Operation) *interceptor.Fact {
	c := &interceptor.Fact{Time: f.Time, Operation: op}
	if b := f.Binding; b != nil {
		c.Binding = &interceptor.Binding{Interceptor: b.Interceptor, ID: b.ID, Shadow: b.Shadow, Capture: b.Capture}
	}
	if e := f.Evaluation; e != nil {
		c.Evaluation = &interceptor.Evaluation{
			UID: e.UID, Operation: e.Operation, Interceptor: e.Interceptor, Binding: e.Binding, Phase: e.Phase,
			Service: e.Service, Method: e.Method, Start: e.Start, Index: e.Index, Count: e.Count,
		}
	}
	if r := f.Result; r != nil {
		c.Result = &interceptor.Result{Decision: r.Decision, End: r.End}
	}
	if fail := f.Failure; fail != nil {
		c.Failure = &interceptor.Failure{Kind: fail.Kind, Policy: fail.Policy, Decision: fail.Decision, End: fail.End}
	}
	if o := f.Outcome; o != nil {
		c.Outcome = &interceptor.Outcome{Decision: o.Decision, By: o.By, Ran: o.Ran, End: o.End, Parts: make([]interceptor.Part, len(o.Parts))}
		for i, p := range o.Parts {
			if p.Skipped != "" {
				p.Skipped = decisionSkipped
			}
			c.Outcome.Parts[i] = p
		}
		if o.Status != nil {
			c.Outcome.Status = status.New(o.Status.Code(), "")
		}
		if o.HandlerStatus != nil {
			c.Outcome.HandlerStatus = status.New(o.HandlerStatus.Code(), "")
		}
	}
	return c
}
