import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { type ErrorKind, kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Backend, Incoming, Sealed } from './backend.ts';
import type { Digest } from './digest.ts';
import { EvictionReaders } from './eviction-readers.ts';
import type { FarStore } from './far-store.ts';
import { ForwardedBody } from './forwarded-body.ts';
import { KeyedLock } from './keyed-lock.ts';
import type { BlobRow, NodeDatabase } from './node-database.ts';

/** What copies work with. */
export interface CopyOptions {
  /** Of the tiered backend: its rows in the node database are the bodies that wait. */
  readonly name: string;
  readonly near: Backend;
  readonly far: FarStore;
  readonly database: NodeDatabase;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Bodies that may wait. Absent: 100,000. */
  readonly maxWaiting?: number | undefined;
  /** Milliseconds until what failed is tried again at the earliest. Absent: 1,000. */
  readonly retryMs?: number | undefined;
}

const MAX_WAITING = 100_000;
const RETRY_MS = 1_000;
/** A far store that stays away is asked this often, as a multiple of the first wait. */
const MAX_BACKOFF = 15;
/** Bodies copied at a time: enough to hide the way there, few enough to leave room for requests. */
const LANES = 4;
/** What will be no better the next time. */
const FINAL: ReadonlySet<ErrorKind> = new Set(['gone', 'integrity', 'too-large']);
/** A pass ends after as many failures in a row: then it is the store, not the body. */
const MAX_FAILURES = 3;

/**
 * Bodies that the near store has and the far one could not take: a list in the node-local database that outlives the process,
 * worked off as soon as the far store takes bodies again. What cannot be copied any more is logged and counted.
 */
export class TieredCopies implements AsyncDisposable {
  readonly #options: CopyOptions;
  readonly #lock = new KeyedLock();
  readonly #stop = new AbortController();
  readonly #coming = new EvictionReaders();
  #waiting = 0;
  #counted = false;
  #wait: number;
  #timer: NodeJS.Timeout | undefined;
  #pass: Promise<void> | undefined;
  #after: Digest | undefined;

  constructor(options: CopyOptions) {
    this.#options = options;
    this.#wait = this.#firstWait;
    // What an earlier process left.
    this.#schedule();
  }

  /** Bodies on the list. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether the far store may have to get a body from the near one yet. */
  owes(digest: Digest): boolean {
    if (this.#coming.isRead(digest)) return true;
    if (this.#waiting === 0 && this.#counted) return false;
    return this.#options.database.blob(this.#options.name, digest) !== undefined;
  }

  /** Runs a put of both stores. Until it is done the body is owed, since only then it is known whether the far one has it. */
  async during<T>(incoming: Incoming, put: () => Promise<T>): Promise<T> {
    let isOver = false;
    let release = (): void => {};
    incoming.sealed.then(
      ({ digest }) => {
        if (!isOver) release = this.#coming.hold(digest);
      },
      () => undefined,
    );
    try {
      return await put();
    } finally {
      isOver = true;
      release();
    }
  }

  /** Puts a body on the list, durably. What does not fit there, or cannot be written, is told as not kept. Never rejects. */
  async later({ digest, size, blocks }: Sealed): Promise<void> {
    const { name, database, clock, maxWaiting = MAX_WAITING } = this.#options;
    try {
      await this.#lock.run(digest, async () => {
        if (database.blob(name, digest) !== undefined) return;
        if (this.#waiting >= maxWaiting)
          throw new ProxyError('unavailable', 'tiered-copies.later', 'too many bodies wait');
        await database.put(name, { digest, size, blocks, modifiedAt: clock.now() });
        this.#waiting += 1;
      });
      this.#schedule();
    } catch (error) {
      this.#lost(digest, error);
    }
  }

  /** The far store has the body, or nobody wants it: resolves when no copy of it is under way or waits. */
  async forget(digest: Digest): Promise<void> {
    if (this.#waiting === 0 && this.#counted) return;
    await this.#lock.run(digest, async () => await this.#drop(digest));
  }

  /** The far store took a body: what waits need not wait longer. */
  hurry(): void {
    if (this.#waiting === 0 || this.#wait === this.#firstWait) return;
    this.#wait = this.#firstWait;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#schedule();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    await this.#pass;
    await this.#lock.idle();
  }

  get #firstWait(): number {
    return this.#options.retryMs ?? RETRY_MS;
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#pass !== undefined || this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#pass = this.#workOff().finally(() => {
        this.#pass = undefined;
        if (this.#waiting > 0) this.#schedule();
      });
    }, this.#wait).unref();
  }

  async #workOff(): Promise<void> {
    const { signal } = this.#stop;
    try {
      await this.#count();
      const { name, database } = this.#options;
      const rows = database.blobs(name, this.#after, { signal });
      const state = { failures: 0, seen: 0 };
      const [first, waited] = [this.#after, this.#waiting];
      const lane = async (): Promise<void> => {
        while (state.failures < MAX_FAILURES && !signal.aborted) {
          const next = await rows.next();
          if (next.done === true) {
            this.#after = undefined;
            return;
          }
          state.seen += 1;
          this.#after = next.value.digest;
          state.failures = (await this.#copy(next.value.digest)) ? 0 : state.failures + 1;
        }
      };
      await Promise.all(Array.from({ length: LANES }, lane));
      if (state.failures > 0) this.#wait = Math.min(this.#wait * 2, this.#firstWait * MAX_BACKOFF);
      else if (state.seen > 0) this.#wait = this.#firstWait;
      else if (first === undefined && waited === this.#waiting) this.#waiting = 0;
    } catch (error) {
      if (signal.aborted) return;
      this.#options.log.warn({ reason: messageOf(error) }, 'waiting copies could not be read');
    }
  }

  async #count(): Promise<void> {
    if (this.#counted) return;
    const { name, database } = this.#options;
    let found = 0;
    for await (const _ of database.blobs(name, undefined, { signal: this.#stop.signal })) found++;
    this.#waiting = Math.max(found, this.#waiting);
    this.#counted = true;
  }

  /** False: the far store did not take it, and it waits on. */
  async #copy(digest: Digest): Promise<boolean> {
    return await this.#lock.run(digest, async () => {
      const { name, near, far, database, metrics, log } = this.#options;
      const row = database.blob(name, digest);
      if (row === undefined || this.#stop.signal.aborted) return true;
      try {
        const options = { signal: this.#stop.signal };
        if ((await near.stat(digest, options)) === undefined) throw goneNear();
        // Another node, or a put that was left too early, may have brought it there.
        if ((await far.stat(digest, options))?.size !== row.size)
          await far.put(incomingFrom(near, row), options);
        await this.#drop(digest);
        metrics.count('tier_copied_total', 'far');
        return true;
      } catch (error) {
        if (this.#stop.signal.aborted) return true;
        // One that has no room there is refused for the second time.
        if (!FINAL.has(kindOf(error))) {
          log.debug({ digest, reason: messageOf(error) }, 'a body still waits for the far store');
          return false;
        }
        await this.#drop(digest).catch(() => undefined);
        this.#lost(digest, error);
        return true;
      }
    });
  }

  async #drop(digest: Digest): Promise<void> {
    const { name, database } = this.#options;
    if (database.blob(name, digest) === undefined) return;
    if (await database.drop(name, digest)) this.#waiting = Math.max(0, this.#waiting - 1);
  }

  #lost(digest: Digest, error: unknown): void {
    this.#options.metrics.count('tier_not_copied_total', 'far');
    const reason = messageOf(error);
    this.#options.log.warn({ digest, reason }, 'a body was not kept in the far store');
  }
}

function goneNear(): ProxyError {
  return new ProxyError('gone', 'tiered-copies.copy', 'the near store lost it before');
}

function incomingFrom(near: Backend, { digest, size, blocks }: BlobRow): Incoming {
  const open = (options: CallOptions = {}): ForwardedBody =>
    new ForwardedBody({
      from: async () => {
        const opened = await near.open(digest, options);
        if (opened === undefined) throw goneNear();
        return opened.body;
      },
    });
  return { sealed: Promise.resolve({ digest, size, blocks }), expectedSize: size, open };
}
