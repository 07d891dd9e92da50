// SPDX-License-Identifier: Apache-2.0

package dashboards

// Overview is the page to open first. From top to bottom it follows an event:
// is the history whole, what was decided, what did deciding cost, and where in
// the pipeline does the record of it lie.
func Overview() Dashboard {
	p := &page{}
	wholeness(p)
	decisions(p)
	bindings(p)
	emission(p)
	storage(p)
	return dashboard("docket-overview", "Docket overview",
		"What the chain decides, what that costs, and whether the record of it is whole. Who did what is in the store: docket tail, docket query.",
		p, chooseMetrics)
}

// wholeness is the line that must be green: each number is a promise that was
// not kept, or is about to be.
func wholeness(p *page) {
	p.row("Is the history whole?")
	p.stat("Failed open", "Evaluations that failed and let their operation pass unjudged, in the time shown. Each has a finding.", count, limits(1),
		query{grown("docket_chain_failures_total", `policy="fail_open"`), ""})
	p.stat("Conflicts", "Events whose place in an epoch another stored event has, since the collector started. One of the two is forged or damaged; docket verify says where.", count, limits(1),
		query{`sum(docket_collector_conflicts_total)`, ""})
	p.stat("Missing", "Events that were sequenced, are not stored, and will not come: their emitters no longer have them. A finding names them.", count, limits(1),
		query{`sum(docket_collector_balance{part="missing"})`, ""})
	p.stat("Quarantined", "Messages on the stream that are no event that their sender may send. They are kept with the reason.", count, limits(1),
		query{`sum(docket_collector_quarantined_total)`, ""})
	p.stat("Refused events", "Events that an emitter refused because its queue was full. Each is counted and stated in a gap event.", count, limits(1),
		query{`sum(docket_emitter_refused_total)`, ""})
	p.stat("Audit unavailable", "Waits that ended without durable facts: the operation was denied, or answered with docket-audit: pending.", count, limits(1),
		query{`sum(docket_chain_audit_unavailable_total)`, ""})
	p.stat("WAL full", "How full the fullest WAL is with what JetStream has not acknowledged. At 75 % files that it has acknowledged are given up.", ratio, limits(0.5, 0.75),
		query{`max(docket_emitter_wal_behind_bytes / docket_emitter_wal_limit_bytes)`, ""})
	p.stat("Collectors that store", "How many collectors fill the store: one does, all others stand by.", count, exactly(1),
		query{`sum(docket_collector_active)`, ""})
	p.stat("Behind", "How long the oldest message on the stream has waited that the store does not have.", seconds, limits(60, 300),
		query{`max(docket_collector_lag_seconds)`, ""})
	p.stat("Stream full", "How full the stream is; it refuses when it is full.", ratio, limits(0.8, 0.9),
		query{`max(docket_collector_stream_bytes / docket_collector_stream_limit_bytes)`, ""})
	p.stat("Disk free", "Share of the fullest disk that is free, of WALs and stores.", ratio, atLeast(0.05, 0.1),
		query{`min(docket_collector_disk_free_bytes / docket_collector_disk_size_bytes or docket_emitter_disk_free_bytes / docket_emitter_disk_size_bytes)`, ""})
	p.stat("Troubles", "What does not work now in any emitter; docket doctor and the log name each.", count, limits(1),
		query{`sum(docket_emitter_troubles)`, ""})
}

func decisions(p *page) {
	p.row("Decisions")
	p.stacked("Operations by decision", "Governed operations that came to their end, by what the chain decided.", perSecond,
		query{`sum by (decision) (rate(docket_chain_operations_total[$__rate_interval]))`, "{{decision}}"})
	p.series("Denied methods", "Denied operations of the ten methods with most of them.", perSecond,
		query{`topk(10, sum by (method) (rate(docket_chain_operations_total{decision="deny"}[$__rate_interval])))`, "{{method}}"})
	p.series("Failures", "Evaluations without a result, by interceptor, kind and the failure policy that was applied. Each fail_open let an operation pass unjudged and raised a finding.", perSecond,
		query{`sum by (interceptor, kind, policy) (rate(docket_chain_failures_total[$__rate_interval]))`, "{{interceptor}} {{kind}} {{policy}}"})
	p.series("Answers by status", "Governed calls by the gRPC status that the caller was answered.", perSecond,
		query{`sum by (code) (rate(docket_grpcproxy_governed_calls_total[$__rate_interval]))`, "{{code}}"})
	p.series("Ungoverned calls", "Calls that passed because no binding governs their method, as the configuration's unmatched allows.", perSecond,
		query{`topk(10, sum by (method) (rate(docket_grpcproxy_ungoverned_calls_total[$__rate_interval])))`, "{{method}}"})
	p.series("Refused calls", "Calls refused before any binding saw them, or whose messages could not be read, by reason.", perSecond,
		query{`sum by (reason) (rate(docket_grpcproxy_refused_calls_total[$__rate_interval]))`, "{{reason}}"})
}

func bindings(p *page) {
	p.row("What deciding costs")
	p.series("Operation time", "From an operation's arrival to its handler's return or its denial.", seconds,
		query{quantile(0.5, "docket_chain_operation_duration_seconds", ""), "p50"},
		query{quantile(0.99, "docket_chain_operation_duration_seconds", ""), "p99"})
	p.series("Evaluation time by interceptor, p99", "How long the interceptors take for one evaluation.", seconds,
		query{quantile(0.99, "docket_chain_evaluation_duration_seconds", "interceptor"), "{{interceptor}}"})
	p.series("Wait for durable facts", "How long operations waited until what was recorded of them was on stable storage, each time that they did.", seconds,
		query{quantile(0.5, "docket_chain_audit_wait_seconds", ""), "p50"},
		query{quantile(0.99, "docket_chain_audit_wait_seconds", ""), "p99"})
}

func emission(p *page) {
	p.row("Emitter: WAL and stream")
	p.series("Events", "Offered by the chain; spooled: on stable storage in the WAL; streamed: acknowledged by JetStream, repetitions included.", perSecond,
		query{`sum(rate(docket_emitter_offered_total[$__rate_interval]))`, "offered"},
		query{`sum(rate(docket_emitter_spooled_total[$__rate_interval]))`, "spooled"},
		query{`sum(rate(docket_emitter_streamed_total[$__rate_interval]))`, "streamed"})
	p.series("WAL", "Bytes of all WAL files, what of them JetStream has not acknowledged, and what they may have together.", bytesUnit,
		query{`sum by (instance) (docket_emitter_wal_bytes)`, "{{instance}} all"},
		query{`sum by (instance) (docket_emitter_wal_behind_bytes)`, "{{instance}} behind"},
		query{`sum by (instance) (docket_emitter_wal_limit_bytes)`, "{{instance}} limit"})
	p.series("Published again", "Batches that are published again because the broker refused them or did not answer.", perSecond,
		query{`sum by (instance) (rate(docket_emitter_publish_retries_total[$__rate_interval]))`, "{{instance}}"})
}

func storage(p *page) {
	p.row("Collector: stream into store")
	p.series("Stored", "Events that were stored; duplicates came more than once and were recognized.", perSecond,
		query{`sum(rate(docket_collector_events_total[$__rate_interval]))`, "stored"},
		query{`sum(rate(docket_collector_duplicates_total[$__rate_interval]))`, "duplicates"})
	p.series("Balance", "Sequenced events by where they are: stored, quarantined, missing, or in flight, which is with the emitter, on the stream or asked for. docket doctor has the account of each epoch.", count,
		query{`sum by (part) (docket_collector_balance)`, "{{part}}"})
	p.series("Waiting on the stream", "Messages on the stream that are not stored yet.", count,
		query{`max(docket_collector_pending)`, "messages"})
	p.series("Time of a flush", "From a full batch to its acknowledgement: files, commit, ledger, watermark.", seconds,
		query{quantile(0.5, "docket_collector_flush_seconds", ""), "p50"},
		query{quantile(0.99, "docket_collector_flush_seconds", ""), "p99"})
	p.series("Bytes stored", "Bytes of the events that were stored, before compression.", bytesPerSecond,
		query{`sum(rate(docket_collector_stored_bytes_total[$__rate_interval]))`, "bytes"})
	p.series("Findings", "What the collector found, by type: dangling intents, conflicts, breaks of the hash chain.", perSecond,
		query{`sum by (type) (rate(docket_collector_findings_total[$__rate_interval]))`, "{{type}}"})
	p.series("Failed steps", "Steps of the collector that failed and are tried again, by step.", perSecond,
		query{`sum by (step) (rate(docket_collector_errors_total[$__rate_interval]))`, "{{step}}"})
}
