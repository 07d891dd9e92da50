// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/docket-audit/docket/cmd/internal/datadir"

// instead says, of each verb that is for events in a lake, what there is in its place
// where they are in ClickHouse.
var instead = map[string]string{
	"compact":                   "the server merges by itself; system.parts says what the tables take",
	"erase":                     noOrders,
	"expire":                    noOrders,
	"hold":                      noOrders,
	"ingest":                    "it looks up in the lake what is stored already; emitters of their own can send to the stream",
	"prove":                     "`docket verify --store` says whether the tables are whole, and the ledger has a leaf for each commit. docs/clickhouse.md",
	"quarantine ls":             inQuarantine,
	"quarantine show":           inQuarantine,
	"quarantine requeue --nats": "without --nats the docket that runs there requeues",
	"stats --cost":              "ask the server: SELECT partition, sum(bytes_on_disk) FROM system.parts WHERE table = 'docket_events' GROUP BY 1",
}

const inQuarantine = "ask the server: SELECT * FROM quarantine; `docket quarantine requeue` works"

// lakeOnly fails where the events of a directory are in ClickHouse and a verb is for
// those in a lake. It is asked before anything else is: nobody is to be asked whether
// they are sure, or told to stop a docket, for what cannot be done.
func lakeOnly(dir, verb string) error {
	return datadir.Within(dir, "docket "+verb+" is for events in a lake", instead[verb])
}
