// SPDX-License-Identifier: Apache-2.0

import type { QueryResponse } from "./api.gen.js";
import { StreamBroken } from "./errors.js";
import type { Row } from "./json.js";
import { Stream } from "./stream.js";

type Source = AsyncGenerator<QueryResponse, void, undefined>;

/** Rows are an answer in SQL: its rows as they come, and the names of its columns. */
export class Rows extends Stream<Row> {
  readonly #first: () => Promise<QueryResponse>;

  constructor(make: (signal: AbortSignal) => Source, outer?: AbortSignal) {
    // The first message has the columns. Whoever asks for these or for a row
    // before reads it; the other one has it too.
    let first: () => Promise<QueryResponse> = () => Promise.reject(new Error("not begun"));
    super((signal) => {
      let source: Source | undefined;
      let answer: Promise<QueryResponse> | undefined;
      first = () => (answer ??= firstOf((source ??= make(signal))));
      return (async function* () {
        try {
          yield* (await first()).rows;
          if (source !== undefined) for await (const part of source) yield* part.rows;
        } finally {
          await source?.return();
        }
      })();
    }, outer);
    this.#first = first;
  }

  /** columns are the names of the columns, in their order; the query begins. */
  async columns(): Promise<readonly string[]> {
    return (await this.#first()).columns;
  }
}

async function firstOf(source: Source): Promise<QueryResponse> {
  const first = await source.next();
  if (first.done === true) {
    throw new StreamBroken("the answer ends before it has columns", { code: "unavailable", status: 200 });
  }
  return first.value;
}
