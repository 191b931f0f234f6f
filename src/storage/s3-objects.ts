import type { Readable } from 'node:stream';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import type { ByteRange, CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import { statusOf } from './s3-client.ts';
import { orAbsent, type S3Connection } from './s3-connection.ts';

/** What is known of an object. */
export interface S3Object {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
}

/** One page of a listing. */
export interface S3Page {
  readonly objects: readonly S3Object[];
  /** Of the next page. Absent: this was the last. */
  readonly next?: string | undefined;
}

const PAGE = 1000;

/** The calls that caje makes on whole objects of a bucket. */
export class S3Objects {
  readonly #to: S3Connection;

  constructor(connection: S3Connection) {
    this.#to = connection;
  }

  /** Asks the store for the least it can say. Throws `unavailable` when it does not answer within `limitMs`. */
  async check(prefix: string, limitMs: number): Promise<void> {
    const input = { Bucket: this.#to.bucket, Prefix: prefix, MaxKeys: 1 };
    await this.#to.readWithin(
      'check',
      (o) => this.#to.client.send(new ListObjectsV2Command(input), o),
      limitMs,
    );
  }

  /** Absent: no such object. */
  async head(key: string, options: CallOptions): Promise<S3Object | undefined> {
    const send = (o: object) =>
      this.#to.client.send(new HeadObjectCommand({ Bucket: this.#to.bucket, Key: key }), o);
    const found = await orAbsent(this.#to.read('head', send, options));
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
    const command = new GetObjectCommand({ Bucket: this.#to.bucket, Key: key, Range });
    const found = await this.#to.read('get', (o) => this.#to.client.send(command, o), options);
    const body = found.Body as Readable;
    const expected = range && `bytes ${range.start}-${range.end}/${size}`;
    if (expected === undefined || found.ContentRange === expected) return body;
    body.destroy();
    const got = found.ContentRange ?? 'the whole object';
    throw new ProxyError('integrity', 's3-objects.get', `${key}: got ${got} for ${expected}`);
  }

  /** Writes an object. With `ifAbsent` one that is there already stays, which is no failure; false then. */
  async put(
    key: string,
    bytes: Uint8Array,
    ifAbsent: boolean,
    options: CallOptions,
  ): Promise<boolean> {
    const input = { Bucket: this.#to.bucket, Key: key, Body: bytes, ContentLength: bytes.length };
    const send = (condition: object) =>
      this.#to.write(
        'put',
        (o) => this.#to.client.send(new PutObjectCommand({ ...input, ...condition }), o),
        options,
      );
    try {
      await send(ifAbsent ? { IfNoneMatch: '*' } : {});
    } catch (error) {
      const status = statusOf(error);
      if (ifAbsent && status === 412) return false;
      // 501: the store does not know the condition; 409: another put of the same bytes was under way.
      if (!ifAbsent || (status !== 501 && status !== 409)) throw error;
      await send({});
    }
    return true;
  }

  /** Also when there is no such object. */
  async delete(key: string, options: CallOptions = {}): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#to.bucket, Key: key });
    await orAbsent(this.#to.read('delete', (o) => this.#to.client.send(command, o), options));
  }

  /** Objects whose key begins with `prefix`, in order, after `after` or where the page before ended. */
  async page(
    prefix: string,
    after: string | undefined,
    token: string | undefined,
    options: CallOptions,
  ): Promise<S3Page> {
    const command = new ListObjectsV2Command({
      Bucket: this.#to.bucket,
      Prefix: prefix,
      MaxKeys: PAGE,
      ...(token === undefined ? { StartAfter: after } : { ContinuationToken: token }),
    });
    const found = await this.#to.read('list', (o) => this.#to.client.send(command, o), options);
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
      Bucket: this.#to.bucket,
      Key: to,
      CopySource: this.#to.source(from),
    });
    await this.#to.write('copy', (o) => this.#to.client.send(command, o), options);
  }

  /** As `delete`, of a staging object; asked even of a store that fails. */
  async deleteStaged(key: string): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#to.bucket, Key: key });
    await orAbsent(this.#to.ask('delete', (o) => this.#to.client.send(command, o), {}));
  }
}
