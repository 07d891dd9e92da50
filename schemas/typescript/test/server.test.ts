// SPDX-License-Identifier: Apache-2.0

// Against a real server: cmd/internal/typescript starts it, and this file.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { before, test } from "node:test";
import { promisify } from "node:util";

import {
  DocketClient,
  DocketError,
  Internal,
  InvalidArgument,
  NotFound,
  type OCSFEvent,
  PermissionDenied,
  type Row,
  StreamBroken,
  type TailResponse,
  Unauthenticated,
  Unavailable,
} from "@docket-audit/client";

function environment(name: string): string {
  const value = process.env[name];
  assert.ok(value !== undefined, `${name} is not set; \`make typescript\` runs this file`);
  return value;
}

const baseUrl = environment("DOCKET_URL");
const cuttingUrl = environment("DOCKET_CUTTING_URL");
const endingUrl = environment("DOCKET_ENDING_URL");
const controlUrl = environment("DOCKET_CONTROL_URL");

const ops = new DocketClient({ baseUrl, token: "ops" });
const auditor = new DocketClient({ baseUrl, token: "auditor" });

async function control<T>(path: string, body?: unknown): Promise<T> {
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(controlUrl + path, init);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text) as T;
}

interface Added {
  uids: string[];
  operations: string[];
}

const add = (tenant: string, n: number, message = "event"): Promise<Added> => control("/add", { tenant, n, message });

const uid = (e: OCSFEvent | undefined): string => e?.metadata.uid ?? assert.fail("no event");

async function all<T>(of: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const one of of) out.push(one);
  return out;
}

async function failure(p: Promise<unknown>): Promise<DocketError> {
  const err: unknown = await p.then(
    () => assert.fail("no error"),
    (e: unknown) => e,
  );
  assert.ok(err instanceof DocketError, String(err));
  return err;
}

const arabic = "مُنع الطلب: الحصة استُنفدت 🚫";
let acme: Added;
let globex: Added;

before(async () => {
  acme = await add("acme", 25, arabic);
  globex = await add("globex", 5);
});

test("one page of events, and all of them over pages", async () => {
  const page = await ops.searchEvents({ page_size: 7, tenants: ["acme"] });
  assert.deepEqual(page.events.map(uid), acme.uids.slice(0, 7));
  const next = await ops.searchEvents({ page_size: 7, tenants: ["acme"], page_token: page.next_page_token });
  assert.deepEqual(next.events.map(uid), acme.uids.slice(7, 14));
  for (const page_size of [1, 7, 25, 1000]) {
    assert.deepEqual((await all(ops.events({ page_size, tenants: ["acme"] }))).map(uid), acme.uids);
  }
  assert.deepEqual((await all(ops.events({ page_size: 4, tenants: ["acme"], newest_first: true }))).map(uid), acme.uids.toReversed());
  assert.deepEqual(await ops.searchEvents({ tenants: ["nobody"] }), { events: [], next_page_token: "" });
  // The time of an event bounds as text and as a Date.
  const third = await ops.getEvent(acme.uids[2] ?? "");
  const since = new Date(third.event.time);
  assert.deepEqual((await all(ops.events({ tenants: ["acme"], since }))).map(uid), acme.uids.slice(2));
  assert.deepEqual((await all(ops.events({ tenants: ["acme"], until: since.toISOString() }))).map(uid), acme.uids.slice(0, 2));
});

test("an event, its place and its text", async () => {
  const got = await ops.getEvent(globex.uids[3] ?? "");
  assert.equal(uid(got.event), globex.uids[3]);
  assert.equal(got.event.metadata.tenant_uid, "globex");
  assert.deepEqual([got.commit, got.position, got.stream_sequence], ["2", 3, "29"]);
  assert.ok(Math.abs(Date.parse(got.stored_time) - Date.now()) < 3_600_000);
  const { event } = await ops.getEvent(acme.uids[0] ?? "");
  assert.equal(event.message, arabic);
  assert.deepEqual(event["actor"], { user: { uid: "مها" } });
  assert.deepEqual((await all(ops.events({ filter: `message == "${arabic}" && principal == "مها"` }))).map(uid), acme.uids);
});

test("operations, over pages, and the timeline of one", async () => {
  const operations = await all(auditor.operations({ page_size: 10 }));
  assert.deepEqual(operations.map((o) => o.uid), acme.operations.toReversed());
  const [newest] = operations;
  assert.deepEqual([newest?.tenant, newest?.method, newest?.principal, newest?.decision], ["acme", "CreateSandbox", "مها", "allow"]);
  const one = await auditor.getOperation(acme.operations[1] ?? "");
  assert.equal(one.operation?.decision, "deny");
  assert.deepEqual(one.moments.map((m) => uid(m.event)), [acme.uids[1]]);
  assert.equal(one.moments[0]?.sentence, one.operation?.sentence);
  const denied = await ops.listOperations({ filter: 'decision == "deny"', tenants: ["globex"], page_size: 1 });
  assert.deepEqual(denied.operations.map((o) => o.uid), [globex.operations[3]]);
  assert.notEqual(denied.next_page_token, "");
});

test("counts are text", async () => {
  const stats = await ops.stats({ tenants: ["acme"], facets: ["decision", "principal"], top: 1 });
  assert.equal(stats.events, "25");
  assert.deepEqual(stats.facets, [
    { name: "decision", values: [{ value: "allow", events: "13" }], others: "12" },
    { name: "principal", values: [{ value: "مها", events: "25" }], others: "0" },
  ]);
  assert.equal(stats.histogram.reduce((sum, b) => sum + BigInt(b.events), 0n), 25n);
  assert.equal(stats.histogram.reduce((sum, b) => sum + BigInt(b.denied), 0n), 12n);
});

test("SQL: columns, rows, and every digit", async () => {
  const rows = ops.query({ sql: "SELECT metadata_uid, message, 9223372036854775807 AS most, 1.50::DECIMAL(9,2) AS d, NULL AS n FROM events ORDER BY _commit, _pos", tenants: ["acme"] });
  assert.deepEqual(await rows.columns(), ["metadata_uid", "message", "most", "d", "n"]);
  const got = await all(rows);
  assert.deepEqual(got.map((r) => r["metadata_uid"]), acme.uids);
  assert.deepEqual(got[0], { metadata_uid: acme.uids[0] ?? "", message: arabic, most: "9223372036854775807", d: 1.5, n: null } satisfies Row);
  assert.deepEqual(await all(ops.query(`SELECT count(*) AS n FROM events WHERE message = '${arabic}'`)), [{ n: 25 }]);
  // As it was at the first commit.
  assert.deepEqual(await all(ops.query({ sql: "SELECT count(*) AS n FROM events", at: "1" })), [{ n: 25 }]);
  assert.deepEqual(await all(ops.query("SELECT 1 AS a WHERE false")), []);
});

test("an answer in SQL that is longer than any buffer", async () => {
  let n = 0;
  let characters = 0;
  for await (const row of ops.query(`SELECT a.i * 1000 + b.i AS n, repeat('ب', 20) AS t FROM ${numbers(200, "a")}, ${numbers(1000, "b")} ORDER BY n`)) {
    assert.equal(row["n"], n++);
    characters += (row["t"] as string).length;
  }
  assert.equal(n, 200_000);
  assert.equal(characters, 4_000_000);
});

/** numbers is a table of 0 to n-1, of what a query may call. */
const numbers = (n: number, as: string): string => `(SELECT unnest(range(${n})) AS i) ${as}`;

test("a query that fails in its midst is an error behind its rows", async () => {
  const sql = `SELECT CASE WHEN a.i * b.i < 199 * 999 THEN b.i ELSE error('no further') END AS n FROM ${numbers(200, "a")}, ${numbers(1000, "b")}`;
  let n = 0;
  const err = await failure((async () => { for await (const _ of ops.query(sql)) n++; })());
  assert.ok(n > 0, "no row came before it");
  assert.ok(err instanceof InvalidArgument, String(err));
  assert.match(err.message, /no further/);
  assert.deepEqual([err.status, err.field], [200, "sql"]);
});

test("a tail that fails in its midst is an error behind its events", async () => {
  const before = await add("broken", 3);
  await add("broken", 1, "the disk fails behind this");
  await add("broken", 2);
  const got: string[] = [];
  const err = await failure((async () => { for await (const i of ops.tail({ all: true, filter: 'tenant == "broken"' }, { reconnect: true })) got.push(uid(i.event)); })());
  assert.ok(err instanceof Internal, String(err));
  assert.equal(err.status, 200);
  assert.match(err.message, /input\/output error/);
  assert.deepEqual(got.slice(0, 3), before.uids);
  assert.equal(got.length, 4);
});

test("who does not say who they are is told so, and who may not is told that", async () => {
  for (const token of [undefined, "forged"]) {
    const nobody = new DocketClient({ baseUrl, token });
    const asked: (() => Promise<unknown>)[] = [
      () => nobody.searchEvents(),
      () => all(nobody.events()),
      () => nobody.getEvent(acme.uids[0] ?? ""),
      () => nobody.listOperations(),
      () => all(nobody.operations()),
      () => nobody.getOperation(acme.operations[0] ?? ""),
      () => all(nobody.tail({ all: true }, { reconnect: true })),
      () => all(nobody.query("SELECT 1")),
      () => nobody.query("SELECT 1").columns(),
      () => nobody.stats(),
      () => nobody.getPlan("0".repeat(64)),
      () => nobody.listPlans(),
      () => nobody.getLedger(),
    ];
    for (const ask of asked) {
      const err = await failure(ask());
      assert.ok(err instanceof Unauthenticated, `${ask}: ${err}`);
      assert.equal(err.code, "unauthenticated");
      assert.match(err.hint ?? "", /Bearer/);
    }
  }
  const refused: (() => Promise<unknown>)[] = [
    () => all(auditor.query("SELECT 1")),
    () => auditor.searchEvents({ tenants: ["globex"] }),
    () => auditor.searchEvents({ tenants: ["acmeCorp"] }),
    () => all(auditor.tail({ all: true, tenants: ["acme", "globex"] })),
    () => auditor.stats({ exclude_tenants: ["acme/eu"] }),
    () => auditor.getPlan(planDigest),
    () => auditor.listPlans({ gateway: "gateway-0" }),
  ];
  for (const ask of refused) {
    const err = await failure(ask());
    assert.ok(err instanceof PermissionDenied, `${ask}: ${err}`);
    assert.equal(err.code, "permission_denied");
  }
  assert.equal((await failure(ops.getPlan("x"))).status, 400);
  assert.equal((await failure(auditor.query("SELECT 1").columns())).status, 403);
  assert.equal((await failure(new DocketClient({ baseUrl }).stats())).status, 401);
  // What another tenant has is not there.
  const hidden = await failure(auditor.getEvent(globex.uids[0] ?? ""));
  assert.ok(hidden instanceof NotFound && hidden.status === 404);
  assert.deepEqual(new Set((await all(auditor.tail({ all: true }))).map((i) => i.event?.metadata.tenant_uid)), new Set(["acme"]));
});

test("a request that is wrong is told where", async () => {
  const filter = await failure(ops.searchEvents({ filter: "decision ==" }));
  assert.ok(filter instanceof InvalidArgument && filter.field === "filter" && filter.status === 400);
  const tail = await failure(all(ops.tail({ all: true, last: 3 })));
  assert.ok(tail instanceof InvalidArgument && tail.field === "resume_token");
  const sql = await failure(all(ops.query("DELETE FROM events")));
  assert.ok(sql instanceof InvalidArgument && sql.field === "sql");
  const at = await failure(all(ops.query({ sql: "SELECT 1", at: "9007199254740993" })));
  assert.ok(at instanceof InvalidArgument && at.field === "at", String(at));
  assert.match(at.message, /9007199254740993/);
  const misspelt = await failure(ops.searchEvents({ ...({ filtre: "ran" } as object) }));
  assert.ok(misspelt instanceof InvalidArgument && misspelt.status === 400);
  assert.match(misspelt.message, /no such parameter/);
});

const planDigest = "0d6e4079e36703ebd37c00722f5891d28b0e2811dc114b129215123adcce3605";

test("plans and the ledger", async () => {
  assert.deepEqual(await ops.getPlan(planDigest), { plan: { bindings: [{ uid: "quota" }] } });
  assert.ok((await failure(ops.getPlan("0".repeat(64)))) instanceof NotFound);
  const { checkpoint } = await auditor.getLedger();
  assert.match(checkpoint, /^[^\n]+\n\d+\n[A-Za-z0-9+/=]+\n\n— /);
});

test("a replay is begun, and its report is there when it is done", async () => {
  const { id } = await ops.startReplay({ tenants: ["globex"] });
  let replay = await ops.getReplay(id);
  while (replay.state === "running") replay = await ops.getReplay(id);
  assert.deepEqual([replay.state, replay.error, replay.events], ["done", "", "5"]);
  assert.ok(replay.ended !== undefined && Date.parse(replay.ended) >= Date.parse(replay.started));
  assert.deepEqual([replay.report?.["same"], replay.report?.["flips"]], [2, 3]);
  assert.ok((await failure(auditor.startReplay())) instanceof PermissionDenied);
  assert.ok((await failure(ops.getReplay("none"))) instanceof NotFound);
});

test("ten events as they come", async () => {
  const tail = ops.tail({ follow: true, tenants: ["live"] });
  const first = await tail.next();
  assert.equal(typeof first.value?.caught_up?.live, "boolean");
  for (let n = 0; n < 10; n++) {
    const { uids } = await add("live", 1, `${arabic} ${n}`);
    const item = await tail.next();
    assert.equal(uid(item.value?.event), uids[0]);
    assert.equal(item.value?.event?.message, `${arabic} ${n}`);
  }
  await tail.return();
});

test("what is stored, then what comes, and on from a token", async () => {
  const stored = await add("resumed", 6);
  const tail = ops.tail({ last: 4, follow: true, tenants: ["resumed"] });
  const items: TailResponse[] = [];
  for await (const item of tail) {
    items.push(item);
    if (items.length === 3) break;
  }
  assert.deepEqual(items.map((i) => uid(i.event)), stored.uids.slice(2, 5));
  const resume_token = items[1]?.resume_token;
  const later = await add("resumed", 2);
  const rest = await all(ops.tail({ resume_token, tenants: ["resumed"] }));
  assert.deepEqual(rest.map((i) => uid(i.event)), [...stored.uids.slice(4), ...later.uids]);
});

test("whoever leaves has closed the connection, and the server knows", async () => {
  await add("left", 2);
  for await (const item of ops.tail({ all: true, follow: true, tenants: ["left"], filter: '"a" == "a"' })) {
    if (item.caught_up !== undefined) break;
  }
  const told = await control<{ method: string; rows: number; err: string }>(`/ended?says=${encodeURIComponent('\\"a\\" == \\"a\\"')}`);
  assert.deepEqual([told.method, told.rows], ["Tail", 2]);
  assert.match(told.err, /cancel/);
  // A query without end, of which one row is taken.
  const sql = `SELECT a.i AS left_early FROM ${numbers(100_000, "a")}, ${numbers(100_000, "b")}`;
  const controller = new AbortController();
  const rows = ops.query(sql, { signal: controller.signal });
  await rows.next();
  controller.abort(new Error("enough"));
  await assert.rejects(all(rows), /enough/);
  assert.match((await control<{ err: string }>("/ended?says=left_early")).err, /cancel/);
});

test("over connections that are cut, and a server that starts anew, nothing comes twice and nothing is missing", async () => {
  const client = new DocketClient({ baseUrl: cuttingUrl, token: "ops" });
  let connections = 0;
  const wait = (): Promise<void> => Promise.resolve(void connections++);
  const expected = (await add("cut", 60, arabic)).uids;
  const adding = (async () => {
    for (let n = 0; n < 40; n++) {
      if (n % 10 === 9) await control("/restart", {});
      expected.push(...(await add("cut", 1 + (n % 5), arabic)).uids);
    }
    expected.push(...(await add("cut", 1, "the last")).uids);
  })();
  const got: string[] = [];
  let caughtUp = 0;
  for await (const item of client.tail({ all: true, follow: true, tenants: ["cut"] }, { reconnect: { wait, maxAttempts: Infinity } })) {
    if (item.caught_up !== undefined) caughtUp++;
    if (item.event === undefined) continue;
    assert.ok(item.event.message === arabic || item.event.message === "the last");
    got.push(uid(item.event));
    if (item.event.message === "the last") break;
  }
  await adding;
  assert.deepEqual(got, expected);
  assert.ok(connections > 10, `cut only ${connections} times`);
  assert.ok(caughtUp <= 1);
  // Without reconnect it is told, and the token of the last item goes on.
  const part: TailResponse[] = [];
  const err = await failure((async () => { for await (const i of client.tail({ all: true, tenants: ["cut"] })) part.push(i); })());
  assert.ok(err instanceof Unavailable, String(err)); // StreamBroken, or before the answer began ConnectionFailed
  const resume_token = part.at(-1)?.resume_token;
  const rest = await all(ops.tail(resume_token === undefined ? { all: true, tenants: ["cut"] } : { resume_token, tenants: ["cut"] }));
  assert.deepEqual([...part, ...rest].map((i) => uid(i.event)), expected);
});

test("a proxy that ends an answer well before its end deceives nobody", async () => {
  const client = new DocketClient({ baseUrl: endingUrl, token: "ops" });
  const { uids } = await add("ending", 23);
  const part: TailResponse[] = [];
  const tailed = await failure((async () => { for await (const i of client.tail({ all: true, tenants: ["ending"] })) part.push(i); })());
  assert.ok(tailed instanceof StreamBroken && /resume_token/.test(tailed.hint ?? ""), String(tailed));
  assert.deepEqual(part.map((i) => uid(i.event)), uids.slice(0, 5));
  const rest = await all(ops.tail({ resume_token: part.at(-1)?.resume_token ?? "", tenants: ["ending"] }));
  assert.deepEqual(rest.map((i) => uid(i.event)), uids.slice(5));
  // By itself it needs as many connections as it takes.
  let connections = 0;
  const wait = (): Promise<void> => Promise.resolve(void connections++);
  const whole = await all(client.tail({ all: true, tenants: ["ending"] }, { reconnect: { wait } }));
  assert.deepEqual(whole.map((i) => uid(i.event)), uids);
  assert.equal(connections, 4);
  // A query has no token that goes on. Its answer of few lines is whole.
  const rows: unknown[] = [];
  const asked = await failure((async () => { for await (const r of client.query({ sql: "SELECT range AS n FROM range(100000)" })) rows.push(r["n"]); })());
  assert.ok(asked instanceof StreamBroken, String(asked));
  assert.deepEqual(rows, Array.from(rows, (_, n) => n));
  assert.ok(rows.length > 0 && rows.length < 100_000);
  assert.deepEqual(await all(client.query("SELECT 1 AS n")), [{ n: 1 }]);
});

test("the example of the README is that, and runs", async () => {
  const example = await readFile(new URL("../../example/denials.ts", import.meta.url), "utf8");
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const shown = /```ts\n([^]*?)```/.exec(readme)?.[1];
  assert.equal(shown, example.replace(/^\/\/ SPDX[^\n]*\n\n/, ""));
  const run = (token: string): Promise<{ stdout: string; stderr: string }> =>
    promisify(execFile)(process.execPath, [new URL("../example/denials.js", import.meta.url).pathname], {
      env: { ...process.env, DOCKET_URL: baseUrl, DOCKET_TOKEN: token, FOR_MS: "300" },
    });
  const { stdout } = await run("ops");
  assert.match(stdout, /^deny \d+n?$/m);
  assert.match(stdout, /^principal\tn\nمها\t\d+$/m);
  assert.match((await run("auditor")).stderr, /sql/);
  await assert.rejects(run("forged"), /Unauthenticated/);
});
