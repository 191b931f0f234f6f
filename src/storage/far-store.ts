import type { CallOptions, OpenOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { Backend, Incoming, Opened, Stat } from './backend.ts';
import type { Digest } from './digest.ts';
import { StoreGate } from './store-gate.ts';

/** How long the far store of a tiered one may take. */
export interface FarLimits {
  /** Milliseconds until a body is open. */
  readonly openMs: number;
  /** Milliseconds until a body is durable once it is whole … */
  readonly putMs: number;
  /** … and so many more for each MiB of it. */
  readonly putMibMs: number;
}

const LIMITS: FarLimits = { openMs: 5_000, putMs: 10_000, putMibMs: 1_000 };
const MIB = 1024 * 1024;

/**
 * The far store, which may stop answering: whoever waits for it is let go in time, and while it is silent it is asked once a
 * second, the others at once told `unavailable`. What it refuses by itself is its own affair.
 */
export class FarStore {
  readonly store: Backend;
  readonly #limits: FarLimits;
  readonly #reads: StoreGate;
  readonly #writes: StoreGate;

  constructor(store: Backend, clock: Clock, limits: FarLimits = LIMITS) {
    this.store = store;
    this.#limits = limits;
    this.#reads = new StoreGate(clock);
    this.#writes = new StoreGate(clock);
  }

  /** What it was silent about last. Absent: it answers, as far as known. */
  get problem(): string | undefined {
    return this.#reads.problem ?? this.#writes.problem;
  }

  /** As the store's own; throws `timeout` when it takes longer than to open a body. */
  async stat(digest: Digest, options: CallOptions = {}): Promise<Stat | undefined> {
    const op = 'far-store.stat';
    const limit = Promise.resolve(this.#limits.openMs);
    const call = async (signal: AbortSignal): Promise<Stat | undefined> =>
      await this.store.stat(digest, { signal });
    return await this.#reads.run(
      op,
      async () => await inTime(op, limit, options, call),
      (error) => error.op === op,
    );
  }

  /** As the store's own; throws `timeout` when it is not open in time. */
  async open(digest: Digest, options: OpenOptions = {}): Promise<Opened | undefined> {
    const op = 'far-store.open';
    const limit = Promise.resolve(this.#limits.openMs);
    const call = async (signal: AbortSignal): Promise<Opened | undefined> => {
      const opened = await this.store.open(digest, { range: options.range, signal });
      // Too late for whoever asked: nobody else would close it, nor hear of its end.
      if (signal.aborted) opened?.body.on('error', () => undefined).destroy();
      return opened;
    };
    return await this.#reads.run(
      op,
      async () => await inTime(op, limit, options, call),
      (error) => error.op === op,
    );
  }

  /** As the store's own; throws `timeout` when the body is whole and not durable in time. */
  async put(incoming: Incoming, options: CallOptions = {}): Promise<Stat> {
    const op = 'far-store.put';
    const { putMs, putMibMs } = this.#limits;
    const limit = incoming.sealed.then(({ size }) => putMs + (size / MIB) * putMibMs);
    return await this.#writes.run(
      op,
      async () =>
        await inTime(
          op,
          limit,
          options,
          async (signal) => await this.store.put(incoming, { signal }),
        ),
      (error) => error.op === op,
    );
  }
}

async function inTime<T>(
  op: string,
  limit: Promise<number>,
  { signal }: CallOptions,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const late = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  limit.then(
    (ms) => {
      if (isOver) return;
      timer = setTimeout(() => {
        const error = new ProxyError('timeout', op, 'the far store does not answer');
        late.reject(error);
        stop.abort(error);
      }, ms);
    },
    () => undefined,
  );
  const running = call(signal ? AbortSignal.any([signal, stop.signal]) : stop.signal);
  running.catch(() => undefined);
  try {
    return await Promise.race([running, late.promise]);
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}
