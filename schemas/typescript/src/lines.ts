// SPDX-License-Identifier: Apache-2.0

import { DataLoss, ResourceExhausted, StreamBroken } from "./errors.js";
import { parse } from "./json.js";

/** What the longest line may have: an event of 16 MiB, and what is around it. */
export const maxLineBytes = (16 << 20) + (64 << 10);

const NEWLINE = 0x0a;

/**
 * A LineParser makes values of application/x-ndjson, however its bytes are cut.
 * It cuts bytes, not text: a newline is never a part of another character of
 * UTF-8, and a line is decoded when all of it is there.
 */
export class LineParser {
  readonly #max: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #parts: Uint8Array[] = []; // of a line whose end has not come
  #size = 0; // of all parts

  constructor(max: number = maxLineBytes) {
    this.#max = max;
  }

  /** push gives the values of the lines that end in the chunk, as they are asked for. */
  *push(chunk: Uint8Array): Generator<unknown, void, undefined> {
    let begin = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, begin);
      this.#keep(chunk.subarray(begin, end < 0 ? chunk.length : end));
      if (end < 0) return;
      begin = end + 1;
      const line = this.#take();
      if (line.length > 0) yield this.#value(line);
    }
  }

  /** end must be called behind the last chunk: a line that is not whole is an error. */
  end(): void {
    if (this.#size > 0) {
      throw new StreamBroken(`the answer ends within a line, after ${this.#size} bytes of it`, { code: "unavailable", status: 200 });
    }
  }

  #keep(part: Uint8Array): void {
    if (part.length === 0) return;
    this.#size += part.length;
    if (this.#size > this.#max) {
      throw new ResourceExhausted(`a line of the answer has more than ${this.#max} bytes`, {
        code: "resource_exhausted",
        status: 200,
        hint: "select less, or give the client more maxLineBytes",
      });
    }
    this.#parts.push(part);
  }

  #take(): Uint8Array {
    const [first] = this.#parts;
    let line = first ?? new Uint8Array();
    if (this.#parts.length > 1) {
      line = new Uint8Array(this.#size);
      let at = 0;
      for (const part of this.#parts) {
        line.set(part, at);
        at += part.length;
      }
    }
    this.#parts = [];
    this.#size = 0;
    return line;
  }

  #value(line: Uint8Array): unknown {
    try {
      return parse(this.#decoder.decode(line));
    } catch (cause) {
      throw new DataLoss("a line of the answer is no JSON", { code: "data_loss", status: 200, cause });
    }
  }
}
