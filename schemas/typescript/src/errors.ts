// SPDX-License-Identifier: Apache-2.0

/** What is known of an error. */
export interface ErrorDetails {
  /** The name of a gRPC status code, such as "not_found". */
  code: string;
  /**
   * The status of the HTTP answer: 200 where the error came within a stream, 0
   * where there was no answer.
   */
  status: number;
  /** The field of the request that is at fault, if one is. */
  field?: string | undefined;
  /** What can be done, if something can. */
  hint?: string | undefined;
  /** How long the server asks to be left alone, if it does. */
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/** An error that the server answered, or why there is no whole answer of it. */
export class DocketError extends Error {
  readonly code: string;
  readonly status: number;
  readonly field: string | undefined;
  readonly hint: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = details.code;
    this.status = details.status;
    this.field = details.field;
    this.hint = details.hint;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** The request is wrong, whatever the state of the server: see field. */
export class InvalidArgument extends DocketError {}
/** The server does not know who asks, or not any more. */
export class Unauthenticated extends DocketError {}
/** The caller may not ask that. */
export class PermissionDenied extends DocketError {}
/** There is none that the caller may see. */
export class NotFound extends DocketError {}
export class AlreadyExists extends DocketError {}
/** It needs more than it may have; to ask again is of no use. */
export class ResourceExhausted extends DocketError {}
/** It was refused for the state that the server is in. */
export class FailedPrecondition extends DocketError {}
export class Aborted extends DocketError {}
export class OutOfRange extends DocketError {}
/** This server cannot do it. */
export class Unimplemented extends DocketError {}
/** The server failed. */
export class Internal extends DocketError {}
/** The server cannot do it now; to ask again later is of use. */
export class Unavailable extends DocketError {}
/** The answer is not what a server answers. */
export class DataLoss extends DocketError {}
export class DeadlineExceeded extends DocketError {}
/** The server gave the request up. */
export class Canceled extends DocketError {}
export class Unknown extends DocketError {}

/** The server could not be reached; cause is why. */
export class ConnectionFailed extends Unavailable {}
/**
 * The connection ended in the midst of an answer, or the answer lacks its end; what
 * came before is right. Of a tail, resume_token of the last item goes on behind it.
 */
export class StreamBroken extends Unavailable {}

const byCode: ReadonlyMap<string, typeof DocketError> = new Map<string, typeof DocketError>([
  ["canceled", Canceled],
  ["unknown", Unknown],
  ["invalid_argument", InvalidArgument],
  ["deadline_exceeded", DeadlineExceeded],
  ["not_found", NotFound],
  ["already_exists", AlreadyExists],
  ["permission_denied", PermissionDenied],
  ["resource_exhausted", ResourceExhausted],
  ["failed_precondition", FailedPrecondition],
  ["aborted", Aborted],
  ["out_of_range", OutOfRange],
  ["unimplemented", Unimplemented],
  ["internal", Internal],
  ["unavailable", Unavailable],
  ["data_loss", DataLoss],
  ["unauthenticated", Unauthenticated],
]);

/** errorOf is the error that a server answered, {"code", "message", ...}. */
export function errorOf(body: unknown, status: number, retryAfterMs?: number): DocketError {
  const of = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const text = (name: string): string | undefined => {
    const v = of[name];
    return typeof v === "string" && v !== "" ? v : undefined;
  };
  const code = text("code") ?? codeOf(status);
  return new (byCode.get(code) ?? DocketError)(text("message") ?? `the server answered ${code}`, {
    code,
    status,
    field: text("field"),
    hint: text("hint"),
    retryAfterMs,
  });
}

/** codeOf is what a status means by itself, as a proxy in between answers it. */
function codeOf(status: number): string {
  switch (status) {
    case 400:
      return "invalid_argument";
    case 401:
      return "unauthenticated";
    case 403:
      return "permission_denied";
    case 404:
      return "not_found";
    case 409:
      return "failed_precondition";
    case 405:
    case 501:
      return "unimplemented";
    case 413:
      return "resource_exhausted";
    case 429:
    case 502:
    case 503:
    case 504:
      return "unavailable";
    default:
      return status >= 500 ? "internal" : "unknown";
  }
}
