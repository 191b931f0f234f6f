import type { CallOptions, OpenOptions } from '../body.ts';
import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type {
  Backend,
  DeleteOptions,
  Health,
  Incoming,
  Opened,
  Recoverer,
  Sealed,
  Shared,
  Stat,
} from './backend.ts';
import { type Digest, digestOf } from './digest.ts';
import { bytesOfIncoming, sealedOf } from './incoming-bytes.ts';
import type { BlobRecord, NodeDatabase } from './node-database.ts';
import type { S3BackendOptions } from './s3-backend-options.ts';
import { S3BlockDigests } from './s3-block-digests.ts';
import { S3Connection } from './s3-connection.ts';
import { S3Keys } from './s3-keys.ts';
import { S3Objects } from './s3-objects.ts';
import { recoverS3 } from './s3-recovery.ts';
import { S3Source } from './s3-source.ts';
import { checkContent, copyObject, PART_SIZE, PieceReader, uploadParts } from './s3-upload.ts';
import { S3Uploads } from './s3-uploads.ts';
import { checkRange, checkSignal, openVerified } from './verified-body.ts';

/** One copy has to end within the idle limit, since some stores say nothing while they copy; S3 itself takes 5 GiB. */
const COPY_LIMIT = 512 * 1024 * 1024;
const HEALTH_LIMIT_MS = 900;

/** Bodies in a bucket of S3 or of a compatible store. */
export class S3Backend implements Backend, Recoverer, Shared {
  readonly name: string;
  readonly #options: S3BackendOptions;
  readonly #connection: S3Connection;
  readonly #objects: S3Objects;
  readonly #uploads: S3Uploads;
  readonly #keys: S3Keys;
  readonly #blocks: S3BlockDigests;
  readonly #database: NodeDatabase;
  #wellAt = Number.NEGATIVE_INFINITY;

  constructor(options: S3BackendOptions) {
    this.name = options.name;
    this.#options = options;
    this.#connection = new S3Connection(options, options.clock);
    this.#objects = new S3Objects(this.#connection);
    this.#uploads = new S3Uploads(this.#connection);
    this.#keys = new S3Keys(options.prefix ?? '', options.nodeId);
    this.#blocks = new S3BlockDigests(this.#objects, this.#keys);
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

  /** What this node put there, as far as it knows; a bucket may hold what other nodes' manifests name. */
  async *listOwn(options?: CallOptions): AsyncIterable<Stat> {
    yield* this.#database.blobs(this.name, undefined, options);
  }

  async delete(digest: Digest, options: DeleteOptions = {}): Promise<boolean> {
    checkSignal(options.signal, 's3-backend.delete');
    const found = await this.stat(digest, options);
    if (await options.unless?.()) return false;
    await this.#remove(digest, options);
    return found !== undefined;
  }

  /** Ends uploads and removes staging objects of processes of this node that are gone. */
  async recover(options: CallOptions = {}): Promise<number> {
    const { clock, metrics } = this.#options;
    const count = await recoverS3(this.#objects, this.#uploads, this.#keys, clock, options);
    if (count > 0) metrics.count('recovered_total', 'staging', count);
    return count;
  }

  async health(): Promise<Health> {
    const now = this.#options.clock.monotonic();
    const { problem, mayProbe } = this.#connection;
    if (!mayProbe || (problem === undefined && now - this.#wellAt < HEALTH_LIMIT_MS))
      return { problem };
    try {
      await this.#objects.check(this.#keys.bodies, HEALTH_LIMIT_MS);
      this.#wellAt = now;
      // A store may be readable and still refuse writes.
      return this.#connection.problem === undefined ? {} : { problem: this.#connection.problem };
    } catch (error) {
      return { problem: messageOf(error) };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.destroy();
  }

  async #putWhole(sealed: Sealed, bytes: Buffer, options: CallOptions): Promise<Stat> {
    const { digest } = sealed;
    await this.#blocks.put(sealed, options);
    const isOurs = await this.#objects.put(this.#keys.body(digest), bytes, true, options);
    this.#options.cache?.set(digest, bytes);
    return await this.#remember(sealed, !isOurs);
  }

  async #putParts(
    incoming: Incoming,
    [first, second]: [Buffer, Buffer],
    pieces: PieceReader,
    options: CallOptions,
  ): Promise<Stat> {
    const key = this.#keys.newStaging();
    const id = await this.#uploads.begin(key, options);
    let progress: 'sending' | 'completing' | 'complete' = 'sending';
    try {
      const uploaded = await uploadParts(
        this.#uploads,
        { key, id },
        [first, second],
        pieces,
        options,
      );
      const sealed = await sealedOf(incoming, 's3-backend.put', options);
      const { digest, size } = sealed;
      checkContent(sealed, uploaded.size, uploaded.digest);
      if ((await this.stat(digest, options))?.size === size)
        return await this.#remember(sealed, true);
      // A call that fails may still have been carried out.
      progress = 'completing';
      await this.#uploads.complete(key, id, uploaded.parts, options);
      progress = 'complete';
      await this.#blocks.put(sealed, options);
      const limit = this.#options.copyLimit ?? COPY_LIMIT;
      await copyObject(
        this.#objects,
        this.#uploads,
        { from: key, to: this.#keys.body(digest), size, limit },
        options,
      );
      return await this.#remember(sealed, false);
    } finally {
      // What cannot be removed now is removed by the next start.
      if (progress !== 'complete') await this.#uploads.abort(key, id).catch(() => undefined);
      if (progress !== 'sending') await this.#objects.deleteStaged(key).catch(() => undefined);
    }
  }

  async #remember({ digest, size, blocks }: Sealed, isForeign: boolean): Promise<Stat> {
    const modifiedAt = this.#options.clock.now();
    await this.#note({ digest, size, blocks, modifiedAt, isForeign });
    return { digest, size, modifiedAt };
  }

  /** Size and block digests of a body that this node has not seen yet. */
  async #learn(digest: Digest, options: CallOptions): Promise<BlobRecord | undefined> {
    const found = await this.stat(digest, options);
    if (found === undefined) return undefined;
    const known = await this.#blocks.get(found, options);
    const blocks = known ?? (await this.#blocks.learn(digest, options));
    if (blocks === undefined) {
      const message = 'other bytes than its digest says';
      await this.#discard(digest, new ProxyError('integrity', 's3-backend.open', message));
      return undefined;
    }
    const record = { ...found, blocks, isForeign: true };
    await this.#note(record);
    return record;
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
      const reason = messageOf(error);
      this.#options.log.debug({ digest: record.digest, reason }, 'blob could not be noted');
    }
  }
}
