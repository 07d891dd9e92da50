// SPDX-License-Identifier: Apache-2.0

import type { TailRequest, TailResponse } from "./api.gen.js";
import { Canceled, DocketError, StreamBroken, Unauthenticated, Unavailable } from "./errors.js";

/** How a tail comes back when its connection is lost. */
export interface Reconnect {
  /** The first delay; each one after it is twice as long. Default 100 ms. */
  initialDelayMs?: number;
  /** The longest delay, also where the server asks for more. Default 10 s. */
  maxDelayMs?: number;
  /** How often in a row, without a line of an answer, until the error is thrown. Default 10. */
  maxAttempts?: number;
  /** wait returns when the time has passed, and throws when the signal is aborted. */
  wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** random shortens a delay by up to a half, so that not all come at once. In [0, 1). */
  random?: () => number;
}

type Lines = (request: TailRequest, signal: AbortSignal) => AsyncGenerator<TailResponse, void, undefined>;

/**
 * resumed is a tail over as many connections as it takes. Each goes on behind the
 * last item that was taken, so that nothing comes twice and nothing is left out.
 * renews says that an expired token is followed by another.
 */
export async function* resumed(lines: Lines, request: TailRequest, how: Reconnect, renews: boolean, signal: AbortSignal): AsyncGenerator<TailResponse, void, undefined> {
  const { maxAttempts = 10, wait = sleep } = how;
  let next = request;
  let caughtUp = false;
  for (let attempt = 0; ; attempt++) {
    let failure: unknown;
    let began = false;
    try {
      for await (const item of lines(next, signal)) {
        began = true;
        attempt = 0;
        if (item.resume_token !== "") {
          next = { ...request, last: undefined, all: undefined, since: undefined, resume_token: item.resume_token };
        }
        if (item.caught_up !== undefined) {
          if (caughtUp) continue; // it says so once
          caughtUp = true;
        }
        yield item;
      }
      if (request.follow !== true) return;
    } catch (err) {
      signal.throwIfAborted();
      const renewed = began && renews && err instanceof Unauthenticated;
      if (!renewed && !(err instanceof Unavailable) && !(err instanceof Canceled)) throw err;
      failure = err;
    }
    if (attempt >= maxAttempts) {
      throw failure ?? new StreamBroken(`the server ended the tail ${attempt + 1} times at its beginning`, { code: "unavailable", status: 200 });
    }
    await wait(delay(attempt, how, failure), signal);
  }
}

function delay(attempt: number, how: Reconnect, failure: unknown): number {
  const { initialDelayMs = 100, maxDelayMs = 10_000, random = Math.random } = how;
  const full = Math.min(initialDelayMs * 2 ** attempt, maxDelayMs);
  const asked = failure instanceof DocketError ? (failure.retryAfterMs ?? 0) : 0;
  return Math.max(full * (1 - random() / 2), Math.min(asked, maxDelayMs));
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal.addEventListener("abort", abort, { once: true });
  });
}
