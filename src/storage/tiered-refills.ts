import type { Body, OpenOptions } from '../body.ts';
import type { ServiceKey } from '../component.ts';
import { kindOf } from '../errors.ts';
import type { Backend, Incoming, Opened, Stat } from './backend.ts';
import { type Digest, impliedBlocks, isBlockIntact } from './digest.ts';
import type { FarStore } from './far-store.ts';
import { checkRange, checkSignal, openedBytes } from './verified-body.ts';

/** One body on its way from a store, read once, which any number of readers follow from byte 0 at any time. */
export interface Relay extends Incoming {
  /** False: its first bytes are gone, or it was cut, so nobody new may read it. */
  readonly joinable: boolean;
  /** A reader for whom the body goes on; without any it goes on only where little is still to come. */
  openForClient(options?: OpenOptions): Body;
  /** Nobody new will join; what is spooled goes with the last reader. */
  release(): void;
}

/** Begins to read a body that a store opened; its `sealed` rejects unless the bytes are those of its digest. */
export type StartRelay = (opened: Opened) => Relay;

/** How bodies are read once for many, for components. */
export const START_RELAY: ServiceKey<StartRelay> = { description: 'relays of stored bodies' };

/** Bodies up to this many bytes are copied near whole even when only a part of them is asked for. */
const SMALL_REFILL = 8 * 1024 * 1024;

/** What refills work with. */
export interface RefillOptions {
  readonly near: Backend;
  readonly far: FarStore;
  readonly startRelay: StartRelay;
  /** Told how each copy ended: absent: well; else with what it failed. */
  ended(error?: unknown): void;
}

/** Reads of the far store on the way to the near one: one for each body, however many ask for it. */
export class Refills {
  readonly #options: RefillOptions;
  readonly #running = new Map<Digest, Refill>();

  constructor(options: RefillOptions) {
    this.#options = options;
  }

  /**
   * The body from the far store, which is copied near meanwhile. A range of a large body is read by itself and not copied.
   * Absent: it is not there either. Throws as the far store does.
   */
  async open(digest: Digest, options: OpenOptions = {}): Promise<Opened | undefined> {
    const running = this.#running.get(digest);
    if (options.range !== undefined && !running?.isSmall) {
      const opened = await this.#options.far.open(digest, options);
      const isCopied = opened !== undefined && opened.size <= SMALL_REFILL;
      if (isCopied && !this.#running.has(digest)) this.#start(digest);
      return opened;
    }
    return await (running ?? this.#start(digest)).open(options);
  }

  /** Resolves when no copy of this body is under way that could still come near; its readers go on. */
  async stop(digest: Digest): Promise<void> {
    await this.#running.get(digest)?.stop();
  }

  /** Ends all of them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.values()].map(async (refill) => await refill.stop()));
  }

  #start(digest: Digest): Refill {
    const refill = new Refill(digest, this.#options);
    this.#running.set(digest, refill);
    void refill.done.then(() => {
      if (this.#running.get(digest) === refill) this.#running.delete(digest);
    });
    return refill;
  }
}

interface Source {
  readonly stat: Stat;
  /** The whole body, where it came at once. */
  readonly bytes?: Buffer | undefined;
  readonly relay?: Relay | undefined;
}

/** One body on its way near. */
class Refill {
  /** Resolves when the copy ended, well or not; and nothing of it is read any longer but by those who have it open. */
  readonly done: Promise<void>;
  readonly #digest: Digest;
  readonly #options: RefillOptions;
  readonly #source: Promise<Source | undefined>;
  readonly #stop = new AbortController();
  #size = Number.POSITIVE_INFINITY;

  constructor(digest: Digest, options: RefillOptions) {
    this.#digest = digest;
    this.#options = options;
    this.#source = this.#begin();
    this.done = this.#copy();
  }

  /** Whether it is known to be so small that a part of it comes soonest from here. */
  get isSmall(): boolean {
    return this.#size <= SMALL_REFILL;
  }

  async open(options: OpenOptions): Promise<Opened | undefined> {
    const source = await unlessGone(this.#source, options);
    if (source === undefined) return undefined;
    const { stat, bytes, relay } = source;
    const { range } = options;
    checkRange(range, stat.size);
    if (bytes !== undefined)
      return openedBytes(stat, range ? bytes.subarray(range.start, range.end + 1) : bytes);
    if (relay?.joinable !== true) return await this.#options.far.open(this.#digest, options);
    return { ...stat, body: relay.openForClient(options) };
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.done;
  }

  async #begin(): Promise<Source | undefined> {
    // Without anybody's signal: the others may still want it when the first one leaves.
    const opened = await this.#options.far.open(this.#digest);
    if (opened === undefined) return undefined;
    const { digest, size, modifiedAt, bytes } = opened;
    this.#size = size;
    const stat = { digest, size, modifiedAt };
    return bytes ? { stat, bytes } : { stat, relay: this.#options.startRelay(opened) };
  }

  async #copy(): Promise<void> {
    const source = await this.#source.catch(() => undefined);
    if (source === undefined) return;
    const { near, ended } = this.#options;
    const incoming = source.relay ?? incomingBytes(source);
    try {
      if (incoming === undefined) return;
      await near.put(incoming, { signal: this.#stop.signal });
      ended();
    } catch (error) {
      const isLeft = kindOf(error) === 'aborted' || this.#stop.signal.aborted;
      if (!isLeft) ended(error);
    } finally {
      source.relay?.release();
    }
  }
}

// Where blocks are sent unchecked the bytes may be any: those are not copied.
function incomingBytes({ stat, bytes }: Source): Incoming | undefined {
  const { digest, size } = stat;
  const blocks = impliedBlocks(digest, size);
  if (bytes === undefined || blocks === undefined) return undefined;
  if (size > 0 && !isBlockIntact(bytes, blocks, 0)) return undefined;
  const open = (): Body => openedBytes(stat, bytes).body;
  return { sealed: Promise.resolve({ digest, size, blocks }), expectedSize: size, bytes, open };
}

async function unlessGone<T>(promise: Promise<T>, { signal }: OpenOptions): Promise<T> {
  const op = 'tiered-refills.open';
  checkSignal(signal, op);
  if (signal === undefined) return await promise;
  const left = Promise.withResolvers<never>();
  const leave = (): void => {
    try {
      checkSignal(signal, op);
    } catch (error) {
      left.reject(error as Error);
    }
  };
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([promise, left.promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
