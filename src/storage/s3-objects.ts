import type { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import type { ByteRange, CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { kindOf, ProxyError } from '../errors.ts';
import { createS3Client, isRefusal, type S3ClientOptions, s3Error, statusOf } from './s3-client.ts';
import { StoreGate } from './store-gate.ts';

/** What is known of an object. */
export interface S3Object {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
}

/** An upload in parts that was begun and neither completed nor aborted. */
export interface S3Upload {
  readonly key: string;
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly initiatedAt: number;
}

/** A part that arrived, as completing wants it. */
export type S3Part = CompletedPart;

/** One page of a listing. */
export interface S3Page {
  readonly objects: readonly S3Object[];
  /** Of the next page. Absent: this was the last. */
  readonly next?: string | undefined;
}

/**
 * The calls that caje makes to a bucket, with errors in caje's words. While the store fails they are refused
 * at once but for one a second; one that only refuses writes (full, not allowed) is still read.
 */
export class S3Objects {
  readonly #options: S3ClientOptions;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #gate: StoreGate;
  readonly #writes: StoreGate;

  constructor(options: S3ClientOptions, clock: Clock) {
    this.#options = options;
    this.#client = createS3Client(options);
    this.#bucket = options.bucket;
    this.#gate = new StoreGate(clock);
    this.#writes = new StoreGate(clock);
  }

  /** What the store failed with last. Absent: it works, as far as known. */
  get problem(): string | undefined {
    return this.#gate.problem ?? this.#writes.problem;
  }

  /** Whether `check` would ask the store now. */
  get mayProbe(): boolean {
    return this.#gate.mayProbe;
  }

  /** Asks the store for the least it can say. Throws `unavailable` when it does not answer within `limitMs`. */
  async check(prefix: string, limitMs: number): Promise<void> {
    try {
      await this.page(prefix, undefined, undefined, { signal: AbortSignal.timeout(limitMs) }, 1);
    } catch (error) {
      if (kindOf(error) !== 'aborted') throw error;
      const where = this.#options.endpoint ?? `AWS ${this.#options.region}`;
      const silent = new ProxyError(
        'unavailable',
        's3-objects.check',
        `S3 at ${where} does not answer`,
      );
      this.#gate.fail(silent);
      throw silent;
    }
  }

  /** Absent: no such object. */
  async head(key: string, options: CallOptions): Promise<S3Object | undefined> {
    const send = (o: object) =>
      this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key }), o);
    const found = await absent(this.#read('head', send, options));
    return (
      found && {
        key,
        size: found.ContentLength ?? 0,
        modifiedAt: found.LastModified?.getTime() ?? 0,
      }
    );
  }

  /** A stream of an object, or of a range of it. Throws `not-found`, and `integrity` where the store answers with another range or size. */
  async get(
    key: string,
    range: ByteRange | undefined,
    size: number | undefined,
    options: CallOptions,
  ): Promise<Readable> {
    const Range = range && `bytes=${range.start}-${range.end}`;
    const command = new GetObjectCommand({ Bucket: this.#bucket, Key: key, Range });
    const found = await this.#read('get', (o) => this.#client.send(command, o), options);
    const body = found.Body as Readable;
    const expected = range && `bytes ${range.start}-${range.end}/${size}`;
    if (expected === undefined || found.ContentRange === expected) return body;
    body.destroy();
    const got = found.ContentRange ?? 'the whole object';
    throw new ProxyError('integrity', 's3-objects.get', `${key}: got ${got} for ${expected}`);
  }

  /** Writes an object. With `ifAbsent` one that is there already stays, which is no failure. */
  async put(
    key: string,
    bytes: Uint8Array,
    ifAbsent: boolean,
    options: CallOptions,
  ): Promise<void> {
    const input = { Bucket: this.#bucket, Key: key, Body: bytes, ContentLength: bytes.length };
    const send = (condition: object) =>
      this.#write(
        'put',
        (o) => this.#client.send(new PutObjectCommand({ ...input, ...condition }), o),
        options,
      );
    try {
      await send(ifAbsent ? { IfNoneMatch: '*' } : {});
    } catch (error) {
      const status = statusOf(error);
      if (ifAbsent && status === 412) return;
      // 501: the store does not know the condition; 409: another put of the same bytes was under way.
      if (!ifAbsent || (status !== 501 && status !== 409)) throw error;
      await send({});
    }
  }

  /** Also when there is no such object. */
  async delete(key: string, options: CallOptions = {}): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#bucket, Key: key });
    await absent(this.#read('delete', (o) => this.#client.send(command, o), options));
  }

  /** Objects whose key begins with `prefix`, in order, after `after` or where the page before ended. */
  async page(
    prefix: string,
    after: string | undefined,
    token: string | undefined,
    options: CallOptions,
    limit = 1000,
  ): Promise<S3Page> {
    const command = new ListObjectsV2Command({
      Bucket: this.#bucket,
      Prefix: prefix,
      MaxKeys: limit,
      ...(token === undefined ? { StartAfter: after } : { ContinuationToken: token }),
    });
    const found = await this.#read('list', (o) => this.#client.send(command, o), options);
    const objects = (found.Contents ?? []).map(({ Key = '', Size = 0, LastModified }) => ({
      key: Key,
      size: Size,
      modifiedAt: LastModified?.getTime() ?? 0,
    }));
    return { objects, next: found.IsTruncated === true ? found.NextContinuationToken : undefined };
  }

  /** A server-side copy within the bucket, in one call. */
  async copy(from: string, to: string, options: CallOptions): Promise<void> {
    const command = new CopyObjectCommand({
      Bucket: this.#bucket,
      Key: to,
      CopySource: this.#source(from),
    });
    await this.#write('copy', (o) => this.#client.send(command, o), options);
  }

  /** `isCopy`: its parts come from another object; otherwise they carry checksums where the store knows them. */
  async beginUpload(key: string, options: CallOptions, isCopy = false): Promise<string> {
    const hasChecksums = !isCopy && this.#options.checksums !== 'required';
    const command = new CreateMultipartUploadCommand({
      Bucket: this.#bucket,
      Key: key,
      // The SDK sends this one with each part; an upload that did not announce it is refused by some stores.
      ...(hasChecksums && { ChecksumAlgorithm: 'CRC32' }),
    });
    const { UploadId } = await this.#write('begin', (o) => this.#client.send(command, o), options);
    if (UploadId !== undefined) return UploadId;
    throw new ProxyError(
      'unavailable',
      's3-objects.begin',
      'the store began an upload without an id',
    );
  }

  /** Parts are numbered from 1. */
  async uploadPart(
    key: string,
    id: string,
    number: number,
    bytes: Uint8Array,
    options: CallOptions,
  ): Promise<S3Part> {
    const command = new UploadPartCommand({
      ...this.#upload(key, id),
      PartNumber: number,
      Body: bytes,
      ContentLength: bytes.length,
    });
    const send = (o: object) => this.#client.send(command, o);
    const { ETag, ChecksumCRC32 } = await this.#write('part', send, options);
    return { PartNumber: number, ETag, ChecksumCRC32 };
  }

  /** A part that is a range of another object. */
  async copyPart(
    from: string,
    range: ByteRange,
    key: string,
    id: string,
    number: number,
    options: CallOptions,
  ): Promise<S3Part> {
    const command = new UploadPartCopyCommand({
      ...this.#upload(key, id),
      PartNumber: number,
      CopySource: this.#source(from),
      CopySourceRange: `bytes=${range.start}-${range.end}`,
    });
    const { CopyPartResult: result } = await this.#write(
      'copyPart',
      (o) => this.#client.send(command, o),
      options,
    );
    return { PartNumber: number, ETag: result?.ETag };
  }

  /** Makes one object of the parts. An answer of 200 that carries an error is a failure. */
  async completeUpload(
    key: string,
    id: string,
    parts: readonly S3Part[],
    options: CallOptions,
  ): Promise<void> {
    const command = new CompleteMultipartUploadCommand({
      ...this.#upload(key, id),
      MultipartUpload: { Parts: [...parts] },
    });
    const { ETag } = await this.#write('complete', (o) => this.#client.send(command, o), options);
    if (ETag === undefined)
      throw new ProxyError(
        'unavailable',
        's3-objects.complete',
        'the store did not confirm the upload',
      );
  }

  /** Also when there is no such upload. Asked even of a store that fails: it may do this much. */
  async abortUpload(key: string, id: string): Promise<void> {
    const command = new AbortMultipartUploadCommand(this.#upload(key, id));
    await absent(this.#send('s3-objects.abort', (o) => this.#client.send(command, o), {}));
  }

  /** As `delete`, of a staging object; asked even of a store that fails. */
  async deleteStaged(key: string): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#bucket, Key: key });
    await absent(this.#send('s3-objects.delete', (o) => this.#client.send(command, o), {}));
  }

  /** Open uploads whose key begins with `prefix`. */
  async uploads(prefix: string, options: CallOptions): Promise<S3Upload[]> {
    const all: S3Upload[] = [];
    let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {};
    for (;;) {
      const list = (by: object) =>
        this.#read(
          'uploads',
          (o) =>
            this.#client.send(
              new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: prefix, ...by }),
              o,
            ),
          options,
        );
      // Some stores refuse the second marker, others begin again without it.
      const page = await list(marker).catch(async (error: unknown) => {
        if (statusOf(error) !== 400 || marker.UploadIdMarker === undefined) throw error;
        return await list({ KeyMarker: marker.KeyMarker });
      });
      for (const { Key = '', UploadId = '', Initiated } of page.Uploads ?? []) {
        if (Key.startsWith(prefix))
          all.push({ key: Key, id: UploadId, initiatedAt: Initiated?.getTime() ?? 0 });
      }
      const next = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
      const isStuck =
        next.KeyMarker === marker.KeyMarker && next.UploadIdMarker === marker.UploadIdMarker;
      if (page.IsTruncated !== true || isStuck) return all;
      marker = next;
    }
  }

  destroy(): void {
    this.#client.destroy();
  }

  async #read<T>(
    verb: string,
    send: (options: object) => Promise<T>,
    options: CallOptions,
  ): Promise<T> {
    const op = `s3-objects.${verb}`;
    const call = async (): Promise<T> => await this.#send(op, send, options);
    return await this.#gate.run(op, call, (error) => statusOf(error) !== 400);
  }

  async #write<T>(
    verb: string,
    send: (options: object) => Promise<T>,
    options: CallOptions,
  ): Promise<T> {
    const op = `s3-objects.${verb}`;
    const call = async (): Promise<T> => await this.#send(op, send, options);
    return await this.#writes.run(
      op,
      async () => await this.#gate.run(op, call, (error) => !isRefusal(error)),
      (error) => isRefusal(error) && statusOf(error) !== 400,
    );
  }

  async #send<T>(
    op: string,
    send: (options: object) => Promise<T>,
    { signal }: CallOptions,
  ): Promise<T> {
    try {
      return await send(signal === undefined ? {} : { abortSignal: signal });
    } catch (error) {
      throw s3Error(op, this.#options, error);
    }
  }

  #upload(key: string, id: string): { Bucket: string; Key: string; UploadId: string } {
    return { Bucket: this.#bucket, Key: key, UploadId: id };
  }

  #source(key: string): string {
    return encodeURI(`${this.#bucket}/${key}`);
  }
}

async function absent<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (kindOf(error) === 'not-found') return undefined;
    throw error;
  }
}
