// SPDX-License-Identifier: Apache-2.0

package dashboards

// Replay is about the replays that a server runs (StartReplay of the API). Those of
// `docket replay` run in a process of their own and print what they found.
func Replay() Dashboard {
	p := &page{}
	p.row("Replays of this server")
	p.stat("Running", "Replays under way. A server runs one at a time.", count, plain,
		query{`sum(docket_replay_started_total{` + ofCollector + `}) - sum(docket_replay_ended_total{` + ofCollector + `})`, ""})
	p.stat("Ended well", "Replays that came to their end in the time shown.", count, plain,
		query{grown("docket_replay_ended_total", ofCollector+`, result="done"`), ""})
	p.stat("Failed", "Replays that failed in the time shown. Whoever began one is told why.", count, limits(1),
		query{grown("docket_replay_ended_total", ofCollector+`, result="failed"`), ""})
	p.stat("Denied then, allowed now", "Replayed operations in the time shown that were denied when they were recorded and would pass today.", count, limits(1),
		query{grown("docket_replay_flips_total", ofCollector+`, from="deny", to!="deny"`), ""})
	p.stat("Allowed then, denied now", "Replayed operations in the time shown that passed when they were recorded and would be denied today.", count, limits(1),
		query{grown("docket_replay_flips_total", ofCollector+`, from!="deny", to="deny"`), ""})
	p.stat("Not replayable", "Replayed operations in the time shown whose record is not enough to judge them again.", count, plain,
		query{grown("docket_replay_operations_total", ofCollector+`, comparison="unreplayable"`), ""})
	p.row("What they find")
	p.series("Operations by comparison", "Operations that are replayed, by how they compare with their record.", perSecond,
		query{`sum by (comparison) (rate(docket_replay_operations_total{` + ofCollector + `}[$__rate_interval]))`, "{{comparison}}"})
	p.series("Flips", "Operations that are decided otherwise, by the recorded decision and that of now.", perSecond,
		query{`sum by (from, to) (rate(docket_replay_flips_total{` + ofCollector + `}[$__rate_interval]))`, "{{from}} to {{to}}"})
	p.series("Time of a replay", "How long replays take, also those that fail.", seconds,
		query{quantile(0.5, "docket_replay_duration_seconds", "", ofCollector), "p50"},
		query{quantile(0.99, "docket_replay_duration_seconds", "", ofCollector), "p99"})
	p.row("From the store (a ClickHouse)")
	p.table("Who replayed", "Replays that were asked for in the time shown, the newest first, and what became of the request.",
		"SELECT time AS happened_at, principal, source, status_code, status_detail, metadata_uid\n"+
			"FROM events\nWHERE kind = 'access'\n  AND method = 'StartReplay'\n  AND "+within+"\n"+
			"ORDER BY happened_at DESC, metadata_uid\nLIMIT 200")
	p.table("What can be replayed", "Evaluations in the time shown by binding and by how exactly they can be judged again: full, redacted, or not at all.",
		"SELECT interceptor, binding, replay_grade, count(*) AS evaluations\n"+
			selected("evaluations")+
			"GROUP BY interceptor, binding, replay_grade\nORDER BY evaluations DESC, interceptor, binding, replay_grade\nLIMIT 100")
	return dashboard("docket-replay", "Docket replay",
		"What the replays of a server found, and what of the record can be replayed. The report of each replay is with whoever began it.",
		p, chooseMetrics, chooseStore, collectors, tenants)
}
