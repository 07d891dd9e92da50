// SPDX-License-Identifier: Apache-2.0

/**
 * An integer of 64 bits, as text: a number of JavaScript has 53 of them.
 * `BigInt(value)` counts with it.
 */
export type Int64 = string;

/** An instant in RFC 3339, such as "2026-09-28T12:00:00.100Z". */
export type Timestamp = string;

/**
 * JSON as the client has it. An integer beyond 2^53, and a decimal of more digits
 * than JavaScript keeps, is text, with the digits that it had: DuckDB has
 * 9223372036854775807, where JavaScript would count to 9223372036854775808.
 */
export type JSONValue = string | number | boolean | null | JSONValue[] | JSONObject;

export interface JSONObject {
  [name: string]: JSONValue;
}

/** A row of an answer in SQL: its columns by their names. */
export type Row = JSONObject;

/**
 * An event of the Open Cybersecurity Schema Framework as it is stored: what all
 * classes have in common, and whatever else its own has.
 * See https://schema.ocsf.io.
 */
export interface OCSFEvent {
  activity_id: number;
  activity_name?: string;
  category_uid: number;
  category_name?: string;
  class_uid: number;
  class_name?: string;
  type_uid: number;
  type_name?: string;
  severity_id: number;
  severity?: string;
  /** Milliseconds since 1970. */
  time: number;
  message?: string;
  status_id?: number;
  status?: string;
  status_code?: string;
  status_detail?: string;
  duration?: number;
  metadata: OCSFMetadata;
  unmapped?: JSONObject;
  [attribute: string]: unknown;
}

/** Where an event comes from, and by which names it is known. */
export interface OCSFMetadata {
  uid: string;
  version: string;
  tenant_uid?: string;
  /** The uid of the operation. */
  correlation_uid?: string;
  /** The kind of the event: outcome, evaluation, ... */
  event_code?: string;
  profiles?: string[];
  sequence?: number;
  [attribute: string]: unknown;
}

/**
 * parse reads JSON without losing a digit: numbers that would come out as other
 * ones are text. It throws a SyntaxError, as JSON.parse does.
 */
export function parse(text: string): unknown {
  return JSON.parse(long.test(text) ? quoted(text) : text);
}

// Fewer than sixteen digits are always exact.
const long = /\d[\d.]{15}/;

/** quoted puts each number that JavaScript does not have between quotes. */
function quoted(text: string): string {
  let out = "";
  let copied = 0; // what out has of text
  for (let i = 0; i < text.length; ) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) {
      i = behind(text, i);
    } else if (c === MINUS || isDigit(c)) {
      const begin = i;
      while (i < text.length && isOfNumber(text.charCodeAt(i))) i++;
      const number = text.slice(begin, i);
      if (!isExact(number)) {
        out += text.slice(copied, begin) + '"' + number + '"';
        copied = i;
      }
    } else {
      i++;
    }
  }
  return out + text.slice(copied);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;

/** behind returns where the string that begins at i has ended. */
function behind(text: string, i: number): number {
  for (;;) {
    i = text.indexOf('"', i + 1);
    if (i < 0) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(i - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return i + 1;
  }
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

/** isOfNumber says whether a character may be in a number: 0-9 + - . e E. */
function isOfNumber(c: number): boolean {
  return isDigit(c) || c === MINUS || c === 0x2b || c === 0x2e || c === 0x65 || c === 0x45;
}

const decimal = /^-?(0|[1-9]\d*)(\.\d+)?$/;

/**
 * isExact says whether JavaScript has the number. What is written with an
 * exponent was a double before; what is no number is for JSON.parse to refuse.
 */
function isExact(number: string): boolean {
  const parts = decimal.exec(number);
  if (parts === null) return true;
  if (parts[2] === undefined) {
    return number === "-0" || Number.isSafeInteger(Number(number));
  }
  // A double is written with 17 digits at most, and reads back as itself.
  const shortest = number.replace(/0+$/, "").replace(/\.$/, "");
  return String(Number(number)) === shortest || digits(shortest) <= 15;
}

function digits(number: string): number {
  return number.replace(/^[-0.]+/, "").replace(".", "").length;
}
