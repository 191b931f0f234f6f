import type { CallOptions, OpenOptions } from '../body.ts';
import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type {
  Backend,
  DeleteOptions,
  Evicting,
  Health,
  Incoming,
  Leftover,
  Opened,
  Recoverer,
  Scrubbable,
  ScrubOptions,
  ScrubVerdict,
  Shared,
  Stat,
} from './backend.ts';
import type { Digest } from './digest.ts';
import type { BlobRecord, NodeDatabase } from './node-database.ts';
import type { S3BackendOptions } from './s3-backend-options.ts';
import { S3BlockDigests } from './s3-block-digests.ts';
import { S3Connection } from './s3-connection.ts';
import { S3Health } from './s3-health.ts';
import { S3Keys } from './s3-keys.ts';
import { S3Notes } from './s3-notes.ts';
import { S3Objects } from './s3-objects.ts';
import { S3Publisher } from './s3-publisher.ts';
import { S3Quota } from './s3-quota.ts';
import { ReadAhead } from './s3-read-ahead.ts';
import { leftoversOfS3, recoverS3, type S3RecoveryOptions } from './s3-recovery.ts';
import { S3Source } from './s3-source.ts';
import { S3Upkeep } from './s3-upkeep.ts';
import { S3Uploads } from './s3-uploads.ts';
import { checkRange, checkSignal, openVerified } from './verified-body.ts';

/** Bodies in a bucket of S3 or of a compatible store. */
export class S3Backend implements Backend, Recoverer, Scrubbable, Shared, Evicting {
  readonly name: string;
  readonly #options: S3BackendOptions;
  readonly #connection: S3Connection;
  readonly #objects: S3Objects;
  readonly #uploads: S3Uploads;
  readonly #keys: S3Keys;
  readonly #blocks: S3BlockDigests;
  readonly #database: NodeDatabase;
  readonly #publisher: S3Publisher;
  readonly #health: S3Health;
  readonly #upkeep: S3Upkeep;
  readonly #ahead: ReadAhead;
  readonly #quota: S3Quota;
  #notes: S3Notes | undefined;

  constructor(options: S3BackendOptions) {
    this.name = options.name;
    this.#options = options;
    const { clock, metrics, database } = options;
    const connection = new S3Connection(options, clock, metrics);
    const objects = new S3Objects(connection);
    const uploads = new S3Uploads(connection);
    const keys = new S3Keys(options.prefix ?? '', options.nodeId);
    const blocks = new S3BlockDigests(objects, keys);
    this.#connection = connection;
    this.#objects = objects;
    this.#uploads = uploads;
    this.#keys = keys;
    this.#blocks = blocks;
    this.#database = database;
    this.#publisher = new S3Publisher({ objects, uploads, keys, blocks, backend: options });
    this.#health = new S3Health({ connection, objects, keys, clock });
    const { idleMs } = connection.limits;
    this.#upkeep = new S3Upkeep({ objects, keys, backend: options, idleMs });
    this.#ahead = new ReadAhead(options.readAhead);
    const remove = async (digest: Digest): Promise<void> => await this.#upkeep.evict(digest);
    this.#quota = new S3Quota({ backend: options, remove });
  }

  async stat(digest: Digest, options: CallOptions = {}): Promise<Stat | undefined> {
    checkSignal(options.signal, 's3-backend.stat');
    const found = await this.#objects.head(this.#keys.body(digest), options);
    return found && { digest, size: found.size, modifiedAt: found.modifiedAt };
  }

  async open(digest: Digest, options: OpenOptions = {}): Promise<Opened | undefined> {
    const { range, signal } = options;
    checkSignal(signal, 's3-backend.open');
    for (
      let leaving = this.#quota.leaving(digest);
      leaving !== undefined;
      leaving = this.#quota.leaving(digest)
    )
      await leaving;
    const record =
      this.#database.blob(this.name, digest) ?? (await this.#learn(digest, { signal }));
    if (record === undefined) return undefined;
    checkRange(range, record.size);
    const key = this.#keys.body(digest);
    const source = new S3Source(this.#objects, {
      key,
      size: record.size,
      start: range?.start ?? 0,
      end: range?.end ?? record.size - 1,
      ahead: this.#ahead,
      idleMs: this.#connection.limits.idleMs,
      signal,
    });
    const damaged = async (error: unknown): Promise<void> =>
      await this.#upkeep.discard(record, error);
    try {
      const verify = this.#options.verify ?? true;
      const watched = this.#quota.watched(digest, source);
      const opened = await openVerified({ ...record, source: watched, verify, damaged }, options);
      if (opened === undefined) return undefined;
      this.#database.used(this.name, digest);
      if (opened.bytes?.length === record.size) this.#options.cache?.set(digest, opened.bytes);
      return opened;
    } catch (error) {
      if (kindOf(error) !== 'not-found') throw error;
      await this.#upkeep.forget(digest);
      return undefined;
    }
  }

  async put(incoming: Incoming, options: CallOptions = {}): Promise<Stat> {
    checkSignal(options.signal, 's3-backend.put');
    return await this.#quota.put(
      incoming,
      options,
      async (body, roomy) => await this.#publisher.put(body, roomy),
    );
  }

  spare(isNeeded: (digest: Digest) => boolean): void {
    this.#quota.spare(isNeeded);
  }

  async *list(after?: Digest, options: CallOptions = {}): AsyncIterable<Stat> {
    const start = after === undefined ? undefined : this.#keys.body(after);
    let token: string | undefined;
    do {
      checkSignal(options.signal, 's3-backend.list');
      const page = await this.#objects.page(this.#keys.bodies, start, token, options);
      for (const { key, size, modifiedAt } of page.objects) {
        const digest = this.#keys.digestOf(key);
        if (digest !== undefined && digest !== after) yield { digest, size, modifiedAt };
      }
      token = page.next;
    } while (token !== undefined);
  }

  /** What this node put there, as far as it knows; a bucket may hold what other nodes' manifests name. */
  async *listOwn(options?: CallOptions): AsyncIterable<Stat> {
    yield* this.#database.blobs(this.name, undefined, options);
  }

  async delete(digest: Digest, options: DeleteOptions = {}): Promise<boolean> {
    checkSignal(options.signal, 's3-backend.delete');
    const found = await this.stat(digest, options);
    if (await options.unless?.()) return false;
    await this.#upkeep.remove(digest, options);
    return found !== undefined;
  }

  /**
   * Ends uploads and removes staging objects of processes of this node that are gone, and of other nodes' what stood
   * still for a day.
   */
  async recover(options: CallOptions = {}): Promise<number> {
    this.#quota.start();
    const count = await recoverS3(this.#recovery(), options);
    if (count > 0) this.#options.metrics.count('recovered_total', 'staging', count);
    return count;
  }

  async *leftovers(options: CallOptions = {}): AsyncIterable<Leftover> {
    const { uploads, objects } = await leftoversOfS3(this.#recovery(), options);
    for (const { key } of uploads) yield { name: key, size: 0 };
    for (const { key, size } of objects) yield { name: key, size };
  }

  async scrub(digest: Digest, options: ScrubOptions = {}): Promise<ScrubVerdict> {
    checkSignal(options.signal, 's3-backend.scrub');
    return await this.#upkeep.scrub(digest, options);
  }

  /** Copies of at most 512 MiB each; what is larger is removed at once. */
  async *quarantined(options: CallOptions = {}): AsyncIterable<Stat> {
    yield* this.#upkeep.quarantined(options);
  }

  async release(digest: Digest, options: CallOptions = {}): Promise<boolean> {
    return await this.#upkeep.release(digest, options);
  }

  async health(): Promise<Health> {
    return await this.#health.look();
  }

  /** Asked for by few: the connection is made then. */
  get notes(): S3Notes {
    this.#notes ??= new S3Notes(this.#options, this.#options.clock, this.#keys.notes);
    return this.#notes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#quota[Symbol.asyncDispose]();
    this.#notes?.[Symbol.dispose]();
    this.#connection.destroy();
  }

  #recovery(): S3RecoveryOptions {
    const now = (): number => this.#options.clock.now() + this.#connection.clockOffset;
    return { objects: this.#objects, uploads: this.#uploads, keys: this.#keys, now };
  }

  /** Size and block digests of a body that this node has not seen yet. */
  async #learn(digest: Digest, options: CallOptions): Promise<BlobRecord | undefined> {
    const found = await this.stat(digest, options);
    if (found === undefined) return undefined;
    const known = await this.#blocks.get(found, options);
    const blocks = known ?? (await this.#blocks.learn(digest, options));
    if (blocks === undefined) {
      const message = 'other bytes than its digest says';
      const error = new ProxyError('integrity', 's3-backend.open', message);
      await this.#upkeep.discard(found, error);
      return undefined;
    }
    const record = { ...found, blocks, isForeign: true };
    await this.#note(record);
    return record;
  }

  async #note(record: BlobRecord): Promise<void> {
    try {
      await this.#database.put(this.name, record);
    } catch (error) {
      // It only saves a call the next time.
      const reason = messageOf(error);
      this.#options.log.debug({ digest: record.digest, reason }, 'blob could not be noted');
    }
  }
}
