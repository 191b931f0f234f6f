import { BLOCK_SIZE, type CallOptions, type OpenOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type {
  Backend,
  DeleteOptions,
  Evicting,
  Health,
  Incoming,
  Opened,
  Scrubbable,
  ScrubOptions,
  ScrubVerdict,
  Stat,
} from './backend.ts';
import { blockCount, type Digest, isBlockIntact } from './digest.ts';
import type { Pins } from './eviction.ts';
import { EvictionReaders } from './eviction-readers.ts';
import { Quota, type QuotaLimits } from './quota.ts';
import { withRoom } from './quota-room.ts';
import { scrubBody } from './scrub-body.ts';
import { Sieve, type SieveRecords } from './sieve.ts';
import { type BlockSource, checkSignal, openVerified } from './verified-body.ts';

/** How a memory backend is made. */
export interface MemoryBackendOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** False: bytes leave unchecked. Absent: true. */
  readonly verify?: boolean | undefined;
  /** How much it may hold. Absent: any amount, and nothing is evicted. */
  readonly limits?: QuotaLimits | undefined;
  /** Absent: nothing is pinned. */
  readonly pins?: Pins | undefined;
}

interface Kept extends Stat {
  readonly blocks: Buffer;
  /** Pieces of `BLOCK_SIZE`, the last one shorter. */
  readonly pieces: readonly Buffer[];
}

/** Bodies in this process's memory, gone with it. */
export class MemoryBackend implements Backend, Scrubbable, Evicting {
  readonly name: string;
  readonly #options: MemoryBackendOptions;
  readonly #kept = new Sieve<Kept>();
  readonly #readers = new EvictionReaders();
  readonly #quota: Quota | undefined;

  constructor(options: MemoryBackendOptions) {
    this.name = options.name;
    this.#options = options;
    const { limits } = options;
    this.#quota = limits && new Quota({ ...options, limits, records: this.#records() });
  }

  async stat(digest: Digest, { signal }: CallOptions = {}): Promise<Stat | undefined> {
    checkSignal(signal, 'memory-backend.stat');
    const kept = this.#kept.peek(digest);
    return kept && toStat(kept);
  }

  async open(digest: Digest, options: OpenOptions = {}): Promise<Opened | undefined> {
    checkSignal(options.signal, 'memory-backend.open');
    const kept = this.#kept.get(digest);
    if (kept === undefined) return undefined;
    const { verify = true } = this.#options;
    const damaged = async (error: unknown): Promise<void> => this.#discard(kept, error);
    const source = await this.#readers.watch(digest, async () => sourceOf(kept));
    return await openVerified({ ...kept, source, verify, damaged }, options);
  }

  async put(incoming: Incoming, options: CallOptions = {}): Promise<Stat> {
    const op = 'memory-backend.put';
    return await withRoom(this.#quota, incoming, { op, ...options }, async (sealed) => {
      const { digest, size, blocks } = sealed;
      const there = this.#kept.peek(digest);
      if (there !== undefined) return toStat(there);
      const pieces =
        incoming.bytes?.length === size ? cut(incoming.bytes) : await read(incoming, size, options);
      checkSignal(options.signal, op);
      const isWhole =
        pieces.length === blockCount(size) &&
        pieces.every((piece, index) => isBlockIntact(piece, blocks, index));
      if (!isWhole)
        throw new ProxyError('integrity', op, `${digest}: other bytes came than were sealed`);
      const kept = { digest, size, blocks, pieces, modifiedAt: this.#options.clock.now() };
      this.#kept.set(kept);
      return toStat(kept);
    });
  }

  async *list(after?: Digest, { signal }: CallOptions = {}): AsyncIterable<Stat> {
    for (const digest of this.#kept.digests().sort()) {
      checkSignal(signal, 'memory-backend.list');
      const kept = this.#kept.peek(digest);
      if (kept !== undefined && (after === undefined || digest > after)) yield toStat(kept);
    }
  }

  async delete(digest: Digest, { signal, unless }: DeleteOptions = {}): Promise<boolean> {
    checkSignal(signal, 'memory-backend.delete');
    if (await unless?.()) return false;
    return this.#kept.delete(digest);
  }

  async scrub(digest: Digest, options: ScrubOptions = {}): Promise<ScrubVerdict> {
    const kept = this.#kept.peek(digest);
    if (kept === undefined) return 'absent';
    try {
      await scrubBody(kept, sourceOf(kept), options);
      return 'whole';
    } catch (error) {
      if (kindOf(error) !== 'integrity') throw error;
      this.#discard(kept, error);
      return 'damaged';
    }
  }

  spare(isNeeded: (digest: Digest) => boolean): void {
    this.#readers.spare(isNeeded);
  }

  /** None: memory that went wrong has nothing to show. */
  async *quarantined(): AsyncIterable<Stat> {}

  async release(): Promise<boolean> {
    return false;
  }

  async health(): Promise<Health> {
    return {};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#quota?.[Symbol.asyncDispose]();
    this.#kept.clear();
  }

  #records(): SieveRecords {
    const kept = this.#kept;
    const mayGo = ({ digest, modifiedAt }: Stat): boolean =>
      kept.peek(digest)?.modifiedAt === modifiedAt &&
      !kept.isVisited(digest) &&
      !this.#readers.isRead(digest);
    return {
      totals: () => kept.totals,
      next: (limit) => kept.next(limit),
      isVisited: ({ digest }) => kept.isVisited(digest),
      isRead: (digest) => this.#readers.isRead(digest),
      passed: async (visited) => {
        for (const { digest } of visited) kept.unmark(digest);
      },
      remove: async (candidate) => mayGo(candidate) && kept.delete(candidate.digest),
    };
  }

  #discard(kept: Kept, error: unknown): void {
    const { digest } = kept;
    if (this.#kept.peek(digest) !== kept) return;
    this.#kept.delete(digest);
    this.#options.metrics.count('corrupt_blobs_total');
    this.#options.log.warn(
      { digest, backend: this.name, reason: messageOf(error) },
      'stored body is unusable and was removed',
    );
  }
}

function sourceOf({ pieces }: Kept): BlockSource {
  return {
    read: async (index: number): Promise<Buffer> => pieces[index] ?? Buffer.alloc(0),
    close: async () => {},
  };
}

function toStat({ digest, size, modifiedAt }: Kept): Stat {
  return { digest, size, modifiedAt };
}

// Copied: what came in may be a view of a buffer that is used again.
function cut(bytes: Buffer): Buffer[] {
  return Array.from({ length: blockCount(bytes.length) }, (_, index) =>
    Buffer.from(bytes.subarray(index * BLOCK_SIZE, (index + 1) * BLOCK_SIZE)),
  );
}

async function read(incoming: Incoming, size: number, options: CallOptions): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  let position = 0;
  for await (const chunk of incoming.open(options) as AsyncIterable<Buffer>) {
    for (let from = 0; from < chunk.length && position < size; ) {
      const offset = position % BLOCK_SIZE;
      if (offset === 0) pieces.push(Buffer.allocUnsafeSlow(Math.min(BLOCK_SIZE, size - position)));
      const copied = chunk.copy(pieces.at(-1) as Buffer, offset, from);
      from += copied;
      position += copied;
    }
  }
  if (position === size) return pieces;
  throw new ProxyError('integrity', 'memory-backend.put', `${position} bytes came of ${size}`);
}
