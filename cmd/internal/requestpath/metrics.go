// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/ocsf"
)

// planCounter counts what package metered is not told of: plans are no facts of
// an operation.
func planCounter(provider metric.MeterProvider) (metric.Int64Counter, error) {
	if provider == nil {
		provider = noop.NewMeterProvider()
	}
	return provider.Meter("github.com/docket-audit/docket/cmd/internal/requestpath").Int64Counter("docket_chain_plans",
		metric.WithUnit("{plan}"), metric.WithDescription("Plans that events say came into force, or were refused while another one stayed."))
}

// activated records that a plan is in force.
func (p *Path) activated(ctx context.Context, plan *interceptor.Plan) activity.Ack {
	return p.tellPlan(ctx, "activated", activity.PlanActivated(plan, p.form...))
}

// rejected records that a plan was refused, and why.
func (p *Path) rejected(ctx context.Context, why error, inForce *interceptor.Plan) {
	p.tellPlan(ctx, "rejected", activity.PlanRejected(why, p.cfg.File, inForce, p.form...))
}

// tellPlan records an event about a plan and counts it: there is one count for
// each event.
func (p *Path) tellPlan(ctx context.Context, result string, e ocsf.Event) activity.Ack {
	p.plans.Add(ctx, 1, metric.WithAttributes(attribute.String("result", result)))
	return p.emit(ctx, e)
}
