import type { CallOptions } from '../body.ts';
import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Incoming, Sealed, Stat } from './backend.ts';
import { digestOf } from './digest.ts';
import { bytesOfIncoming, sealedOf } from './incoming-bytes.ts';
import { KeyedLock } from './keyed-lock.ts';
import type { RoomyOptions } from './quota-room.ts';
import type { S3BackendOptions } from './s3-backend-options.ts';
import type { S3BlockDigests } from './s3-block-digests.ts';
import { isRefusal } from './s3-errors.ts';
import type { S3Keys } from './s3-keys.ts';
import type { S3Objects } from './s3-objects.ts';
import { checkContent, copyObject, PART_SIZE, PieceReader, uploadParts } from './s3-upload.ts';
import type { S3Part, S3Uploads } from './s3-uploads.ts';
import { checkSignal } from './verified-body.ts';

/** One copy takes the store seconds, so that it says something within its limit. */
const COPY_LIMIT = 512 * 1024 * 1024;
/** Leftovers that are remembered until the store works again. */
const MAX_OWED = 1000;

/** What bodies are published with. */
export interface S3PublisherOptions {
  readonly objects: S3Objects;
  readonly uploads: S3Uploads;
  readonly keys: S3Keys;
  readonly blocks: S3BlockDigests;
  readonly backend: S3BackendOptions;
}

/**
 * Makes bodies visible under their digest, all or nothing. What is about to be published is noted in the node's database before
 * the store learns of it, so that a crash leaves nothing that this node does not know of.
 */
export class S3Publisher {
  readonly #options: S3PublisherOptions;
  /** Held while a body is published: who comes second would take what the first one puts for another node's. */
  readonly #lock = new KeyedLock();
  readonly #owed: (() => Promise<void>)[] = [];

  constructor(options: S3PublisherOptions) {
    this.#options = options;
  }

  /** As `Saver.put`. */
  async put(incoming: Incoming, options: RoomyOptions): Promise<Stat> {
    const stat = await this.#put(incoming, options);
    // The store works: what could not be removed while it did not goes now.
    for (const work of this.#owed.splice(0)) void this.#tidy(work);
    return stat;
  }

  async #put(incoming: Incoming, options: RoomyOptions): Promise<Stat> {
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

  async #putWhole(sealed: Sealed, bytes: Buffer, options: RoomyOptions): Promise<Stat> {
    const { objects, keys, blocks, backend } = this.#options;
    const { digest, size } = sealed;
    const body = keys.body(digest);
    const stat = await this.#publish(sealed, 0, options, async (isKnown) => {
      await blocks.put(sealed, options);
      // A store that has it answers before it has read it, and a connection that breaks then takes the answer along.
      if (isKnown && (await objects.head(body, options))?.size === size) return false;
      return await objects.put(body, bytes, true, options);
    });
    backend.cache?.set(digest, bytes);
    return stat;
  }

  async #putParts(
    incoming: Incoming,
    [first, second]: [Buffer, Buffer],
    pieces: PieceReader,
    options: RoomyOptions,
  ): Promise<Stat> {
    const { objects, uploads, keys, blocks, backend } = this.#options;
    const key = keys.newStaging();
    const id = await uploads.begin(key, options);
    let progress: 'sending' | 'completing' | 'complete' = 'sending';
    try {
      const to = { key, id };
      const uploaded = await uploadParts(uploads, to, [first, second], pieces, options);
      const sealed = await sealedOf(incoming, 's3-backend.put', options);
      const { digest, size } = sealed;
      checkContent(sealed, uploaded.size, uploaded.digest);
      const body = keys.body(digest);
      if ((await objects.head(body, options))?.size === size)
        return await this.#note(sealed, true, backend.clock.now());
      // A call that fails may still have been carried out.
      progress = 'completing';
      await this.#complete({ key, id, parts: uploaded.parts, size }, options);
      progress = 'complete';
      return await this.#publish(sealed, size, options, async (isKnown) => {
        if (isKnown && (await objects.head(body, options))?.size === size) return false;
        await blocks.put(sealed, options);
        const limit = backend.copyLimit ?? COPY_LIMIT;
        const mark = keys.newCopyMark(digest);
        await copyObject(objects, uploads, { from: key, to: body, size, limit, mark }, options);
        return true;
      });
    } finally {
      if (progress !== 'complete') await this.#tidy(async () => await uploads.abort(key, id));
      if (progress !== 'sending') await this.#tidy(async () => await objects.deleteStaged(key));
    }
  }

  // What cannot be removed before this process ends is removed by the janitor.
  async #tidy(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch {
      if (this.#owed.length < MAX_OWED) this.#owed.push(work);
    }
  }

  async #complete(
    upload: { key: string; id: string; parts: readonly S3Part[]; size: number },
    options: CallOptions,
  ): Promise<void> {
    const { objects, uploads } = this.#options;
    const { key, id, parts, size } = upload;
    try {
      await uploads.complete(key, id, parts, options);
    } catch (error) {
      // A try that went unanswered may have been carried out, and then there is no such upload for the next.
      const isDone =
        kindOf(error) === 'not-found' && (await objects.head(key, options))?.size === size;
      if (!isDone) throw error;
    }
  }

  /**
   * `send` is told whether there was a row and gives whether the body is this node's; false: it was there. `staged` bytes of it lie
   * there besides until it is done.
   */
  async #publish(
    sealed: Sealed,
    staged: number,
    options: RoomyOptions,
    send: (isKnown: boolean) => Promise<boolean>,
  ): Promise<Stat> {
    return await this.#lock.run(sealed.digest, async () => {
      checkSignal(options.signal, 's3-backend.put');
      return await this.#publishAlone(sealed, staged, options, send);
    });
  }

  async #publishAlone(
    sealed: Sealed,
    staged: number,
    { room, signal }: RoomyOptions,
    send: (isKnown: boolean) => Promise<boolean>,
  ): Promise<Stat> {
    const { database, clock, name } = this.#options.backend;
    const { digest, size } = sealed;
    if (staged > 0) await room?.resize(staged + size, { signal, body: size });
    const before = database.blob(name, digest);
    const isNew = before === undefined || before.place < 0;
    const modifiedAt = clock.now();
    await this.#note(sealed, false, modifiedAt);
    // From now on its row counts.
    if (staged > 0) await room?.resize(staged, { signal });
    else room?.release();
    let isOurs = true;
    try {
      isOurs = await send(before !== undefined);
    } catch (error) {
      // Refused or not even asked: it was not published, and what another node may publish is not this one's.
      const isSure = isRefusal(error) || (error instanceof ProxyError && error.retryAfter === 1);
      if (isNew && isSure) await database.drop(name, digest, modifiedAt).catch(() => false);
      throw error;
    }
    if (isOurs || !isNew) return { digest, size, modifiedAt };
    await database.drop(name, digest, modifiedAt).catch(() => false);
    return await this.#note(sealed, true, modifiedAt);
  }

  async #note(sealed: Sealed, isForeign: boolean, modifiedAt: number): Promise<Stat> {
    const { database, name, log } = this.#options.backend;
    const { digest, size, blocks } = sealed;
    try {
      await database.put(name, { digest, size, blocks, modifiedAt, isForeign });
    } catch (error) {
      // Without it a read asks once more, and a crash in this very moment leaves a body that nobody looks for.
      const reason = messageOf(error);
      log.debug({ digest, reason }, 'blob could not be noted');
    }
    return { digest, size, modifiedAt };
  }
}
