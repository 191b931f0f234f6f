import type { CallOptions } from '../body.ts';
import type { ServiceKey } from '../component.ts';
import { messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { isDamaged, openDatabase, type SqliteDatabase } from '../sqlite/open-database.ts';
import { workerEntry } from '../sqlite/worker-entry.ts';
import { WriterThread } from '../sqlite/writer-thread.ts';
import type { Stat } from './backend.ts';
import { type Digest, digestBytes, digestFromBytes, impliedBlocks } from './digest.ts';
import { BlobAges } from './node-database-ages.ts';
import {
  markDamaged,
  type NodeDatabaseOptions,
  prepareFile,
  replaceDamaged,
} from './node-database-file.ts';
import type { NodeWrite } from './node-database-schema.ts';
import { BlobUses } from './node-database-uses.ts';
import { checkSignal } from './verified-body.ts';

/** The node's local database, for components. */
export const NODE_DATABASE: ServiceKey<NodeDatabase> = { description: 'node-local database' };

/** What this node knows of one blob of one backend. */
export interface BlobRow extends Stat {
  /** 32 bytes for each block. */
  readonly blocks: Buffer;
  /** Where its body lies among the small bodies; 0: not there, the backend keeps it; -1: it does, and another node put it. */
  readonly place: number;
}

/** A blob as it is written. */
export interface BlobRecord {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly blocks: Buffer;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
  /** Absent: the backend keeps the body. */
  readonly body?: Buffer | undefined;
  /** True: another node put it there. Absent: this one did. */
  readonly isForeign?: boolean | undefined;
}

interface Row {
  readonly digest: Buffer;
  readonly size: number;
  readonly blocks: Buffer | null;
  readonly place: number;
  readonly modified_at: number;
}

/** Rows read at a time. */
const PAGE = 500;

/**
 * What only this node knows: which blobs its backends keep, and the small bodies themselves. Never replicated, may be lost
 * without harm. Reads are synchronous; writes go to a thread, are grouped, and are on disk when their promise resolves, but
 * those of backends that were relaxed.
 */
export class NodeDatabase implements AsyncDisposable {
  readonly path: string;
  /** Whether the file was made by this start: what backends keep elsewhere is then unknown to it. */
  readonly isNew: boolean;
  /** What eviction reads. */
  readonly ages: BlobAges;
  readonly #log: Logger;
  readonly #reader: SqliteDatabase;
  readonly #writer: WriterThread<NodeWrite, boolean>;
  readonly #find;
  readonly #body;
  readonly #page;
  readonly #uses: BlobUses;
  readonly #relaxed = new Set<string>();
  #isMarked = false;

  private constructor(options: NodeDatabaseOptions, isNew: boolean) {
    this.path = options.path;
    this.isNew = isNew;
    this.#log = options.log;
    this.#reader = openDatabase(options.path, { readOnly: true });
    const columns = 'SELECT digest, size, blocks, place, modified_at FROM blobs';
    this.#find = this.#reader.prepare<[string, Buffer], Row>(
      `${columns} WHERE backend = ? AND digest = ?`,
    );
    this.#page = this.#reader.prepare<[string, Buffer, number], Row>(
      `${columns} WHERE backend = ? AND digest > ? AND place >= 0 ORDER BY digest LIMIT ?`,
    );
    this.#body = this.#reader
      .prepare<[number], Buffer>('SELECT body FROM small_bodies WHERE id = ?')
      .pluck();
    this.#writer = new WriterThread<NodeWrite, boolean>({
      entry: workerEntry(new URL('./node-database-writer.ts', import.meta.url)),
      workerData: { path: options.path },
    });
    this.ages = new BlobAges(this.#reader, (read) => this.#read(read));
    this.#uses = new BlobUses(
      options.clock,
      async (backend, digests, at) => await this.#write({ op: 'used', backend, digests, at }),
    );
  }

  /**
   * Opens the file and brings its tables up to date. A file that is damaged or no database is put aside, logged,
   * and replaced by an empty one. Throws `unavailable` when the folder cannot be written.
   */
  static async open(options: NodeDatabaseOptions): Promise<NodeDatabase> {
    const { path } = options;
    try {
      return new NodeDatabase(options, prepareFile(options));
    } catch (error) {
      if (!isDamaged(error)) throw failed('open', path, error);
      return new NodeDatabase(options, replaceDamaged(options, messageOf(error)));
    }
  }

  /** From now on what is written for a backend may be lost with the power, though never with the process. */
  relax(backend: string): void {
    this.#relaxed.add(backend);
  }

  /** Absent: the backend has no such blob on this node. Throws `unavailable` when the file cannot be read. */
  blob(backend: string, digest: Digest): BlobRow | undefined {
    const row = this.#read(() => this.#find.get(backend, digestBytes(digest)));
    return row && toBlob(row);
  }

  /** The small body at a `place`, not checked. Absent: none there. */
  smallBody(place: number): Buffer | undefined {
    return this.#read(() => this.#body.get(place)) as Buffer | undefined;
  }

  /** Blobs that this node put into a backend, in order of digest, after `after`; read page by page. */
  async *blobs(
    backend: string,
    after?: Digest,
    { signal }: CallOptions = {},
  ): AsyncGenerator<Stat> {
    let last = after === undefined ? Buffer.alloc(0) : digestBytes(after);
    for (;;) {
      checkSignal(signal, 'node-database.blobs');
      const from = last;
      const page = this.#read(() => this.#page.all(backend, from, PAGE)) ?? [];
      for (const row of page) {
        const { digest, size, modifiedAt } = toBlob(row);
        yield { digest, size, modifiedAt };
        last = row.digest;
      }
      if (page.length < PAGE) return;
    }
  }

  /** Resolves when row and body are on disk (of a relaxed backend: with the system). Throws `unavailable` when they cannot be written. */
  async put(backend: string, record: BlobRecord): Promise<void> {
    const { digest, size, modifiedAt } = record;
    const isImplied = impliedBlocks(digest, size) !== undefined;
    await this.#write({
      op: 'put',
      backend,
      digest,
      size,
      blocks: isImplied ? null : trimmed(record.blocks),
      body: record.body === undefined ? null : trimmed(record.body),
      isForeign: record.isForeign === true,
      modifiedAt,
    });
  }

  /** False: there was no such row, or it is no longer the one of `ifModifiedAt`. */
  async drop(backend: string, digest: Digest, ifModifiedAt?: number): Promise<boolean> {
    return await this.#write({ op: 'drop', backend, digest, ifModifiedAt });
  }

  /** Drops a blob that eviction looked at. False: it was put again since, or a use of it was written. */
  async evict(backend: string, { digest, modifiedAt }: Stat): Promise<boolean> {
    return await this.#write({
      op: 'drop',
      backend,
      digest,
      ifModifiedAt: modifiedAt,
      ifUnused: true,
    });
  }

  /** Notes that a blob was read; written now and then, never waited for, lost with the process. */
  used(backend: string, digest: Digest): void {
    this.#uses.add(backend, digest);
  }

  /** Whether a read was noted that is not yet written. */
  isUsed(backend: string, digest: Digest): boolean {
    return this.#uses.has(backend, digest);
  }

  /**
   * Notes that eviction went by blobs that had been read, and how far it came. Throws `unavailable` when that cannot be written.
   * Reads that were noted before are written first.
   */
  async passed(backend: string, digests: readonly Digest[], hand: Stat): Promise<void> {
    if (digests.some((digest) => this.#uses.has(backend, digest))) await this.#uses.flush();
    const { digest, modifiedAt } = hand;
    await this.#write({ op: 'passed', backend, digests, modifiedAt, digest });
  }

  /** Writes what is under way, then closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#uses.flush();
    await this.#writer[Symbol.asyncDispose]();
    this.#reader.close();
  }

  async #write(write: NodeWrite): Promise<boolean> {
    try {
      // Uses, and where the hand is, are hints.
      const isHint = write.op === 'used' || write.op === 'passed';
      const isRelaxed = isHint || this.#relaxed.has(write.backend);
      return await this.#writer.request({ ...write, isRelaxed });
    } catch (error) {
      this.#mark(error);
      throw failed('write', this.path, error);
    } finally {
      this.ages.written(write.backend);
    }
  }

  #read<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.#mark(error);
      // What a damaged file cannot say is a miss; anything else may be right again in a moment.
      if (isDamaged(error)) return undefined;
      throw failed('read', this.path, error);
    }
  }

  #mark(error: unknown): void {
    if (this.#isMarked || !isDamaged(error)) return;
    this.#isMarked = true;
    this.#log.error(
      { path: this.path, reason: messageOf(error) },
      'node database is damaged; the next start replaces it',
    );
    markDamaged(this.path);
  }
}

function toBlob(row: Row): BlobRow {
  const digest = digestFromBytes(row.digest);
  const blocks = row.blocks ?? impliedBlocks(digest, row.size) ?? Buffer.alloc(0);
  return { digest, size: row.size, blocks, place: row.place, modifiedAt: row.modified_at };
}

// A view of a larger buffer would travel to the thread with all of that buffer.
function trimmed(bytes: Buffer): Uint8Array {
  return bytes.buffer.byteLength === bytes.length ? bytes : new Uint8Array(bytes);
}

function failed(verb: string, path: string, cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause;
  return new ProxyError('unavailable', `node-database.${verb}`, `${path}: ${messageOf(cause)}`, {
    cause,
  });
}
