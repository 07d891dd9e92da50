// SPDX-License-Identifier: Apache-2.0

package dashboards

const ofCollector = `instance=~"$collector"`

// Pipeline follows events from the chain to the store: what is offered is in the
// WAL, on the stream, or stored, and what is not is counted.
func Pipeline() Dashboard {
	p := &page{}
	flowing(p)
	offering(p)
	spooling(p)
	streaming(p)
	collecting(p)
	lacking(p)
	following(p)
	p.row("From the store (a ClickHouse)")
	p.table("Epochs and what they lack", "Epochs with events in the time shown: how many the store has of each, and how many sequences below its last one it does not have. Those are on their way, missing, expired or erased; docket doctor and docket verify tell which.",
		"SELECT tenant, emitter, epoch, count(*) AS stored, max(sequence) AS last_sequence,\n"+
			"  max(sequence) - count(DISTINCT sequence) AS lacking, max(time) AS latest_at\n"+
			"FROM events\nWHERE epoch IN (SELECT epoch FROM events WHERE "+within+")\n  AND "+visible+"\n"+
			"GROUP BY tenant, emitter, epoch\nORDER BY lacking DESC, latest_at DESC, epoch\nLIMIT 100")
	p.table("Starts, stops and changes", "What emitters and collectors told of themselves in the time shown: starts, stops, plans, a stream that is not what it was.",
		"SELECT time AS happened_at, tenant, emitter, severity_id, message, metadata_uid\n"+
			selected("events", "kind = 'lifecycle'")+
			"ORDER BY happened_at DESC, metadata_uid\nLIMIT 200")
	return dashboard("docket-pipeline", "Docket pipeline",
		"Where events are between the chain and the store, how much room each place has, and what is in the way.",
		p, chooseMetrics, chooseStore, gateways, collectors, tenants)
}

func flowing(p *page) {
	p.row("Does it flow?")
	p.stat("Connected to NATS", "Share of the emitters that have a connection to NATS. One without keeps its events in its WAL.", ratio, atLeast(0.5, 1),
		query{`avg(docket_emitter_connected{` + ofGateway + `})`, ""})
	p.stat("Collectors that store", "How many collectors fill the store: one does, all others stand by. With none events wait on the stream; two would be at odds about the lease.", count, exactly(1),
		query{`sum(docket_collector_active)`, ""})
	p.stat("Behind", "How long the oldest message on the stream has waited that the store does not have.", seconds, limits(60, 300),
		query{`max(docket_collector_lag_seconds{` + ofCollector + `})`, ""})
	p.stat("Stream full", "How full the stream is. At 75 % the collector removes what all stores have; when it is full it refuses, and WALs fill.", ratio, limits(0.8, 0.9),
		query{`max(docket_collector_stream_bytes{` + ofCollector + `} / docket_collector_stream_limit_bytes{` + ofCollector + `})`, ""})
	p.stat("WAL full", "How full the fullest WAL is with what JetStream has not acknowledged. At 75 % files that it has acknowledged are given up.", ratio, limits(0.5, 0.75),
		query{`max(docket_emitter_wal_behind_bytes{` + ofGateway + `} / docket_emitter_wal_limit_bytes{` + ofGateway + `})`, ""})
	p.stat("Troubles", "What does not work now in any emitter; docket doctor and the log name each.", count, limits(1),
		query{`sum(docket_emitter_troubles{` + ofGateway + `})`, ""})
}

func offering(p *page) {
	p.row("Into an epoch: offered = sequenced + refused")
	p.series("Offered and what became of it", "Events that the chain offered; each took a sequence, or was refused because the queue was full. A refused one is declared in a gap event.", perSecond,
		query{`sum(rate(docket_emitter_offered_total{` + ofGateway + `}[$__rate_interval]))`, "offered"},
		query{`sum(rate(docket_emitter_sequenced_total{` + ofGateway + `}[$__rate_interval]))`, "sequenced"},
		query{`sum(rate(docket_emitter_refused_total{` + ofGateway + `}[$__rate_interval]))`, "refused"},
		query{`sum(rate(docket_emitter_own_total{` + ofGateway + `}[$__rate_interval]))`, "of the emitter itself"})
	p.series("Not accounted for", "Waiting: offered events that have neither a sequence nor a refusal yet, which is the queue. Undeclared: refused events that no gap event states yet. Both go back to 0.", count,
		query{`sum by (instance) (docket_emitter_offered_total{` + ofGateway + `} - docket_emitter_sequenced_total - docket_emitter_refused_total)`, "{{instance}} waiting"},
		query{`sum by (instance) (docket_emitter_refused_total{` + ofGateway + `} - docket_emitter_declared_total)`, "{{instance}} undeclared"})
	p.series("Queue", "Memory of the events that are not on stable storage yet.", bytesUnit,
		query{`sum by (instance) (docket_emitter_queue_bytes{` + ofGateway + `})`, "{{instance}}"})
	p.series("Oldest event in the queue", "How long the oldest event has waited that is not on stable storage. It grows while the disk hangs.", seconds,
		query{`max by (instance) (docket_emitter_queue_age_seconds{` + ofGateway + `})`, "{{instance}}"})
}

func spooling(p *page) {
	p.row("WAL")
	p.limited("WAL behind", "How full WALs are with what JetStream has not acknowledged.", ratio, limits(0.5, 0.75),
		query{`docket_emitter_wal_behind_bytes{` + ofGateway + `} / docket_emitter_wal_limit_bytes`, "{{instance}}"})
	p.series("WAL bytes", "Bytes of all WAL files, what of them JetStream has not acknowledged, what they may have together, and what is kept for when the disk is full.", bytesUnit,
		query{`sum by (instance) (docket_emitter_wal_bytes{` + ofGateway + `})`, "{{instance}} all"},
		query{`sum by (instance) (docket_emitter_wal_behind_bytes{` + ofGateway + `})`, "{{instance}} behind"},
		query{`sum by (instance) (docket_emitter_wal_limit_bytes{` + ofGateway + `})`, "{{instance}} limit"},
		query{`sum by (instance) (docket_emitter_reserve_bytes{` + ofGateway + `})`, "{{instance}} reserve"})
	p.limited("Room on the WAL's disk", "Share of the file system with the WAL that is free.", ratio, atLeast(0.05, 0.1),
		query{`docket_emitter_disk_free_bytes{` + ofGateway + `} / docket_emitter_disk_size_bytes`, "{{instance}}"})
	p.series("Time to the disk, p99", "spooled: from an event's offer until its group is on stable storage. sync: what of that the disk takes.", seconds,
		query{quantile(0.99, "docket_emitter_spool_duration_seconds", "", ofGateway), "spooled"},
		query{quantile(0.99, "docket_emitter_sync_duration_seconds", "", ofGateway), "sync"})
	p.series("Spooled", "Events that came onto stable storage, and events whose payloads the stream would not take and that digests stand for.", perSecond,
		query{`sum(rate(docket_emitter_spooled_total{` + ofGateway + `}[$__rate_interval]))`, "spooled"},
		query{`sum(rate(docket_emitter_shrunk_total{` + ofGateway + `}[$__rate_interval]))`, "shrunk"})
	p.series("Bytes", "Bytes of events that came onto stable storage and onto the stream.", bytesPerSecond,
		query{`sum(rate(docket_emitter_spooled_size_bytes_total{` + ofGateway + `}[$__rate_interval]))`, "spooled"},
		query{`sum(rate(docket_emitter_streamed_size_bytes_total{` + ofGateway + `}[$__rate_interval]))`, "streamed"})
}

func streaming(p *page) {
	p.row("Stream")
	p.series("Streamed", "Events that JetStream acknowledged, repetitions included; what a collector lacked and asked for; batches that were in doubt and are published again.", perSecond,
		query{`sum(rate(docket_emitter_streamed_total{` + ofGateway + `}[$__rate_interval]))`, "streamed"},
		query{`sum(rate(docket_emitter_resent_total{` + ofGateway + `}[$__rate_interval]))`, "sent again when asked"},
		query{`sum(rate(docket_emitter_publish_retries_total{` + ofGateway + `}[$__rate_interval]))`, "batches tried again"})
	p.series("Time to the stream, p99", "From a group's coming onto stable storage to its acknowledgement by JetStream.", seconds,
		query{quantile(0.99, "docket_emitter_stream_duration_seconds", "", ofGateway), "p99"})
	p.series("Waiting for a larger server", "Events that are larger than what the NATS server takes.", count,
		query{`sum by (instance) (docket_emitter_aside{` + ofGateway + `})`, "{{instance}}"})
	p.series("Bytes on the stream", "What is on the stream, and what may be.", bytesUnit,
		query{`max(docket_collector_stream_bytes{` + ofCollector + `})`, "bytes"},
		query{`max(docket_collector_stream_limit_bytes{` + ofCollector + `})`, "limit"})
	p.series("Waiting on the stream", "Messages on the stream that the store does not have, as the collector sees it beside its flushes, and as its last flush saw it.", count,
		query{`max(docket_collector_waiting{` + ofCollector + `})`, "waiting"},
		query{`max(docket_collector_pending{` + ofCollector + `})`, "at the last flush"})
	p.limited("How far the store is behind", "How long the oldest message on the stream has waited that the store does not have.", seconds, limits(60, 300),
		query{`docket_collector_lag_seconds{` + ofCollector + `}`, "{{instance}}"})
}

func collecting(p *page) {
	p.row("Collector")
	p.series("Who holds the lease", "1 for the collector that fills the store, 0 for those that stand by for it.", count,
		query{`docket_collector_active`, "{{instance}}"})
	p.series("Stored", "Events that were stored; duplicates came more than once and were recognized.", perSecond,
		query{`sum(rate(docket_collector_events_total{` + ofCollector + `}[$__rate_interval]))`, "stored"},
		query{`sum(rate(docket_collector_duplicates_total{` + ofCollector + `}[$__rate_interval]))`, "duplicates"})
	p.series("Events in a commit", "How many events a commit of the store takes together.", count,
		query{`sum(rate(docket_collector_events_total{` + ofCollector + `}[$__rate_interval])) / sum(rate(docket_collector_commits_total{` + ofCollector + `}[$__rate_interval]))`, "events"})
	p.series("Time of a flush", "From a full batch to its acknowledgement: files, commit, ledger, watermark.", seconds,
		query{quantile(0.5, "docket_collector_flush_seconds", "", ofCollector), "p50"},
		query{quantile(0.99, "docket_collector_flush_seconds", "", ofCollector), "p99"})
	p.series("Quarantined", "Messages on the stream that are no event that their sender may send. They are kept with the reason; docket quarantine shows them.", perSecond,
		query{`sum(rate(docket_collector_quarantined_total{` + ofCollector + `}[$__rate_interval]))`, "messages"})
	p.series("Failed steps", "Steps of the collector that failed and are tried again, by step.", perSecond,
		query{`sum by (step) (rate(docket_collector_errors_total{` + ofCollector + `}[$__rate_interval]))`, "{{step}}"})
}

func lacking(p *page) {
	p.row("Holes: sequenced = stored + quarantined + missing + in flight")
	p.series("Balance", "Sequenced events by where they are. In flight is with the emitter, on the stream or asked for. docket doctor has the account of each epoch.", count,
		query{`sum by (part) (docket_collector_balance{` + ofCollector + `})`, "{{part}}"})
	p.series("Epochs with holes", "Epochs of which events are asked for.", count,
		query{`max(docket_collector_holes{` + ofCollector + `})`, "epochs"})
	p.limited("Missing", "Events that emitters no longer have, and that did not come since. A finding names each.", count, limits(1),
		query{`max(docket_collector_missing{` + ofCollector + `})`, "events"})
	p.series("Asking", "Questions to emitters about what the store lacks, and what they answered.", perSecond,
		query{`sum(rate(docket_collector_questions_total{` + ofCollector + `}[$__rate_interval]))`, "questions"},
		query{`sum by (answer) (rate(docket_collector_answered_total{` + ofCollector + `}[$__rate_interval]))`, "{{answer}}"})
}

func following(p *page) {
	p.row("Subscribers")
	p.series("Subscribers", "Who follows events now: docket tail, the API's tails, programs.", count,
		query{`sum by (instance) (docket_follow_subscribers{` + ofCollector + `})`, "{{instance}}"})
	p.series("Shown to subscribers", "Events shown before they were stored, and when they were.", perSecond,
		query{`sum(rate(docket_follow_live_events_total{` + ofCollector + `}[$__rate_interval]))`, "live"},
		query{`sum(rate(docket_follow_stored_events_total{` + ofCollector + `}[$__rate_interval]))`, "when stored"})
	p.series("Missed by subscribers", "Events that subscribers who were too slow were told that they missed. The store has them.", perSecond,
		query{`sum(rate(docket_follow_missed_events_total{` + ofCollector + `}[$__rate_interval]))`, "events"})
}
