// SPDX-License-Identifier: Apache-2.0

export type * from "./api.gen.js";
export { type CallOptions, DocketClient, type TailOptions } from "./client.js";
export * from "./errors.js";
export { type Int64, type JSONObject, type JSONValue, type OCSFEvent, type OCSFMetadata, type Row, type Timestamp } from "./json.js";
export { Rows } from "./rows.js";
export { Stream } from "./stream.js";
export type { Reconnect } from "./tail.js";
export type { Options } from "./transport.js";
