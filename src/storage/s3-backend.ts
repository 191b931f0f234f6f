import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import type { CallOptions, OpenOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { isProcessAlive } from '../process-identity.ts';
import type { Backend, Health, Incoming, Opened, Recoverer, Sealed, Stat } from './backend.ts';
import type { BodyCache } from './body-cache.ts';
import {
  blockCount,
  blocksOfStream,
  DIGEST_BYTES,
  type Digest,
  digestBytes,
  digestOf,
  impliedBlocks,
} from './digest.ts';
import { bytesOfIncoming, sealedOf } from './incoming-bytes.ts';
import type { BlobRecord, NodeDatabase } from './node-database.ts';
import type { S3ClientOptions } from './s3-client.ts';
import { S3Keys } from './s3-keys.ts';
import { S3Objects } from './s3-objects.ts';
import { S3Source } from './s3-source.ts';
import { copyObject, PART_SIZE, PieceReader, uploadParts } from './s3-upload.ts';
import { checkRange, checkSignal, openVerified } from './verified-body.ts';

/** How an S3 backend is made. */
export interface S3BackendOptions extends S3ClientOptions {
  readonly name: string;
  /** What all keys begin with. Absent: nothing. */
  readonly prefix?: string | undefined;
  /** This node's own name: its uploads are told from those of others by it. */
  readonly nodeId: string;
  /** Remembers sizes and block digests, so that a read is one call. */
  readonly database: NodeDatabase;
  /** Gets small bodies as they are written and read. Absent: nothing is kept in memory. */
  readonly cache?: BodyCache | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** False: bytes leave unchecked. Absent: true. */
  readonly verify?: boolean | undefined;
  /** Bytes that one copy on the server may have, at least 5 MiB. Absent: 512 MiB. */
  readonly copyLimit?: number | undefined;
}

/** One copy has to end within the idle limit, since some stores say nothing while they copy; S3 itself takes 5 GiB. */
const COPY_LIMIT = 512 * 1024 * 1024;
const HEALTH_LIMIT_MS = 900;
/** An upload straight to a body's key does not tell whose it is: only one older than any fill is ended. */
const MAX_UPLOAD_MS = 24 * 3_600_000;

/** Bodies in a bucket of S3 or of a compatible store. */
export class S3Backend implements Backend, Recoverer {
  readonly name: string;
  readonly #options: S3BackendOptions;
  readonly #objects: S3Objects;
  readonly #keys: S3Keys;
  readonly #database: NodeDatabase;
  #wellAt = Number.NEGATIVE_INFINITY;

  constructor(options: S3BackendOptions) {
    this.name = options.name;
    this.#options = options;
    this.#objects = new S3Objects(options, options.clock);
    this.#keys = new S3Keys(options.prefix ?? '', options.nodeId);
    this.#database = options.database;
  }

  async stat(digest: Digest, options: CallOptions = {}): Promise<Stat | undefined> {
    checkSignal(options.signal, 's3-backend.stat');
    const found = await this.#objects.head(this.#keys.body(digest), options);
    return found && { digest, size: found.size, modifiedAt: found.modifiedAt };
  }

  async open(digest: Digest, options: OpenOptions = {}): Promise<Opened | undefined> {
    const { range, signal } = options;
    checkSignal(signal, 's3-backend.open');
    const record =
      this.#database.blob(this.name, digest) ?? (await this.#learn(digest, { signal }));
    if (record === undefined) return undefined;
    checkRange(range, record.size);
    const key = this.#keys.body(digest);
    const source = new S3Source(this.#objects, {
      key,
      size: record.size,
      end: range?.end ?? record.size - 1,
      signal,
    });
    const damaged = async (error: unknown): Promise<void> => await this.#discard(digest, error);
    try {
      const verify = this.#options.verify ?? true;
      const opened = await openVerified({ ...record, source, verify, damaged }, options);
      if (opened?.bytes?.length === record.size) this.#options.cache?.set(digest, opened.bytes);
      return opened;
    } catch (error) {
      if (kindOf(error) !== 'not-found') throw error;
      this.#options.metrics.count('missing_blobs_total');
      this.#options.log.warn({ digest }, 'stored body is gone from the bucket');
      await this.#forget(digest);
      return undefined;
    }
  }

  async put(incoming: Incoming, options: CallOptions = {}): Promise<Stat> {
    checkSignal(options.signal, 's3-backend.put');
    const { expectedSize } = incoming;
    if (expectedSize !== undefined && expectedSize <= PART_SIZE) {
      const sealed = await sealedOf(incoming, 's3-backend.put', options);
      return await this.#putWhole(
        sealed,
        await bytesOfIncoming(incoming, sealed, options),
        options,
      );
    }
    const body = incoming.open(options);
    try {
      const pieces = new PieceReader(body as AsyncIterable<Buffer>);
      const first = await pieces.next(PART_SIZE);
      const second = first.length < PART_SIZE ? Buffer.alloc(0) : await pieces.next(PART_SIZE);
      if (second.length > 0)
        return await this.#putParts(incoming, [first, second], pieces, options);
      const sealed = await sealedOf(incoming, 's3-backend.put', options);
      checkContent(sealed, first.length, digestOf(first));
      return await this.#putWhole(sealed, first, options);
    } catch (error) {
      throw kindOf(error) === 'aborted' && !(error instanceof ProxyError)
        ? new ProxyError('aborted', 's3-backend.put', 'the caller gave up', { cause: error })
        : error;
    } finally {
      body.destroy();
    }
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

  async delete(digest: Digest, options: CallOptions = {}): Promise<boolean> {
    checkSignal(options.signal, 's3-backend.delete');
    const found = await this.stat(digest, options);
    await this.#remove(digest, options);
    return found !== undefined;
  }

  /** Ends uploads and removes staging objects of processes of this node that are gone. */
  async recover(options: CallOptions = {}): Promise<number> {
    const isDead = (key: string): boolean => !isProcessAlive(this.#keys.ownerOf(key));
    let count = 0;
    for (const { key, id } of await this.#objects.uploads(this.#keys.staging, options)) {
      if (!isDead(key)) continue;
      await this.#objects.abortUpload(key, id);
      count++;
    }
    const oldest = this.#options.clock.now() - MAX_UPLOAD_MS;
    for (const { key, id, initiatedAt } of await this.#objects.uploads(
      this.#keys.bodies,
      options,
    )) {
      if (initiatedAt >= oldest) continue;
      await this.#objects.abortUpload(key, id);
      count++;
    }
    let token: string | undefined;
    do {
      const page = await this.#objects.page(this.#keys.staging, undefined, token, options);
      for (const { key } of page.objects) {
        if (!isDead(key)) continue;
        await this.#objects.delete(key, options);
        count++;
      }
      token = page.next;
    } while (token !== undefined);
    if (count > 0) this.#options.metrics.count('recovered_total', 'staging', count);
    return count;
  }

  async health(): Promise<Health> {
    const now = this.#options.clock.monotonic();
    const { problem, mayProbe } = this.#objects;
    if (!mayProbe || (problem === undefined && now - this.#wellAt < HEALTH_LIMIT_MS))
      return { problem };
    try {
      await this.#objects.check(this.#keys.bodies, HEALTH_LIMIT_MS);
      this.#wellAt = now;
      // A store may be readable and still refuse writes.
      return this.#objects.problem === undefined ? {} : { problem: this.#objects.problem };
    } catch (error) {
      return { problem: messageOf(error) };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#objects.destroy();
  }

  async #putWhole(sealed: Sealed, bytes: Buffer, options: CallOptions): Promise<Stat> {
    const { digest } = sealed;
    await this.#putBlocks(sealed, options);
    await this.#objects.put(this.#keys.body(digest), bytes, true, options);
    this.#options.cache?.set(digest, bytes);
    return await this.#remember(sealed);
  }

  async #putParts(
    incoming: Incoming,
    [first, second]: [Buffer, Buffer],
    pieces: PieceReader,
    options: CallOptions,
  ): Promise<Stat> {
    const key = this.#keys.newStaging();
    const id = await this.#objects.beginUpload(key, options);
    let progress: 'sending' | 'completing' | 'complete' = 'sending';
    try {
      const uploaded = await uploadParts(
        this.#objects,
        { key, id },
        [first, second],
        pieces,
        options,
      );
      const sealed = await sealedOf(incoming, 's3-backend.put', options);
      const { digest, size } = sealed;
      checkContent(sealed, uploaded.size, uploaded.digest);
      if ((await this.stat(digest, options))?.size === size) return await this.#remember(sealed);
      // A call that fails may still have been carried out.
      progress = 'completing';
      await this.#objects.completeUpload(key, id, uploaded.parts, options);
      progress = 'complete';
      await this.#putBlocks(sealed, options);
      const limit = this.#options.copyLimit ?? COPY_LIMIT;
      await copyObject(
        this.#objects,
        { from: key, to: this.#keys.body(digest), size, limit },
        options,
      );
      return await this.#remember(sealed);
    } finally {
      // What cannot be removed now is removed by the next start.
      if (progress !== 'complete') await this.#objects.abortUpload(key, id).catch(() => undefined);
      if (progress !== 'sending') await this.#objects.deleteStaged(key).catch(() => undefined);
    }
  }

  /** Beside the body and before it, so that any node can check a range. */
  async #putBlocks({ digest, size, blocks }: Sealed, options: CallOptions): Promise<void> {
    if (impliedBlocks(digest, size) !== undefined) return;
    await this.#objects.put(
      this.#keys.blocks(digest),
      Buffer.concat([blocks, bindingOf(digest, blocks)]),
      false,
      options,
    );
  }

  async #remember({ digest, size, blocks }: Sealed): Promise<Stat> {
    const modifiedAt = this.#options.clock.now();
    await this.#note({ digest, size, blocks, modifiedAt });
    return { digest, size, modifiedAt };
  }

  /** Size and block digests of a body that this node has not seen yet. */
  async #learn(digest: Digest, options: CallOptions): Promise<BlobRecord | undefined> {
    const found = await this.stat(digest, options);
    if (found === undefined) return undefined;
    const blocks = impliedBlocks(digest, found.size) ?? (await this.#fetchBlocks(found, options));
    const record = blocks ? { ...found, blocks } : await this.#readThrough(found, options);
    if (record !== undefined) await this.#note(record);
    return record;
  }

  async #fetchBlocks({ digest, size }: Stat, options: CallOptions): Promise<Buffer | undefined> {
    try {
      const kept = await buffer(
        await this.#objects.get(this.#keys.blocks(digest), undefined, undefined, options),
      );
      const blocks = kept.subarray(0, blockCount(size) * DIGEST_BYTES);
      return kept.equals(Buffer.concat([blocks, bindingOf(digest, blocks)])) ? blocks : undefined;
    } catch (error) {
      if (kindOf(error) === 'aborted') throw error;
      return undefined;
    }
  }

  /** Nothing tells its blocks: the body is read once to its end and judged by its digest. */
  async #readThrough(stat: Stat, options: CallOptions): Promise<BlobRecord | undefined> {
    const key = this.#keys.body(stat.digest);
    const found = await blocksOfStream(await this.#objects.get(key, undefined, undefined, options));
    if (found.digest !== stat.digest) {
      await this.#discard(
        stat.digest,
        new ProxyError('integrity', 's3-backend.open', 'other bytes than its digest says'),
      );
      return undefined;
    }
    await this.#putBlocks(found, options).catch(() => undefined);
    return { ...found, modifiedAt: stat.modifiedAt };
  }

  async #discard(digest: Digest, error: unknown): Promise<void> {
    this.#options.metrics.count('corrupt_blobs_total');
    this.#options.log.warn(
      { digest, reason: messageOf(error) },
      'stored body is unusable and was removed',
    );
    try {
      await this.#remove(digest, {});
    } catch (cause) {
      this.#options.log.error(
        { digest, reason: messageOf(cause) },
        'unusable body could not be removed',
      );
    }
  }

  async #remove(digest: Digest, options: CallOptions): Promise<void> {
    await this.#forget(digest);
    await this.#objects.delete(this.#keys.body(digest), options);
    await this.#objects.delete(this.#keys.blocks(digest), options);
  }

  async #forget(digest: Digest): Promise<void> {
    this.#options.cache?.delete(digest);
    await this.#database.drop(this.name, digest).catch(() => false);
  }

  async #note(record: BlobRecord): Promise<void> {
    try {
      await this.#database.put(this.name, record);
    } catch (error) {
      // It only saves a call the next time.
      this.#options.log.debug(
        { digest: record.digest, reason: messageOf(error) },
        'blob could not be noted',
      );
    }
  }
}

/** Ties a list of block digests to its body: one that was changed or belongs to another body is not believed. */
function bindingOf(digest: Digest, blocks: Buffer): Buffer {
  return createHash('sha256').update(digestBytes(digest)).update(blocks).digest();
}

function checkContent(sealed: Sealed, size: number, digest: string): void {
  if (size === sealed.size && digest === sealed.digest) return;
  throw new ProxyError(
    'integrity',
    's3-backend.put',
    `${sealed.digest}: other bytes came than were sealed`,
  );
}
