// SPDX-License-Identifier: Apache-2.0

package dashboards

// Of one gateway, interceptor and binding, or of several.
const (
	ofGateway = `instance=~"$gateway"`
	ofBinding = `instance=~"$gateway", interceptor=~"$interceptor", binding=~"$binding"`
)

// Evaluations is for those who answer for a chain: what each binding decides, how
// long it takes, how it fails and what became of it.
func Evaluations() Dashboard {
	p := &page{}
	unjudged(p)
	verdicts(p)
	latency(p)
	failures(p)
	beyond(p)
	fromEvaluations(p)
	return dashboard("docket-evaluations", "Docket evaluations",
		"What each binding decides, how long it takes and how it fails. The tables at the end ask the store: who was denied, and what passed unjudged.",
		p, chooseMetrics, chooseStore, gateways, interceptors, bindingNames, tenants)
}

// unjudged is the line that must be green: what passed without a judgement that
// was asked for, and what was stopped for want of one.
func unjudged(p *page) {
	p.row("Did everything get its judgement?")
	p.stat("Failed open", "Evaluations that failed and let their operation pass unjudged, because the failure policy is fail_open, in the time shown. Each has a finding.", count, limits(1),
		query{grown("docket_chain_failures_total", ofBinding+`, policy="fail_open"`), ""})
	p.stat("Failed closed", "Evaluations that failed and stopped their operation, because the failure policy is fail_closed, in the time shown. Callers were denied for no fault of theirs.", count, limits(1, 100),
		query{grown("docket_chain_failures_total", ofBinding+`, policy="fail_closed"`), ""})
	p.stat("Failing share", "Share of the evaluations that failed, now.", ratio, limits(0.001, 0.01),
		query{`sum(rate(docket_chain_failures_total{` + ofBinding + `}[$__rate_interval])) / sum(rate(docket_chain_evaluations_total{` + ofBinding + `}[$__rate_interval]))`, ""})
	p.stat("Denied share", "Share of the governed operations that are denied, now. A jump is a new plan, or somebody who tries.", ratio, plain,
		query{`sum(rate(docket_chain_operations_total{` + ofGateway + `, decision="deny"}[$__rate_interval])) / sum(rate(docket_chain_operations_total{` + ofGateway + `}[$__rate_interval]))`, ""})
	p.stat("Plans refused", "Chains that could not come into force in the time shown, while the one before stayed. docket plans ls has what did.", count, limits(1),
		query{grown("docket_chain_plans_total", ofGateway+`, result="rejected"`), ""})
	p.stat("Passed ungoverned", "Calls that no binding governs and that passed, in the time shown. It is as the configuration's unmatched allows.", count, plain,
		query{grown("docket_grpcproxy_ungoverned_calls_total", ofGateway), ""})
}

func verdicts(p *page) {
	p.row("Decisions")
	p.stacked("Operations by decision", "Governed operations that came to their end, by what the chain decided.", perSecond,
		query{`sum by (decision) (rate(docket_chain_operations_total{` + ofGateway + `}[$__rate_interval]))`, "{{decision}}"})
	p.series("Decisions by binding", "Evaluations that ended, by what the binding decided or its failure policy made of it. Shadows are below.", perSecond,
		query{`sum by (binding, decision) (rate(docket_chain_evaluations_total{` + ofBinding + `, shadow="false"}[$__rate_interval]))`, "{{binding}} {{decision}}"})
	p.series("Denied methods", "Denied operations of the ten methods with most of them.", perSecond,
		query{`topk(10, sum by (method) (rate(docket_chain_operations_total{` + ofGateway + `, decision="deny"}[$__rate_interval])))`, "{{method}}"})
	p.series("Patches", "Patches that were applied to operations, by method.", perSecond,
		query{`sum by (method) (rate(docket_chain_patches_total{` + ofGateway + `}[$__rate_interval]))`, "{{method}}"})
	p.series("Not asked", "Bindings that an operation did not call: it was denied before, or they do not select it.", perSecond,
		query{`sum by (binding) (rate(docket_chain_skipped_total{` + ofBinding + `}[$__rate_interval]))`, "{{binding}}"})
	p.series("Left out of events", "Values that events say were left out of them, by what was done in their place. failed is a redaction that failed; the value is left out all the same.", perSecond,
		query{`sum by (action) (rate(docket_chain_redactions_total{` + ofGateway + `}[$__rate_interval]))`, "{{action}}"})
}

func latency(p *page) {
	p.row("What deciding costs")
	p.series("Evaluation time by binding, p50", "How long half of the evaluations take at most.", seconds,
		query{quantile(0.5, "docket_chain_evaluation_duration_seconds", "binding", ofBinding), "{{binding}}"})
	p.series("Evaluation time by binding, p99", "How long 99 of 100 evaluations take at most.", seconds,
		query{quantile(0.99, "docket_chain_evaluation_duration_seconds", "binding", ofBinding), "{{binding}}"})
	p.series("Evaluation time by phase, p99", "modify_operation and validate are in the caller's way, post_commit is not.", seconds,
		query{quantile(0.99, "docket_chain_evaluation_duration_seconds", "phase", ofBinding), "{{phase}}"})
	p.series("Operation time", "From an operation's arrival to its handler's return or its denial, beside what the service itself took.", seconds,
		query{quantile(0.5, "docket_chain_operation_duration_seconds", "", ofGateway), "p50"},
		query{quantile(0.99, "docket_chain_operation_duration_seconds", "", ofGateway), "p99"},
		query{quantile(0.99, "docket_grpcproxy_upstream_duration_seconds", "", ofGateway), "service p99"})
	p.series("Wait for a turn, p99", "How long evaluations waited that did not have their turn at once, because the interceptor's limit of calls at a time was reached.", seconds,
		query{quantile(0.99, "docket_chain_queue_wait_seconds", "interceptor", ofGateway, `interceptor=~"$interceptor"`), "{{interceptor}}"})
	p.series("Wait for durable facts", "How long operations waited until what was recorded of them was on stable storage, each time that they did.", seconds,
		query{quantile(0.5, "docket_chain_audit_wait_seconds", "", ofGateway), "p50"},
		query{quantile(0.99, "docket_chain_audit_wait_seconds", "", ofGateway), "p99"})
}

func failures(p *page) {
	p.row("Failures")
	p.series("Failures by kind", "Evaluations without a result, by what went wrong.", perSecond,
		query{`sum by (kind) (rate(docket_chain_failures_total{` + ofBinding + `}[$__rate_interval]))`, "{{kind}}"})
	p.series("Failures by binding and policy", "Evaluations without a result, by the failure policy that was applied. fail_open let the operation pass, fail_closed stopped it.", perSecond,
		query{`sum by (interceptor, binding, policy) (rate(docket_chain_failures_total{` + ofBinding + `}[$__rate_interval]))`, "{{interceptor}} {{binding}} {{policy}}"})
	p.series("Audit unavailable", "Waits that ended without durable facts: the operation was denied, or answered with docket-audit: pending.", perSecond,
		query{`sum by (instance) (rate(docket_chain_audit_unavailable_total{` + ofGateway + `}[$__rate_interval]))`, "{{instance}}"})
}

// beyond is what bindings in force do not decide.
func beyond(p *page) {
	p.row("Beyond the chain in force")
	p.series("Shadows: what would have been", "Evaluations by shadows, by what they would have decided had they been in force. They change nothing.", perSecond,
		query{`sum by (binding, would) (rate(docket_chain_shadow_total{` + ofBinding + `}[$__rate_interval]))`, "{{binding}} {{would}}"})
	p.series("Ungoverned methods", "Calls that passed because no binding governs their method, of the ten methods with most of them.", perSecond,
		query{`topk(10, sum by (method) (rate(docket_grpcproxy_ungoverned_calls_total{` + ofGateway + `}[$__rate_interval])))`, "{{method}}"})
	p.series("Refused calls", "Calls refused before any binding saw them, or whose messages could not be read, by reason.", perSecond,
		query{`sum by (reason) (rate(docket_grpcproxy_refused_calls_total{` + ofGateway + `}[$__rate_interval]))`, "{{reason}}"})
}

func fromEvaluations(p *page) {
	p.row("From the store (a ClickHouse)")
	p.table("Who is denied most", "Principals by their denied operations in the time shown, with when it happened last.",
		"SELECT principal, tenant, count(*) AS denials, count(DISTINCT method) AS methods, max(time) AS latest_at\n"+
			selected("operations", "decision = 'deny'")+
			"GROUP BY principal, tenant\nORDER BY denials DESC, principal, tenant\nLIMIT 50")
	p.table("What passed unjudged", "Evaluations that failed open in the time shown, the newest first. docket show OPERATION has the whole of each.",
		"SELECT time AS happened_at, tenant, principal, service, method, interceptor, binding, failure_kind, reason, operation_uid\n"+
			selected("evaluations", "answer = 'failure'", "failure_policy = 'fail_open'")+
			"ORDER BY happened_at DESC, operation_uid\nLIMIT 200")
	p.table("Why operations are denied", "Denied operations in the time shown by the binding that decided and the reason that it gave.",
		"SELECT interceptor, binding, reason, count(*) AS denials, max(time) AS latest_at\n"+
			selected("operations", "decision = 'deny'")+
			"GROUP BY interceptor, binding, reason\nORDER BY denials DESC, interceptor, binding, reason\nLIMIT 50")
	p.table("Who is new", "Principals of which the store has no operation before the time shown.",
		"SELECT principal, tenant, count(*) AS operations, min(time) AS began_at\nFROM operations\nWHERE time <= ${__to}\n  AND "+visible+
			"\nGROUP BY principal, tenant\nHAVING min(time) >= ${__from}\nORDER BY began_at DESC, principal, tenant\nLIMIT 50")
}
