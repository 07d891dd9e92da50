// SPDX-License-Identifier: Apache-2.0

package dashboards

// Storage is for those who answer for the store: is it whole, is it signed for, how
// long will there be room, and what leaves it.
func Storage() Dashboard {
	p := &page{}
	integrity(p)
	signing(p)
	growing(p)
	leaving(p)
	fromStore(p)
	return dashboard("docket-storage", "Docket storage and integrity",
		"Whether the store is whole and its ledger covers it, what it takes, how long there is room, and what leaves it. docket verify proves what is shown here.",
		p, chooseMetrics, chooseStore, collectors, tenants)
}

func integrity(p *page) {
	p.row("Is what is stored whole?")
	p.stat("Conflicts", "Events whose place in an epoch another stored event has, since the collector started. One of the two is forged or damaged; docket verify says where.", count, limits(1),
		query{`sum(docket_collector_conflicts_total{` + ofCollector + `})`, ""})
	p.stat("Hash chain breaks", "Events that do not follow the event before them, since the collector started: something was taken out of or put into the history of an emitter.", count, limits(1),
		query{`sum(docket_collector_findings_total{` + ofCollector + `, type="hash_chain_break"}) or vector(0)`, ""})
	p.stat("Missing", "Events that were sequenced, are not stored, and will not come: their emitters no longer have them. A finding names them.", count, limits(1),
		query{`sum(docket_collector_balance{` + ofCollector + `, part="missing"})`, ""})
	p.stat("Quarantined", "Messages on the stream that are no event that their sender may send, since the collector started. They are kept with the reason.", count, limits(1),
		query{`sum(docket_collector_quarantined_total{` + ofCollector + `})`, ""})
	p.stat("Not signed for", "How long the oldest commit has waited that no checkpoint of the ledger covers.", seconds, limits(10, 60),
		query{`max(docket_collector_ledger_behind_seconds{` + ofCollector + `})`, ""})
	p.stat("Disk full in", "How long the disk of the store lasts if it fills as it did in the last six hours. Nothing is shown while it does not fill.", seconds, atLeast(3*24*3600, 14*24*3600),
		query{`min(docket_collector_disk_free_bytes{` + ofCollector + `} / -(deriv(docket_collector_disk_free_bytes{` + ofCollector + `}[6h]) < 0))`, ""})
}

func signing(p *page) {
	p.row("Ledger and findings")
	p.series("Statements in the ledger", "Commits, compactions and removals that a checkpoint covers.", count,
		query{`max(docket_collector_ledger_statements{` + ofCollector + `})`, "statements"})
	p.series("Age of the last entry", "How long ago the ledger was last seen to cover every commit. It grows while nothing is stored, and that is as it should be.", seconds,
		query{`time() - max(docket_collector_ledger_time_seconds{` + ofCollector + `})`, "age"})
	p.limited("Ledger behind the store", "How long the oldest commit has waited that no checkpoint covers.", seconds, limits(10, 60),
		query{`docket_collector_ledger_behind_seconds{` + ofCollector + `}`, "{{instance}}"})
	p.series("Findings", "What the collector found, by type: dangling intents, conflicts, breaks of the hash chain, missing events.", perSecond,
		query{`sum by (type) (rate(docket_collector_findings_total{` + ofCollector + `}[$__rate_interval]))`, "{{type}}"})
	p.series("Commits", "Commits of the store.", perSecond,
		query{`sum(rate(docket_collector_commits_total{` + ofCollector + `}[$__rate_interval]))`, "commits"})
	p.series("Failed steps", "Steps of the collector that failed and are tried again, by step: ledger, commit, compaction, retention and others.", perSecond,
		query{`sum by (step) (rate(docket_collector_errors_total{` + ofCollector + `}[$__rate_interval]))`, "{{step}}"})
}

func growing(p *page) {
	p.row("What it takes")
	p.stacked("Bytes of the store", "Files of the lake by part: hot segments, which a compaction takes next; public files; stubs, which stay of what left. docket stats --cost has them by tenant, class and day.", bytesUnit,
		query{`sum by (part) (docket_collector_store_bytes{` + ofCollector + `})`, "{{part}}"})
	p.series("Files of the store", "Files of the lake by part.", count,
		query{`sum by (part) (docket_collector_store_files{` + ofCollector + `})`, "{{part}}"})
	p.series("Bytes that come in", "Bytes of the events that were stored, before compression.", bytesPerSecond,
		query{`sum(rate(docket_collector_stored_bytes_total{` + ofCollector + `}[$__rate_interval]))`, "bytes"})
	p.limited("Room on the disk", "Share of the file system of the store that is free.", ratio, atLeast(0.05, 0.1),
		query{`docket_collector_disk_free_bytes{` + ofCollector + `} / docket_collector_disk_size_bytes`, "{{instance}}"})
	p.series("Compaction", "Events that compactions put into public files, beside compactions that failed and are tried again.", perSecond,
		query{`sum(rate(docket_collector_compacted_total{` + ofCollector + `}[$__rate_interval]))`, "events"},
		query{`sum(rate(docket_collector_compactions_total{` + ofCollector + `}[$__rate_interval]))`, "compactions"},
		query{`sum(rate(docket_collector_errors_total{` + ofCollector + `, step="compaction"}[$__rate_interval]))`, "failed"})
	p.series("Time of a compaction", "How long a compaction takes, beside the flushes.", seconds,
		query{quantile(0.5, "docket_collector_compaction_seconds", "", ofCollector), "p50"},
		query{quantile(0.99, "docket_collector_compaction_seconds", "", ofCollector), "p99"})
}

func leaving(p *page) {
	p.row("What leaves it")
	p.series("Expired and erased", "Events that left the store by retention, and by docket erase. A stub of each stays.", perSecond,
		query{`sum(rate(docket_collector_expired_total{` + ofCollector + `}[$__rate_interval]))`, "expired"},
		query{`sum(rate(docket_collector_erased_total{` + ofCollector + `}[$__rate_interval]))`, "erased"})
	p.series("Held", "Events whose time is over and that stay under a legal hold. docket hold ls has the holds.", count,
		query{`max(docket_collector_held{` + ofCollector + `})`, "events"})
}

func fromStore(p *page) {
	p.row("From the store (a ClickHouse)")
	p.table("Tenants", "Events stored of each tenant in the time shown, and the length of their JSON.",
		"SELECT tenant, count(*) AS events, sum(length(_raw)) AS json_length, max(time) AS latest_at\n"+
			selected("events")+
			"GROUP BY tenant\nORDER BY json_length DESC, tenant\nLIMIT 100")
	p.table("Findings", "What was found in the time shown, the newest first: conflicts, breaks, what is missing, what failed open, intents without an end.",
		"SELECT time AS happened_at, tenant, severity_id, message, operation_uid, metadata_uid\n"+
			selected("events", "kind = 'finding'")+
			"ORDER BY happened_at DESC, metadata_uid\nLIMIT 200")
	p.table("Who read the record", "Requests to read in the time shown, by who asked and for what, and how many of them failed or were refused.",
		"SELECT principal, method, count(*) AS requests, sum(CASE WHEN status_id = 2 THEN 1 ELSE 0 END) AS failed, max(time) AS latest_at\n"+
			selected("events", "kind = 'access'")+
			"GROUP BY principal, method\nORDER BY requests DESC, principal, method\nLIMIT 100")
	p.table("What is stored", "Events stored in the time shown by what they are.",
		"SELECT kind, class_uid, count(*) AS events, min(time) AS began_at, max(time) AS latest_at\n"+
			selected("events")+
			"GROUP BY kind, class_uid\nORDER BY events DESC, kind, class_uid\nLIMIT 100")
}
