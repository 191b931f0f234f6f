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
import { orAbsent, type S3Connection } from './s3-connection.ts';
import { putIfAbsent } from './s3-put-if-absent.ts';

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
    const command = new ListObjectsV2Command({
      Bucket: this.#to.bucket,
      Prefix: prefix,
      MaxKeys: 1,
    });
    await this.#to.call({ verb: 'check', right: 'list', limitMs }, (client, o) =>
      client.send(command, o),
    );
  }

  /** Absent: no such object. */
  async head(key: string, { signal }: CallOptions): Promise<S3Object | undefined> {
    const command = new HeadObjectCommand({ Bucket: this.#to.bucket, Key: key });
    const found = await orAbsent(
      this.#to.call({ verb: 'head', right: 'read', signal }, (client, o) =>
        client.send(command, o),
      ),
    );
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
    { signal }: CallOptions,
  ): Promise<Readable> {
    const Range = range && `bytes=${range.start}-${range.end}`;
    const command = new GetObjectCommand({ Bucket: this.#to.bucket, Key: key, Range });
    const found = await this.#to.call({ verb: 'get', right: 'read', signal }, (client, o) =>
      client.send(command, o),
    );
    const body = found.Body as Readable;
    const expected = range && `bytes ${range.start}-${range.end}/${size}`;
    if (expected === undefined || found.ContentRange === expected) return body;
    body.destroy();
    const got = found.ContentRange ?? 'the whole object';
    throw new ProxyError('integrity', 's3-objects.get', `${key}: got ${got} for ${expected}`);
  }

  /** Writes an object. `ifAbsent`: as `putIfAbsent`; else true. */
  async put(
    key: string,
    bytes: Uint8Array,
    ifAbsent: boolean,
    { signal }: CallOptions,
  ): Promise<boolean> {
    if (ifAbsent) return await putIfAbsent(this.#to, key, bytes, { signal });
    const command = new PutObjectCommand({
      Bucket: this.#to.bucket,
      Key: key,
      Body: bytes,
      ContentLength: bytes.length,
      ...this.#to.placement(false),
    });
    await this.#to.call({ verb: 'put', right: 'write', bytes: bytes.length, signal }, (client, o) =>
      client.send(command, o),
    );
    return true;
  }

  /** Also when there is no such object. */
  async delete(key: string, { signal }: CallOptions = {}): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#to.bucket, Key: key });
    await orAbsent(
      this.#to.call({ verb: 'delete', right: 'delete', signal }, (client, o) =>
        client.send(command, o),
      ),
    );
  }

  /** One page of objects whose key begins with `prefix`, in order, after `after` or where the page before ended. */
  async page(
    prefix: string,
    after: string | undefined,
    token: string | undefined,
    { signal }: CallOptions,
  ): Promise<S3Page> {
    const command = new ListObjectsV2Command({
      Bucket: this.#to.bucket,
      Prefix: prefix,
      MaxKeys: PAGE,
      ...(token === undefined ? { StartAfter: after } : { ContinuationToken: token }),
    });
    const found = await this.#to.call({ verb: 'list', right: 'list', signal }, (client, o) =>
      client.send(command, o),
    );
    const objects = (found.Contents ?? []).map(({ Key = '', Size = 0, LastModified }) => ({
      key: Key,
      size: Size,
      modifiedAt: LastModified?.getTime() ?? 0,
    }));
    return { objects, next: found.IsTruncated === true ? found.NextContinuationToken : undefined };
  }

  /** Every object whose key begins with `prefix`, in order. */
  async *all(prefix: string, options: CallOptions): AsyncGenerator<S3Object> {
    let token: string | undefined;
    do {
      const page = await this.page(prefix, undefined, token, options);
      yield* page.objects;
      token = page.next;
    } while (token !== undefined);
  }

  /** A server-side copy of a body within the bucket, in one call. */
  async copy(from: string, to: string, { signal }: CallOptions): Promise<void> {
    const command = new CopyObjectCommand({
      Bucket: this.#to.bucket,
      Key: to,
      CopySource: this.#to.source(from),
      ...this.#to.placement(true),
    });
    await this.#to.call({ verb: 'copy', right: 'write', isCopy: true, signal }, (client, o) =>
      client.send(command, o),
    );
  }

  /** As `delete`, of a staging object; asked even of a store that fails. */
  async deleteStaged(key: string): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#to.bucket, Key: key });
    await orAbsent(
      this.#to.ask({ verb: 'delete', right: 'delete' }, (client, o) => client.send(command, o)),
    );
  }
}
