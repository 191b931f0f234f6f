import type { CallOptions } from '../body.ts';
import { givenUp } from './http-errors.ts';

interface Running<T> {
  readonly result: Promise<T>;
  readonly giveUp: AbortController;
  waiting: number;
}

/** Work that equal requests share. Who waits may leave; when the last one has left, the work is given up. */
export class SharedJobs<T> {
  readonly #running = new Map<string, Running<T>>();

  /** Joins the work of that name, or begins it. Throws what it throws, `aborted` for the own signal. */
  async join(
    name: string,
    begin: (signal: AbortSignal) => Promise<T>,
    { signal }: CallOptions,
  ): Promise<T> {
    if (signal?.aborted === true) throw givenUp(signal.reason);
    const job = this.#running.get(name) ?? this.#begin(name, begin);
    job.waiting += 1;
    const left = Promise.withResolvers<never>();
    const onAbort = (): void => left.reject(givenUp(signal?.reason));
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([job.result, left.promise]);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      job.waiting -= 1;
      if (job.waiting === 0) this.#leave(name, job);
    }
  }

  #begin(name: string, begin: (signal: AbortSignal) => Promise<T>): Running<T> {
    const giveUp = new AbortController();
    const result = begin(giveUp.signal).finally(() => this.#forget(name, job));
    // With every waiter gone nobody else hears of it.
    result.catch(() => {});
    const job: Running<T> = { result, giveUp, waiting: 0 };
    this.#running.set(name, job);
    return job;
  }

  #leave(name: string, job: Running<T>): void {
    // Nobody joins what is being given up.
    this.#forget(name, job);
    job.giveUp.abort();
  }

  #forget(name: string, job: Running<T>): void {
    if (this.#running.get(name) === job) this.#running.delete(name);
  }
}
