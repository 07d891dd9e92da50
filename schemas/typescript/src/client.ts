// SPDX-License-Identifier: Apache-2.0

import type {
  GetEventResponse,
  GetLedgerRequest,
  GetLedgerResponse,
  GetOperationResponse,
  GetPlanResponse,
  GetReplayResponse,
  ListOperationsRequest,
  ListOperationsResponse,
  ListPlansRequest,
  ListPlansResponse,
  Operation,
  QueryRequest,
  SearchEventsRequest,
  SearchEventsResponse,
  StartReplayRequest,
  StartReplayResponse,
  StatsRequest,
  StatsResponse,
  TailRequest,
  TailResponse,
} from "./api.gen.js";
import type { OCSFEvent } from "./json.js";
import { Rows } from "./rows.js";
import { Stream } from "./stream.js";
import { type Reconnect, resumed } from "./tail.js";
import { type Options, Transport } from "./transport.js";

/** What holds for one request. */
export interface CallOptions {
  /** Ends the request when it is aborted; its reason is thrown. */
  signal?: AbortSignal | undefined;
}

export interface TailOptions extends CallOptions {
  /**
   * Come back when the connection is lost, and when the server ends a tail that
   * follows: behind the last item that was taken. Without it a lost connection
   * is thrown, and the resume_token of the last item goes on.
   */
  reconnect?: boolean | Reconnect | undefined;
}

/**
 * A DocketClient asks Docket's audit API. Every method throws a DocketError of
 * the kind that the server answered, and gives only what the token may see.
 */
export class DocketClient {
  readonly #transport: Transport;

  constructor(options: Options) {
    this.#transport = new Transport(options);
  }

  /** searchEvents returns one page of events. */
  searchEvents(request: SearchEventsRequest = {}, options: CallOptions = {}): Promise<SearchEventsResponse> {
    return this.#transport.call("SearchEvents", request, options.signal);
  }

  /** events gives all events that are selected, a page at a time. */
  events(request: SearchEventsRequest = {}, options: CallOptions = {}): Stream<OCSFEvent> {
    return new Stream(
      (signal) => pages(async (page_token) => {
        const page = await this.searchEvents({ ...request, page_token }, { signal });
        return [page.events, page.next_page_token];
      }, request.page_token),
      options.signal,
    );
  }

  /** getEvent returns the event with a metadata.uid, and where it is stored. */
  getEvent(uid: string, options: CallOptions = {}): Promise<GetEventResponse> {
    return this.#transport.call("GetEvent", { uid }, options.signal);
  }

  /** listOperations returns one page of operations, the newest first. */
  listOperations(request: ListOperationsRequest = {}, options: CallOptions = {}): Promise<ListOperationsResponse> {
    return this.#transport.call("ListOperations", request, options.signal);
  }

  /** operations gives all operations that are selected, a page at a time. */
  operations(request: ListOperationsRequest = {}, options: CallOptions = {}): Stream<Operation> {
    return new Stream(
      (signal) => pages(async (page_token) => {
        const page = await this.listOperations({ ...request, page_token }, { signal });
        return [page.operations, page.next_page_token];
      }, request.page_token),
      options.signal,
    );
  }

  /** getOperation returns everything that happened to one operation, in order. */
  getOperation(uid: string, options: CallOptions = {}): Promise<GetOperationResponse> {
    return this.#transport.call("GetOperation", { uid }, options.signal);
  }

  /**
   * tail gives what is stored and then what comes. Each item is an event, says
   * that what follows is new (caught_up), or what the caller was too slow for
   * (missed); an item with none of these is of a newer server, and can be passed
   * over. A tail that follows ends when the server does.
   */
  tail(request: TailRequest = {}, options: TailOptions = {}): Stream<TailResponse> {
    const { reconnect = false, signal: outer } = options;
    const lines = (r: TailRequest, signal: AbortSignal): AsyncGenerator<TailResponse, void, undefined> => this.#transport.lines("Tail", r, signal);
    return new Stream(
      (signal) => (reconnect === false ? lines(request, signal) : resumed(lines, request, reconnect === true ? {} : reconnect, this.#transport.renews, signal)),
      outer,
    );
  }

  /** query answers one SELECT. */
  query(request: string | QueryRequest, options: CallOptions = {}): Rows {
    const of = typeof request === "string" ? { sql: request } : request;
    return new Rows((signal) => this.#transport.lines("Query", of, signal), options.signal);
  }

  /** stats counts events by the values of columns and by time. */
  stats(request: StatsRequest = {}, options: CallOptions = {}): Promise<StatsResponse> {
    return this.#transport.call("Stats", request, options.signal);
  }

  /** getPlan returns the plan with a digest, as it came into force. */
  getPlan(digest: string, options: CallOptions = {}): Promise<GetPlanResponse> {
    return this.#transport.call("GetPlan", { digest }, options.signal);
  }

  /** listPlans returns which plan was in force when, by gateway. */
  listPlans(request: ListPlansRequest = {}, options: CallOptions = {}): Promise<ListPlansResponse> {
    return this.#transport.call("ListPlans", request, options.signal);
  }

  /** getLedger returns the newest signed checkpoint, and the proof of an event. */
  getLedger(request: GetLedgerRequest = {}, options: CallOptions = {}): Promise<GetLedgerResponse> {
    return this.#transport.call("GetLedger", request, options.signal);
  }

  /** startReplay begins to run recorded operations through a plan again. */
  startReplay(request: StartReplayRequest = {}, options: CallOptions = {}): Promise<StartReplayResponse> {
    return this.#transport.call("StartReplay", request, options.signal);
  }

  /** getReplay returns what has become of a replay so far. */
  getReplay(id: string, options: CallOptions = {}): Promise<GetReplayResponse> {
    return this.#transport.call("GetReplay", { id }, options.signal);
  }
}

/** pages gives what is on each page, until one names no next one. */
async function* pages<T>(get: (token: string | undefined) => Promise<[T[], string]>, first: string | undefined): AsyncGenerator<T, void, undefined> {
  for (let token = first; ; ) {
    const [items, next] = await get(token);
    yield* items;
    if (next === "") return;
    token = next;
  }
}
