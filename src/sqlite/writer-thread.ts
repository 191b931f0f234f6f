import { type Transferable, Worker } from 'node:worker_threads';
import { ProxyError } from '../errors.ts';
import { fromErrorRecord } from './thread-error.ts';
import type { FromThread, ToThread } from './writer-messages.ts';

/** How a writer thread is made. */
export interface WriterThreadOptions<Event = unknown> {
  /** Module that calls `serveWriter` or `serveRequests`: `workerEntry(new URL('./x.ts', import.meta.url))`. */
  readonly entry: URL;
  /** What the module finds as `workerData`; structured clone. */
  readonly workerData?: unknown;
  /** Called with what the thread says unasked. Absent: nobody listens. */
  readonly onEvent?: ((event: Event) => void) | undefined;
  /** Milliseconds that `dispose` waits for work under way before it ends the thread by force. Absent: 30,000. */
  readonly closeTimeoutMs?: number | undefined;
}

interface Waiter<Response> {
  resolve(value: Response): void;
  reject(error: Error): void;
}

const CLOSE_TIMEOUT_MS = 30_000;
/** A thread that dies at once is not started again in a tight loop. */
const RESTART_PAUSE_MS = 1000;
const SOURCE_CONDITION = '--conditions=caje-source';

/**
 * A thread of its own for writing to SQLite, so that no lock and no fsync stops the event loop. Requests of one tick
 * travel as one message. A thread that died fails its requests with `unavailable` and is started again by a later one,
 * a second after its last start at the earliest. An idle thread does not keep the process alive.
 */
export class WriterThread<Request, Response, Event = unknown> implements AsyncDisposable {
  readonly #options: WriterThreadOptions<Event>;
  readonly #waiters = new Map<number, Waiter<Response>>();
  #worker: Worker | undefined;
  #startedAt = Number.NEGATIVE_INFINITY;
  #nextId = 0;
  #outgoing: Request[] = [];
  #transfers: Transferable[] = [];
  #closed: Promise<void> | undefined;

  constructor(options: WriterThreadOptions<Event>) {
    this.#options = options;
    this.#worker = this.#start();
  }

  /**
   * Resolves with the thread's answer; rejects with its error (`code` kept). What `transfer` names is moved, not copied.
   * A view of a larger buffer is copied with all of that buffer: pass a trimmed copy, not a slice of a pool.
   */
  request(message: Request, transfer: readonly Transferable[] = []): Promise<Response> {
    if (this.#closed !== undefined) return Promise.reject(closedError());
    this.#worker ??= this.#restart();
    if (this.#worker === undefined) return Promise.reject(deadError());
    return new Promise<Response>((resolve, reject) => {
      if (this.#waiters.size === 0) this.#worker?.ref();
      this.#waiters.set(this.#nextId++, { resolve, reject });
      this.#transfers.push(...transfer);
      if (this.#outgoing.push(message) === 1) setImmediate(() => this.#send());
    });
  }

  /** Requests that have no answer yet. */
  get pending(): number {
    return this.#waiters.size;
  }

  /** Lets the thread finish what was asked of it, then ends it. Later requests are refused. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#send();
    const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    worker.ref();
    worker.postMessage({ close: true } satisfies ToThread<Request>);
    const timer = setTimeout(
      () => void worker.terminate(),
      this.#options.closeTimeoutMs ?? CLOSE_TIMEOUT_MS,
    );
    await gone;
    clearTimeout(timer);
  }

  #send(): void {
    const requests = this.#outgoing;
    if (requests.length === 0) return;
    const transfers = this.#transfers;
    this.#outgoing = [];
    this.#transfers = [];
    const first = this.#nextId - requests.length;
    try {
      this.#worker?.postMessage({ first, requests } satisfies ToThread<Request>, transfers);
    } catch (error) {
      const cause = new ProxyError(
        'internal',
        'writer-thread.send',
        'a request cannot be sent to the writer thread',
        {
          cause: error,
        },
      );
      for (let id = first; id < first + requests.length; id++)
        this.#settle(id, (waiter) => waiter.reject(cause));
    }
  }

  #start(): Worker {
    this.#startedAt = performance.now();
    const { entry, workerData } = this.#options;
    // Without the condition a checkout would load workspace packages from a `dist` that nobody built.
    const unconditioned =
      entry.href.endsWith('.ts') && !process.execArgv.includes(SOURCE_CONDITION);
    const worker = new Worker(entry, {
      workerData,
      ...(unconditioned && { execArgv: [SOURCE_CONDITION] }),
    });
    let failure: unknown;
    worker.on('message', (message: FromThread<Response, Event>) => this.#receive(message));
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      this.#outgoing = [];
      this.#transfers = [];
      const error =
        this.#closed === undefined || failure !== undefined ? deadError(failure) : closedError();
      for (const id of [...this.#waiters.keys()])
        this.#settle(id, (waiter) => waiter.reject(error));
    });
    worker.unref();
    return worker;
  }

  #restart(): Worker | undefined {
    return performance.now() - this.#startedAt < RESTART_PAUSE_MS ? undefined : this.#start();
  }

  #receive(message: FromThread<Response, Event>): void {
    for (const event of message.events ?? []) this.#options.onEvent?.(event);
    for (const reply of message.replies) {
      this.#settle(reply.id, (waiter) => {
        if ('error' in reply) waiter.reject(fromErrorRecord(reply.error));
        else waiter.resolve(reply.value);
      });
    }
  }

  #settle(id: number, settle: (waiter: Waiter<Response>) => void): void {
    const waiter = this.#waiters.get(id);
    if (waiter === undefined) return;
    this.#waiters.delete(id);
    if (this.#waiters.size === 0 && this.#closed === undefined) this.#worker?.unref();
    settle(waiter);
  }
}

function deadError(cause?: unknown): ProxyError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new ProxyError('unavailable', 'writer-thread.request', `the writer thread ended${why}`, {
    cause,
  });
}

function closedError(): ProxyError {
  return new ProxyError('unavailable', 'writer-thread.request', 'the writer thread is closed');
}
