// SPDX-License-Identifier: Apache-2.0

import { DocketClient, PermissionDenied } from "@docket-audit/client";

const docket = new DocketClient({
  baseUrl: process.env["DOCKET_URL"] ?? "http://127.0.0.1:8080",
  token: process.env["DOCKET_TOKEN"],
});

// What was denied today, a page at a time.
const today = new Date().toISOString().slice(0, 10) + "T00:00:00Z";
for await (const o of docket.operations({ filter: 'decision == "deny"', since: today })) {
  console.log(o.time, o.sentence);
}

// How much that is. Integers of 64 bits are text.
const stats = await docket.stats({ filter: 'kind == "outcome"', facets: ["decision"] });
for (const { value, events } of stats.facets[0]?.values ?? []) console.log(value, BigInt(events));

// The same in SQL, if the token may.
try {
  const rows = docket.query("SELECT principal, count(*) AS n FROM operations WHERE decision = 'deny' GROUP BY ALL ORDER BY ALL");
  console.log((await rows.columns()).join("\t"));
  for await (const row of rows) console.log(`${row["principal"]}\t${row["n"]}`);
} catch (err) {
  if (!(err instanceof PermissionDenied)) throw err;
  console.error(`${err.message}${err.hint === undefined ? "" : ` (${err.hint})`}`);
}

// What comes from now on, also when the server starts anew. break, or the signal,
// closes the connection.
const signal = AbortSignal.timeout(Number(process.env["FOR_MS"] ?? 60_000));
try {
  for await (const { event } of docket.tail({ follow: true }, { reconnect: true, signal })) {
    if (event !== undefined) console.log(event.metadata.uid, event.message);
  }
} catch (err) {
  if (err !== signal.reason) throw err;
}
