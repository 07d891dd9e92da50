// SPDX-License-Identifier: Apache-2.0

import { routes, type Methods } from "./api.gen.js";
import { ConnectionFailed, DataLoss, type DocketError, errorOf, InvalidArgument, ResourceExhausted, StreamBroken } from "./errors.js";
import { parse } from "./json.js";
import { LineParser, maxLineBytes } from "./lines.js";

/** Who is asked, and how. */
export interface Options {
  /** Where the API is, such as "https://docket.example:7443". */
  baseUrl: string | URL;
  /** The bearer token, or what gives one for each request. */
  token?: string | (() => string | Promise<string>) | undefined;
  /** Another fetch, such as one with a proxy; the global one where there is none. */
  fetch?: typeof globalThis.fetch | undefined;
  /** The longest line of a stream; 16 MiB and a bit where it is not said. */
  maxLineBytes?: number | undefined;
  /** The longest answer that is no stream; 128 MiB where it is not said. */
  maxAnswerBytes?: number | undefined;
}

type Name = keyof Methods;

const maxErrorBytes = 64 << 10;

/** A Transport asks the server, and makes errors of what it refuses. */
export class Transport {
  readonly #base: string;
  readonly #token: Options["token"];
  readonly #fetch: typeof globalThis.fetch;
  readonly #maxLine: number;
  readonly #maxAnswer: number;

  constructor(o: Options) {
    const base = new URL(o.baseUrl);
    base.hash = base.search = "";
    this.#base = base.href.replace(/\/+$/, "");
    this.#token = o.token;
    this.#fetch = o.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.#maxLine = o.maxLineBytes ?? maxLineBytes;
    this.#maxAnswer = o.maxAnswerBytes ?? 128 << 20;
  }

  /** renews says whether the next request may have another token. */
  get renews(): boolean {
    return typeof this.#token === "function";
  }

  /** call returns an answer that is no stream. */
  async call<N extends Name>(name: N, request: Methods[N]["request"], signal?: AbortSignal): Promise<Methods[N]["response"]> {
    const response = await this.#send(name, request, "application/json", signal);
    const text = decoded(await readAll(response, this.#maxAnswer, signal), response.status);
    let answer: unknown;
    try {
      answer = parse(text);
    } catch (cause) {
      throw new DataLoss(`the answer of ${this.#base} is no JSON`, { code: "data_loss", status: response.status, cause });
    }
    return object(answer, response.status) as Methods[N]["response"];
  }

  /**
   * lines gives the lines of a stream. A line that is an error is thrown, and so is
   * an answer without the last line {"end":{}}: a proxy that loses the server may end
   * it as if it were whole.
   */
  async *lines<N extends Name>(name: N, request: Methods[N]["request"], signal: AbortSignal): AsyncGenerator<Methods[N]["response"], void, undefined> {
    const response = await this.#send(name, request, "application/x-ndjson", signal);
    const parser = new LineParser(this.#maxLine);
    for await (const chunk of chunks(response, signal)) {
      for (const line of parser.push(chunk)) {
        const answer = object(line, response.status);
        if ("error" in answer) throw errorOf(answer.error, response.status);
        if ("end" in answer) return; // nothing is missing
        signal.throwIfAborted();
        yield answer as Methods[N]["response"];
      }
    }
    parser.end();
    throw new StreamBroken("the answer ends without its last line: the connection was cut on the way", {
      code: "unavailable",
      status: response.status,
      hint: name === "Tail" ? "resume_token of the last item goes on behind it" : "what came is right, and not all of it; ask again",
    });
  }

  async #send(name: Name, request: object, accept: string, signal: AbortSignal | undefined): Promise<Response> {
    const route = routes[name];
    const headers = new Headers({ accept });
    const init: RequestInit = { method: route.method, headers };
    if (signal !== undefined) init.signal = signal;
    const rest = new Map<string, unknown>(Object.entries(request));
    let url = this.#base + route.path.replace(/\{(\w+)\}/g, (_, parameter: string) => segment(parameter, rest));
    if (route.method === "POST") {
      headers.set("content-type", "application/json");
      init.body = JSON.stringify(request);
    } else {
      url += query(rest);
    }
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    let response: Response;
    try {
      response = await this.#fetch(url, init);
    } catch (cause) {
      signal?.throwIfAborted();
      throw new ConnectionFailed(`connect to ${this.#base}: ${reason(cause)}`, { code: "unavailable", status: 0, cause });
    }
    if (!response.ok) throw await refusal(response, signal);
    return response;
  }
}

/** segment takes a parameter that is a part of the path. */
function segment(name: string, request: Map<string, unknown>): string {
  const value = String(request.get(name) ?? "");
  request.delete(name);
  // A URL knows no segment of these names: it would be another path.
  if (value === "" || value === "." || value === "..") {
    throw new InvalidArgument(value === "" ? `${name} is missing` : `${name} cannot be "${value}"`, { code: "invalid_argument", status: 0, field: name });
  }
  return encodeURIComponent(value);
}

function query(request: Map<string, unknown>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of request) {
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (one !== undefined) parameters.append(name, one instanceof Date ? one.toISOString() : String(one));
    }
  }
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

/** chunks gives the bytes of an answer. Whoever leaves closes the connection. */
async function* chunks(response: Response, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const chunk = await reader.read().catch((cause: unknown) => {
        signal?.throwIfAborted();
        throw new StreamBroken(`the connection ended in the midst of the answer: ${reason(cause)}`, { code: "unavailable", status: response.status, cause });
      });
      if (chunk.done) return;
      yield chunk.value;
    }
  } finally {
    // Of what is read to its end, or failed, nothing is left to cancel.
    await reader.cancel().catch(() => undefined);
  }
}

async function readAll(response: Response, max: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks(response, signal)) {
    size += chunk.length;
    if (size > max) {
      throw new ResourceExhausted(`the answer has more than ${max} bytes`, {
        code: "resource_exhausted",
        status: response.status,
        hint: "ask for a smaller page, or give the client more maxAnswerBytes",
      });
    }
    all.push(chunk);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of all) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function decoded(bytes: Uint8Array, status: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataLoss("the answer is not in UTF-8", { code: "data_loss", status, cause });
  }
}

function object(answer: unknown, status: number): object {
  if (typeof answer === "object" && answer !== null && !Array.isArray(answer)) return answer;
  throw new DataLoss("the answer is no object of JSON", { code: "data_loss", status });
}

/** refusal is the error of an answer that is one. */
async function refusal(response: Response, signal: AbortSignal | undefined): Promise<DocketError> {
  const seconds = Number(response.headers.get("retry-after") ?? "");
  const retryAfterMs = seconds > 0 && Number.isFinite(seconds) ? seconds * 1000 : undefined;
  let body: unknown;
  try {
    const answer = parse(decoded(await readAll(response, maxErrorBytes, signal), response.status));
    body = (answer as { error?: unknown } | null)?.error;
  } catch {
    signal?.throwIfAborted();
    // It is a proxy's, say; the status is all that can be told.
  }
  return errorOf(body ?? { message: `HTTP status ${response.status} ${response.statusText}`.trim() }, response.status, retryAfterMs);
}

/** reason is why a connection failed: fetch puts it into the cause. */
function reason(err: unknown): string {
  for (let e = err; ; ) {
    const cause: unknown = e instanceof Error ? e.cause : undefined;
    if (cause === undefined) return e instanceof Error && e.message !== "" ? e.message : String((e as { code?: unknown } | undefined)?.code ?? e);
    e = cause;
  }
}
