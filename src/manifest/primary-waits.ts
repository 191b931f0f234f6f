import type { CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import { MAX_WAIT_MS } from './primary-protocol.ts';

/** What one look found. */
export interface Look<Answer> {
  readonly answer: Answer;
  /** True: it is worth being sent at once. */
  readonly news: boolean;
}

/** Questions of other nodes that wait for something new. */
export class PrimaryWaits {
  readonly #waiting = new Set<(namespace: string) => void>();
  #isOver = false;

  /** Something was written in a namespace; '': anything may have changed. */
  moved(namespace: string): void {
    for (const waiting of [...this.#waiting]) waiting(namespace);
  }

  /** The node stops: who waits is told so, and nobody waits any more. */
  end(): void {
    this.#isOver = true;
    this.moved('');
  }

  /**
   * Looks until there is news, for as long as asked for and 25 s at most; the last look's answer counts. `namespaces`: absent:
   * all. Throws `unavailable` when the node stops first, so that the asker does not come back at once.
   */
  async untilNews<Answer>(
    waitMs: number,
    { signal }: CallOptions,
    namespaces: ReadonlySet<string> | undefined,
    read: (isFirst: boolean) => Look<Answer>,
  ): Promise<Answer> {
    const end = performance.now() + Math.min(waitMs, MAX_WAIT_MS);
    for (let isFirst = true; ; isFirst = false) {
      const woken = Promise.withResolvers<void>();
      const wake = (namespace: string): void => {
        if (namespace === '' || (namespaces?.has(namespace) ?? true)) woken.resolve();
      };
      // Before the look, so that what comes right after it is not missed.
      this.#waiting.add(wake);
      const { answer, news } = read(isFirst);
      const left = end - performance.now();
      if (news || left <= 0 || signal?.aborted) {
        this.#waiting.delete(wake);
        return answer;
      }
      const timer = setTimeout(woken.resolve, left);
      signal?.addEventListener('abort', () => woken.resolve(), { once: true });
      if (!this.#isOver) await woken.promise;
      clearTimeout(timer);
      this.#waiting.delete(wake);
      if (this.#isOver) throw new ProxyError('unavailable', 'primary-waits.wait', 'the node stops');
    }
  }
}
