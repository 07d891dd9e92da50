// SPDX-License-Identifier: Apache-2.0

// What a real server cannot be made to do, or not at a given byte: a server of
// this file's own. What a real one does is in server.test.ts.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";

import {
  ConnectionFailed,
  DataLoss,
  DocketClient,
  DocketError,
  FailedPrecondition,
  Internal,
  InvalidArgument,
  ResourceExhausted,
  StreamBroken,
  Unauthenticated,
  Unavailable,
} from "@docket-audit/client";

/** serve answers on loopback until the test has ended, and returns where. */
async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** closing is when the connection of a request is closed, however that is. */
const closing = (r: IncomingMessage): Promise<void> => new Promise((resolve) => r.socket.once("close", () => resolve()));

const json = (w: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void => {
  w.writeHead(status, { "content-type": "application/json", ...headers }).end(typeof body === "string" ? body : JSON.stringify(body));
};

const lines = (w: ServerResponse): ServerResponse => w.writeHead(200, { "content-type": "application/x-ndjson" });
const item = (n: number): string => JSON.stringify({ event: { metadata: { uid: `event-${n}` } }, resume_token: `t${n}` }) + "\n";
const end = '{"end":{}}\n';
const caughtUp = (n: number): string => JSON.stringify({ caught_up: {}, resume_token: `t${n}` }) + "\n";

async function all<T>(of: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const one of of) out.push(one);
  return out;
}

/** failure returns what a promise is rejected with. */
async function failure(p: Promise<unknown>): Promise<DocketError> {
  const err: unknown = await p.then(
    () => assert.fail("no error"),
    (e: unknown) => e,
  );
  assert.ok(err instanceof DocketError, String(err));
  return err;
}

test("a request is on the wire as the service has it", async (t) => {
  const seen: { method?: string | undefined; url?: string | undefined; token?: string | undefined; accept?: string | undefined; body: string }[] = [];
  const baseUrl = await serve(t, async (r: IncomingMessage, w) => {
    let body = "";
    for await (const chunk of r.setEncoding("utf8")) body += chunk;
    seen.push({ method: r.method, url: r.url, token: r.headers.authorization, accept: r.headers.accept, body });
    if (r.url?.endsWith("/query") === true) lines(w).end('{"columns":["a"],"rows":[]}\n' + end);
    else json(w, 200, { events: [], next_page_token: "" });
  });
  let n = 0;
  const client = new DocketClient({ baseUrl: baseUrl + "/docket/", token: () => Promise.resolve(`token-${++n}`) });
  await client.searchEvents({
    filter: 'method == "a&b" && message == "لا"',
    tenants: ["acme/eu", "globex"],
    since: new Date(1793215000100),
    until: "2026-11-01T00:00:00Z",
    newest_first: true,
    page_size: 0,
    page_token: undefined,
  });
  await client.getEvent("a/b?c#d é");
  await all(client.query({ sql: "SELECT 1", at: "9007199254740993", tenants: ["acme"], filter: undefined }));
  await new DocketClient({ baseUrl: new URL(baseUrl) }).stats({ facets: ["kind"], top: 3, interval: "3600s" });
  const [search, get, query, stats] = seen;
  const url = new URL(search?.url ?? "", baseUrl);
  assert.equal(url.pathname, "/docket/v1/events");
  assert.deepEqual(
    [...url.searchParams],
    [
      ["filter", 'method == "a&b" && message == "لا"'],
      ["tenants", "acme/eu"],
      ["tenants", "globex"],
      ["since", "2026-10-28T19:16:40.100Z"],
      ["until", "2026-11-01T00:00:00Z"],
      ["newest_first", "true"],
      ["page_size", "0"],
    ],
  );
  assert.deepEqual([search?.method, search?.token, search?.accept], ["GET", "Bearer token-1", "application/json"]);
  assert.equal(get?.url, "/docket/v1/events/a%2Fb%3Fc%23d%20%C3%A9");
  assert.deepEqual([query?.method, query?.token, query?.accept], ["POST", "Bearer token-3", "application/x-ndjson"]);
  assert.deepEqual(JSON.parse(query?.body ?? ""), { sql: "SELECT 1", at: "9007199254740993", tenants: ["acme"] });
  assert.equal(stats?.url, "/v1/stats?facets=kind&top=3&interval=3600s");
  assert.equal(stats?.token, undefined);
  // URLs make other paths of these.
  for (const uid of ["", ".", ".."]) {
    const err = await failure(client.getOperation(uid));
    assert.ok(err instanceof InvalidArgument && err.field === "uid");
  }
  assert.equal(seen.length, 4);
});

test("what a newer server adds is passed on, and does no harm", async (t) => {
  const baseUrl = await serve(t, (r, w) => {
    if (r.url?.startsWith("/v1/tail") === true) {
      lines(w).write(JSON.stringify({ weather: { wind: 3 }, resume_token: "w" }) + "\n");
      w.end(JSON.stringify({ event: { metadata: { uid: "e" }, new_attribute: [1] }, resume_token: "t", more: true }) + "\n" + end);
    } else if (r.url === "/v1/query") {
      lines(w).end('{"columns":["a"],"rows":[],"plan":{}}\n{"columns":[],"rows":[{"a":1}],"more":1}\n{"statistics":{},"columns":[],"rows":[]}\n' + end);
    } else {
      json(w, 200, { events: [{ metadata: { uid: "e", novel: 1 } }], next_page_token: "", total: "12" });
    }
  });
  const client = new DocketClient({ baseUrl });
  assert.deepEqual(await client.searchEvents(), { events: [{ metadata: { uid: "e", novel: 1 } }], next_page_token: "", total: "12" });
  const items = await all(client.tail({ all: true }));
  assert.deepEqual(items.map((i) => i.resume_token), ["w", "t"]);
  assert.deepEqual(items.filter((i) => i.event !== undefined).map((i) => i.event?.["new_attribute"]), [[1]]);
  assert.deepEqual(await all(client.query("SELECT 1 AS a")), [{ a: 1 }]);
});

test("errors have their kind, whoever answers", async (t) => {
  const baseUrl = await serve(t, (r, w) => {
    switch (new URL(r.url ?? "", "http://x").pathname.split("/").at(-1)) {
      case "conflict":
        return json(w, 409, { error: { code: "failed_precondition", message: "no", hint: "do that", extra: 1 } });
      case "busy":
        return json(w, 503, { error: { code: "unavailable", message: "busy" } }, { "retry-after": "5" });
      case "novel":
        return json(w, 418, { error: { code: "teapot", message: "short and stout" } });
      case "proxy":
        return json(w, 502, "<html>Bad Gateway</html>", { "content-type": "text/html" });
      case "login":
        return json(w, 401, "");
      case "portal":
        return json(w, 200, "<html>Welcome to the hotel</html>");
      case "list":
        return json(w, 200, [1]);
      case "huge":
        return json(w, 500, `{"error":{"code":"internal","message":"${"x".repeat(1 << 20)}"}}`);
      default:
        return json(w, 200, { plan: { a: "x".repeat(2000) } });
    }
  });
  const client = new DocketClient({ baseUrl, maxAnswerBytes: 1000 });
  const conflict = await failure(client.getPlan("conflict"));
  assert.ok(conflict instanceof FailedPrecondition);
  assert.deepEqual([conflict.name, conflict.code, conflict.status, conflict.message, conflict.hint, conflict.field], ["FailedPrecondition", "failed_precondition", 409, "no", "do that", undefined]);
  const busy = await failure(client.getPlan("busy"));
  assert.ok(busy instanceof Unavailable && busy.retryAfterMs === 5000);
  const novel = await failure(client.getPlan("novel"));
  assert.deepEqual([novel.constructor, novel.code, novel.status], [DocketError, "teapot", 418]);
  const proxy = await failure(client.getPlan("proxy"));
  assert.ok(proxy instanceof Unavailable && proxy.message === "HTTP status 502 Bad Gateway");
  assert.ok((await failure(client.getPlan("login"))) instanceof Unauthenticated);
  assert.ok((await failure(client.getPlan("portal"))) instanceof DataLoss);
  assert.ok((await failure(client.getPlan("list"))) instanceof DataLoss);
  assert.ok((await failure(client.getPlan("huge"))) instanceof Internal);
  const long = await failure(client.getPlan("long"));
  assert.ok(long instanceof ResourceExhausted && /maxAnswerBytes/.test(long.hint ?? ""));
});

test("a server that is not there is told as that", async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const client = new DocketClient({ baseUrl: `http://127.0.0.1:${port}` });
  const err = await failure(client.stats());
  assert.ok(err instanceof ConnectionFailed && err.status === 0 && err.cause instanceof Error);
  assert.match(err.message, /ECONNREFUSED/);
  assert.ok((await failure(all(client.tail()))) instanceof ConnectionFailed);
});

test("an error within a stream is thrown behind what came before it", async (t) => {
  const baseUrl = await serve(t, (r, w) => {
    if (r.url === "/v1/query") {
      lines(w).write('{"columns":["n"],"rows":[]}\n{"columns":[],"rows":[{"n":1},{"n":2}]}\n');
    } else {
      lines(w).write(item(1) + item(2));
    }
    w.end('{"error":{"code":"resource_exhausted","message":"too much","field":"sql","hint":"LIMIT"}}\n');
  });
  const client = new DocketClient({ baseUrl });
  for (const stream of [client.query("SELECT n"), client.tail({ follow: true })]) {
    const got: unknown[] = [];
    const err = await failure((async () => { for await (const one of stream) got.push(one); })());
    assert.equal(got.length, 2);
    assert.ok(err instanceof ResourceExhausted);
    assert.deepEqual([err.status, err.message, err.field, err.hint], [200, "too much", "sql", "LIMIT"]);
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
  }
});

test("a connection that ends at any byte is told, and gives what was whole", async (t) => {
  const body = Buffer.from(item(1) + item(2) + item(3));
  const baseUrl = await serve(t, (r, w) => {
    const cut = Number(new URL(r.url ?? "", "http://x").searchParams.get("last"));
    lines(w).write(body.subarray(0, cut), () => w.socket?.destroy());
  });
  const client = new DocketClient({ baseUrl });
  for (let cut = 1; cut <= body.length; cut += 7) {
    const got: (string | undefined)[] = [];
    const err = await failure((async () => { for await (const i of client.tail({ last: cut })) got.push(i.event?.metadata.uid); })());
    assert.ok(err instanceof StreamBroken, `${cut}: ${err}`);
    assert.deepEqual(got, ["event-1", "event-2", "event-3"].slice(0, Math.floor(cut / item(1).length)));
  }
});

test("a line that the server did not end is told, though the answer ended well", async (t) => {
  const baseUrl = await serve(t, (_, w) => lines(w).end(item(1) + item(2).slice(0, -5)));
  assert.ok((await failure(all(new DocketClient({ baseUrl }).tail()))) instanceof StreamBroken);
  const empty = await serve(t, (_, w) => lines(w).end());
  const rows = new DocketClient({ baseUrl: empty }).query("SELECT 1");
  assert.ok((await failure(rows.columns())) instanceof StreamBroken);
  assert.ok((await failure(all(rows))) instanceof StreamBroken);
});

test("an answer without its last line is told, wherever it ends well", async (t) => {
  const tail = [item(1), caughtUp(1), item(2), end];
  const query = ['{"columns":["n"],"rows":[]}\n', '{"columns":[],"rows":[{"n":1},{"n":2}]}\n', '{"columns":[],"rows":[{"n":3}]}\n', end];
  let n = 0; // so many lines come, and then the chunked body ends as it should
  const baseUrl = await serve(t, (r, w) => lines(w).end((r.url === "/v1/query" ? query : tail).slice(0, n).join("")));
  const client = new DocketClient({ baseUrl });
  const rows = [0, 0, 2, 3];
  for (n = 0; n < tail.length; n++) {
    const got: unknown[] = [];
    for (const follow of [false, true]) {
      got.length = 0;
      const broken = await failure((async () => { for await (const i of client.tail({ all: true, follow })) got.push(i.resume_token); })());
      assert.ok(broken instanceof StreamBroken && broken.code === "unavailable" && broken.status === 200, `${n}: ${broken}`);
      assert.match(broken.hint ?? "", /resume_token/);
      assert.deepEqual(got, ["t1", "t1", "t2"].slice(0, n));
    }
    got.length = 0;
    const broken = await failure((async () => { for await (const row of client.query("SELECT n")) got.push(row["n"]); })());
    assert.ok(broken instanceof StreamBroken, `${n}: ${broken}`);
    assert.deepEqual(got, [1, 2, 3].slice(0, rows[n]));
  }
  assert.equal((await all(client.tail({ all: true }))).length, 3);
  assert.deepEqual(await all(client.query("SELECT n")), [{ n: 1 }, { n: 2 }, { n: 3 }]);
});

test("what is cut goes on behind its last item, also where nothing follows", async (t) => {
  const asked: (string | null)[] = [];
  const baseUrl = await serve(t, (r, w) => {
    asked.push(new URL(r.url ?? "", "http://x").searchParams.get("resume_token"));
    lines(w).end([item(1) + item(2), "", item(3), end][asked.length - 1]);
  });
  const items = await all(new DocketClient({ baseUrl }).tail({ all: true }, { reconnect: { wait: () => Promise.resolve() } }));
  assert.deepEqual(items.map((i) => i.resume_token), ["t1", "t2", "t3"]);
  assert.deepEqual(asked, [null, "t2", "t2", "t3"]);
});

test("a tail comes back behind what was taken, each time later", async (t) => {
  const asked: string[] = [];
  const answers: ((w: ServerResponse) => void)[] = [
    (w) => w.socket?.destroy(), // nothing came: it is asked for the same once more
    (w) => json(w, 503, { error: { code: "unavailable", message: "starting" } }, { "retry-after": "3" }),
    (w) => json(w, 503, { error: { code: "unavailable", message: "starting" } }, { "retry-after": "600" }),
    (w) => lines(w).write(item(1) + caughtUp(1) + item(2) + item(3).slice(0, 20), () => w.socket?.destroy()),
    (w) => json(w, 502, "<html>"),
    (w) => lines(w).end(item(3) + caughtUp(3) + '{"error":{"code":"canceled","message":"the server stops"}}\n'),
    (w) => lines(w).end(caughtUp(3) + end), // the server stops
    (w) => lines(w).end(item(4)), // a proxy lost it
    (w) => lines(w).end(end),
    (w) => lines(w).end(item(5) + '{"error":{"code":"permission_denied","message":"not any more"}}\n'),
  ];
  const baseUrl = await serve(t, (r, w) => {
    asked.push(new URL(r.url ?? "", "http://x").search);
    answers[asked.length - 1]?.(w);
  });
  const waits: number[] = [];
  const wait = (ms: number): Promise<void> => Promise.resolve(void waits.push(ms));
  const client = new DocketClient({ baseUrl });
  const got: string[] = [];
  const err = await failure(
    (async () => {
      for await (const i of client.tail({ last: 5, follow: true, filter: "ran" }, { reconnect: { wait, random: () => 0, maxDelayMs: 4000 } })) {
        got.push(i.event?.metadata.uid ?? "caught up");
      }
    })(),
  );
  assert.equal(err.code, "permission_denied");
  assert.deepEqual(got, ["event-1", "caught up", "event-2", "event-3", "event-4", "event-5"]);
  const begin = "?last=5&follow=true&filter=ran";
  const behind = (n: number): string => `?follow=true&filter=ran&resume_token=t${n}`;
  assert.deepEqual(asked, [begin, begin, begin, begin, behind(2), behind(2), behind(3), behind(3), behind(4), behind(4)]);
  assert.deepEqual(waits, [100, 3000, 4000, 100, 200, 100, 100, 100, 200]);
});

test("a tail gives up in the end, and at once where it is of no use", async (t) => {
  let asked = 0;
  const busy = await serve(t, (_, w) => {
    asked++;
    json(w, 503, { error: { code: "unavailable", message: "busy" } });
  });
  const waits: number[] = [];
  const wait = (ms: number): Promise<void> => Promise.resolve(void waits.push(ms));
  const client = new DocketClient({ baseUrl: busy });
  const err = await failure(all(client.tail({ follow: true }, { reconnect: { wait, random: () => 0.999, maxAttempts: 4 } })));
  assert.ok(err instanceof Unavailable && err.message === "busy");
  assert.equal(asked, 5);
  assert.deepEqual(waits.map(Math.round), [50, 100, 200, 400]);
  // A line that is too long would be as long the next time.
  const long = await serve(t, (_, w) => lines(w).end(item(1)));
  const short = new DocketClient({ baseUrl: long, maxLineBytes: 10 });
  assert.ok((await failure(all(short.tail({ follow: true }, { reconnect: { wait: () => assert.fail("it waits") } })))) instanceof ResourceExhausted);
  // And without reconnect, nothing is asked twice.
  asked = 0;
  await failure(all(client.tail({ follow: true })));
  assert.equal(asked, 1);
});

test("an expired token is followed by a new one, where there is one", async (t) => {
  const tokens: (string | undefined)[] = [];
  const baseUrl = await serve(t, (r, w) => {
    tokens.push(r.headers.authorization);
    if (tokens.length === 2) lines(w).end(item(2) + end);
    else lines(w).end(item(1) + '{"error":{"code":"unauthenticated","message":"the token has expired"}}\n');
  });
  let n = 0;
  const wait = (): Promise<void> => Promise.resolve();
  const items = await all(new DocketClient({ baseUrl, token: () => `t${++n}` }).tail({ all: true }, { reconnect: { wait } }));
  assert.deepEqual(items.map((i) => i.resume_token), ["t1", "t2"]);
  assert.deepEqual(tokens, ["Bearer t1", "Bearer t2"]);
  const err = await failure(all(new DocketClient({ baseUrl, token: "t" }).tail({ all: true }, { reconnect: { wait } })));
  assert.ok(err instanceof Unauthenticated);
});

/** endless is a stream whose chunks are counted as they are asked for. */
function endless(): { fetch: typeof fetch; pulled: () => number; canceled: Promise<void> } {
  let pulled = 0;
  let cancel = (): void => undefined;
  const canceled = new Promise<void>((resolve) => (cancel = resolve));
  const answer = (): Response =>
    new Response(
      new ReadableStream({ pull: (c) => c.enqueue(new TextEncoder().encode(item(++pulled))), cancel: () => cancel() }, { highWaterMark: 0 }),
      { headers: { "content-type": "application/x-ndjson" } },
    );
  return { fetch: () => Promise.resolve(answer()), pulled: () => pulled, canceled };
}

test("nothing is read that was not asked for", async () => {
  const { fetch, pulled, canceled } = endless();
  const tail = new DocketClient({ baseUrl: "http://x", fetch }).tail({ all: true, follow: true });
  assert.equal(pulled(), 0);
  for (let n = 1; n <= 20; n++) {
    assert.equal((await tail.next()).value?.resume_token, `t${n}`);
    assert.equal(pulled(), n);
  }
  await tail.return();
  await canceled;
  assert.equal(pulled(), 20);
  assert.deepEqual(await tail.next(), { done: true, value: undefined });
});

test("to leave the loop ends the answer, and so does an error of the loop", async () => {
  for (const leave of [() => true, () => { throw new Error("mine"); }]) {
    const { fetch, canceled } = endless();
    const loop = async (): Promise<void> => {
      for await (const _ of new DocketClient({ baseUrl: "http://x", fetch }).tail()) if (leave()) break;
    };
    await loop().catch((e: unknown) => assert.equal((e as Error).message, "mine"));
    await canceled;
  }
});

test("what is there already comes no more when the signal is aborted", async () => {
  const body = '{"columns":["a"],"rows":[]}\n{"columns":[],"rows":[{"a":1},{"a":2},{"a":3}]}\n' + end;
  const controller = new AbortController();
  const reason = new Error("enough");
  const client = new DocketClient({ baseUrl: "http://x", fetch: () => Promise.resolve(new Response(body)) });
  const rows = client.query("SELECT a", { signal: controller.signal });
  assert.deepEqual((await rows.next()).value, { a: 1 });
  controller.abort(reason);
  await assert.rejects(rows.next(), reason);
  // Of what has ended, a signal ends nothing.
  const ended = new AbortController();
  const whole = client.query("SELECT a", { signal: ended.signal });
  assert.equal((await all(whole)).length, 3);
  ended.abort(reason);
  assert.deepEqual(await whole.next(), { done: true, value: undefined });
});

test("return ends a next that waits, and closes the connection", async (t) => {
  let closed: Promise<unknown> | undefined;
  const baseUrl = await serve(t, (r, w) => {
    closed = closing(r);
    lines(w).write(item(1));
  });
  const client = new DocketClient({ baseUrl });
  const tail = client.tail({ follow: true });
  await tail.next();
  const waits = tail.next();
  await tail.return();
  assert.deepEqual(await waits, { done: true, value: undefined });
  await closed;
  // One that was not begun is never asked for.
  const idle = client.tail();
  await idle.return();
  assert.deepEqual(await idle.next(), { done: true, value: undefined });
});

test("a signal ends what it is given to, with its reason", async (t) => {
  let closed: Promise<unknown> | undefined;
  const baseUrl = await serve(t, (r, w) => {
    closed = closing(r);
    if (r.url?.startsWith("/v1/tail") === true) lines(w).write(item(1));
    if (r.url === "/v1/query") lines(w).write('{"columns":["a"],"rows":[{"a":1},{"a":2}]}\n');
    if (r.url?.startsWith("/v1/plans") === true) w.writeHead(200).write("{"); // and no more
  });
  const client = new DocketClient({ baseUrl });
  const reason = new Error("enough");
  const streams: ((signal: AbortSignal) => AsyncIterator<unknown>)[] = [
    (signal) => client.tail({ follow: true }, { signal }),
    (signal) => client.tail({ follow: true }, { signal, reconnect: true }),
    (signal) => client.query("SELECT a", { signal }),
  ];
  for (const begin of streams) {
    const controller = new AbortController();
    const stream = begin(controller.signal);
    await stream.next();
    const left = (async () => { for (;;) assert.equal((await stream.next()).done, false); })();
    controller.abort(reason);
    await assert.rejects(left, reason);
    await closed;
    await assert.rejects(begin(AbortSignal.abort(reason)).next(), reason);
  }
  const controller = new AbortController();
  const plan = client.getPlan("p", { signal: controller.signal });
  setImmediate(() => controller.abort(reason));
  await assert.rejects(plan, reason);
  // Nor does a delay outlast it.
  const waiting = new AbortController();
  const wait = (_: number, signal: AbortSignal): Promise<void> => {
    setImmediate(() => waiting.abort(reason));
    return once(signal, "abort").then(() => signal.throwIfAborted());
  };
  const gone = new DocketClient({ baseUrl, fetch: () => Promise.reject(new TypeError("fetch failed")) });
  await assert.rejects(gone.tail({}, { signal: waiting.signal, reconnect: { wait } }).next(), reason);
});

test("columns are there before rows, and with them", async (t) => {
  const baseUrl = await serve(t, (_, w) => lines(w).end('{"columns":["b","a"],"rows":[]}\n{"columns":[],"rows":[{"b":9223372036854775807,"a":null}]}\n' + end));
  const client = new DocketClient({ baseUrl });
  const rows = client.query("SELECT b, a");
  assert.deepEqual(await rows.columns(), ["b", "a"]);
  assert.deepEqual(await all(rows), [{ b: "9223372036854775807", a: null }]);
  assert.deepEqual(await rows.columns(), ["b", "a"]);
  const late = client.query("SELECT b, a");
  assert.equal((await all(late)).length, 1);
  assert.deepEqual(await late.columns(), ["b", "a"]);
});

test("a page without end is a loop that the caller leaves", async (t) => {
  const asked: (string | null)[] = [];
  const baseUrl = await serve(t, (r, w) => {
    const token = new URL(r.url ?? "", "http://x").searchParams.get("page_token");
    asked.push(token);
    const n = Number(token ?? 0);
    json(w, 200, { operations: [{ uid: `o${n}` }, { uid: `p${n}` }], next_page_token: String(n + 1) });
  });
  const got: string[] = [];
  for await (const o of new DocketClient({ baseUrl }).operations({ page_size: 2 })) {
    got.push(o.uid);
    if (got.length === 5) break;
  }
  assert.deepEqual(got, ["o0", "p0", "o1", "p1", "o2"]);
  assert.deepEqual(asked, [null, "1", "2"]);
});
