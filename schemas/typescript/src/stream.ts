// SPDX-License-Identifier: Apache-2.0

/**
 * A Stream gives items as they are asked for; nothing is read ahead but what the
 * connection holds. It begins with the first next(), and can be iterated once.
 * To leave the loop closes the connection, and so does return(), also while a
 * next() waits.
 */
export class Stream<T> implements AsyncIterableIterator<T, undefined> {
  readonly #items: AsyncGenerator<T, void, undefined>;
  readonly #controller = new AbortController();
  readonly #release: () => void;
  #canceled = false;

  /**
   * make begins the stream: it must end when its signal is aborted. outer is the
   * caller's signal; when it is aborted, next() throws its reason.
   */
  constructor(make: (signal: AbortSignal) => AsyncGenerator<T, void, undefined>, outer?: AbortSignal) {
    const abort = (): void => this.#controller.abort(outer?.reason);
    if (outer?.aborted === true) abort();
    outer?.addEventListener("abort", abort, { once: true });
    this.#release = () => outer?.removeEventListener("abort", abort);
    this.#items = make(this.#controller.signal);
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    try {
      this.#controller.signal.throwIfAborted(); // what is there already comes no more
      const item = await this.#items.next();
      if (item.done !== true) return item;
    } catch (err) {
      if (!this.#canceled) {
        this.#release();
        await this.#items.return();
        throw err;
      }
    }
    this.#release();
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#canceled = true;
    this.#release();
    this.#controller.abort();
    // A next() that waits ends by the signal, and generators return in turn.
    await this.#items.return().catch(() => undefined);
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
