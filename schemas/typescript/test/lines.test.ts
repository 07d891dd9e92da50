// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";

import { DataLoss, ResourceExhausted, StreamBroken } from "../src/errors.js";
import { LineParser } from "../src/lines.js";

const values = [
  { event: { message: "منع التنفيذ: الحصة استُنفدت", n: 1 }, resume_token: "a" },
  { event: { message: "𓂀 emoji 👩🏽‍🚀, e\u0301, \u0000 and \u2028\u2029", quoted: '"\\' }, resume_token: "b" },
  { caught_up: {}, resume_token: "c" },
  { event: { at: "9223372036854775807" } },
];
const text = values.map((v) => JSON.stringify(v) + "\n").join("");
const bytes = new TextEncoder().encode(text);

function parsed(parser: LineParser, ...chunks: Uint8Array[]): unknown[] {
  const out = chunks.flatMap((c) => [...parser.push(c)]);
  parser.end();
  return out;
}

test("lines are the same wherever they are cut", () => {
  for (let i = 0; i <= bytes.length; i++) {
    assert.deepEqual(parsed(new LineParser(), bytes.subarray(0, i), bytes.subarray(i)), values, `cut at ${i}`);
  }
});

test("lines are the same cut into pieces of every length", () => {
  for (let length = 1; length <= bytes.length; length++) {
    const chunks: Uint8Array[] = [];
    for (let i = 0; i < bytes.length; i += length) chunks.push(bytes.subarray(i, i + length));
    assert.deepEqual(parsed(new LineParser(), ...chunks), values, `pieces of ${length}`);
  }
});

test("a line that is not whole is no line, wherever it ends", () => {
  const ends = new Set([0]);
  bytes.forEach((b, i) => b === 0x0a && ends.add(i + 1));
  for (let i = 0; i <= bytes.length; i++) {
    const parser = new LineParser();
    const before = [...parser.push(bytes.subarray(0, i))];
    assert.deepEqual(before, values.slice(0, before.length));
    if (ends.has(i)) parser.end();
    else assert.throws(() => parser.end(), StreamBroken, `ends at ${i}`);
  }
});

test("empty lines say nothing", () => {
  assert.deepEqual(parsed(new LineParser(), new TextEncoder().encode('\n\n{"a":1}\n\n')), [{ a: 1 }]);
});

test("a line of 16 MiB, in pieces as a socket gives them", () => {
  const line = new TextEncoder().encode(JSON.stringify({ event: { message: "ب".repeat(8 << 20) } }) + "\n");
  assert.ok(line.length > 16 << 20);
  const chunks: Uint8Array[] = [];
  for (let i = 0; i < line.length; i += 65_521) chunks.push(line.subarray(i, i + 65_521));
  const [value] = parsed(new LineParser(), ...chunks) as [{ event: { message: string } }];
  assert.equal(value.event.message.length, 8 << 20);
  assert.ok(/^ب+$/.test(value.event.message));
});

test("a line is as long as it may be, and not a byte longer", () => {
  const line = new TextEncoder().encode('{"a":"0123456789"}');
  const newline = new Uint8Array([0x0a]);
  assert.equal(parsed(new LineParser(line.length), line, newline).length, 1);
  // It is refused before its end has come: there may be none.
  assert.throws(
    () => [...new LineParser(line.length - 1).push(line)],
    (err) => err instanceof ResourceExhausted && /maxLineBytes/.test(err.hint ?? ""),
  );
  // The bound is on each line, not on all of them.
  assert.equal(parsed(new LineParser(line.length), line, newline, line, newline, line, newline).length, 3);
});

test("what is no JSON, or no UTF-8, is told", () => {
  for (const wrong of ["{]", "<html>", '{"a":1}{"b":2}']) {
    assert.throws(() => [...new LineParser().push(new TextEncoder().encode(wrong + "\n"))], DataLoss, wrong);
  }
  assert.throws(() => [...new LineParser().push(new Uint8Array([0x22, 0xd9, 0x22, 0x0a]))], DataLoss);
});
