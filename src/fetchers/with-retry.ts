import type { Clock } from '../clock.ts';
import type { Metrics } from '../metrics.ts';
import type { Fetcher, FetchRequest } from './fetcher.ts';
import { NoAnswerError } from './no-answer-error.ts';

/** What a retry needs. */
export interface RetryOptions {
  readonly budget: RetryBudget;
  readonly metrics: Metrics;
}

const WINDOW_MS = 60_000;
const SLICES = 12;
const SHARE = 0.1;
// So that a quiet fetcher may retry at all.
const FLOOR = 5;

/** How many requests and retries there were in the last minute: retries stay below a tenth, but for a handful. */
export class RetryBudget {
  readonly #clock: Clock;
  readonly #requests = new Array<number>(SLICES).fill(0);
  readonly #retries = new Array<number>(SLICES).fill(0);
  #slice = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** One request was sent for the first time. */
  request(): void {
    this.#turn();
    this.#add(this.#requests);
  }

  /** Takes leave for one retry. False: the budget is spent. */
  tryRetry(): boolean {
    this.#turn();
    if (sum(this.#retries) >= Math.max(FLOOR, sum(this.#requests) * SHARE)) return false;
    this.#add(this.#retries);
    return true;
  }

  #add(counts: number[]): void {
    const at = this.#slice % SLICES;
    counts[at] = (counts[at] ?? 0) + 1;
  }

  #turn(): void {
    const now = Math.floor(this.#clock.monotonic() / (WINDOW_MS / SLICES));
    if (now === this.#slice) return;
    const stale = Math.min(now - this.#slice, SLICES);
    for (let i = 0; i < stale; i += 1) {
      this.#requests[(now - i) % SLICES] = 0;
      this.#retries[(now - i) % SLICES] = 0;
    }
    this.#slice = now;
  }
}

/**
 * Tries a GET or HEAD without a body once more when its connection failed before one byte of an answer had come,
 * as far as the budget allows. A time-out is not tried again: it has cost its caller enough.
 */
export function withRetry(inner: Fetcher, { budget, metrics }: RetryOptions): Fetcher {
  return {
    name: inner.name,
    locate: inner.locate?.bind(inner),
    fetch: async (request, options) => {
      budget.request();
      try {
        return await inner.fetch(request, options);
      } catch (error) {
        const again = error instanceof NoAnswerError && isRepeatable(request);
        if (!again || options?.signal?.aborted === true || !budget.tryRetry()) throw error;
        metrics.count('fetch_retries_total');
        return await inner.fetch(request, options);
      }
    },
  };
}

/** Whether sending the request twice does no more than sending it once. */
export function isRepeatable(request: FetchRequest): boolean {
  return request.body === undefined && (request.method === 'GET' || request.method === 'HEAD');
}

function sum(counts: readonly number[]): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
