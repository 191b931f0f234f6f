import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import type { ByteRange, CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import { orAbsent, type S3Connection } from './s3-connection.ts';
import { statusOf } from './s3-errors.ts';

/** An upload in parts that was begun and neither completed nor aborted. */
export interface S3Upload {
  readonly key: string;
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly initiatedAt: number;
}

/** A part that arrived, as completing wants it. */
export type S3Part = CompletedPart;

/** The calls that caje makes on uploads in parts. */
export class S3Uploads {
  readonly #to: S3Connection;

  constructor(connection: S3Connection) {
    this.#to = connection;
  }

  /** `isBody`: it makes a body of parts of another object; otherwise they carry checksums where the store knows them. */
  async begin(key: string, { signal }: CallOptions, isBody = false): Promise<string> {
    const hasChecksums = !isBody && this.#to.options.checksums !== 'required';
    const command = new CreateMultipartUploadCommand({
      Bucket: this.#to.bucket,
      Key: key,
      ...this.#to.placement(isBody),
      // The SDK sends this one with each part; an upload that did not announce it is refused by some stores.
      ...(hasChecksums && { ChecksumAlgorithm: 'CRC32' }),
    });
    const { UploadId } = await this.#to.call(
      { verb: 'begin', right: 'write', signal },
      (client, o) => client.send(command, o),
    );
    if (UploadId !== undefined) return UploadId;
    throw new ProxyError(
      'unavailable',
      's3-uploads.begin',
      'the store began an upload without an id',
    );
  }

  /** Parts are numbered from 1. */
  async send(
    key: string,
    id: string,
    number: number,
    bytes: Uint8Array,
    { signal }: CallOptions,
  ): Promise<S3Part> {
    const command = new UploadPartCommand({
      ...this.#upload(key, id),
      PartNumber: number,
      Body: bytes,
      ContentLength: bytes.length,
    });
    const { ETag, ChecksumCRC32 } = await this.#to.call(
      { verb: 'part', right: 'write', bytes: bytes.length, signal },
      (client, o) => client.send(command, o),
    );
    return { PartNumber: number, ETag, ChecksumCRC32 };
  }

  /** A part that is a range of another object. */
  async copyPart(
    from: string,
    range: ByteRange,
    key: string,
    id: string,
    number: number,
    { signal }: CallOptions,
  ): Promise<S3Part> {
    const command = new UploadPartCopyCommand({
      ...this.#upload(key, id),
      PartNumber: number,
      CopySource: this.#to.source(from),
      CopySourceRange: `bytes=${range.start}-${range.end}`,
    });
    const { CopyPartResult: result } = await this.#to.call(
      { verb: 'copyPart', right: 'write', isCopy: true, signal },
      (client, o) => client.send(command, o),
    );
    return { PartNumber: number, ETag: result?.ETag };
  }

  /** Makes one object of the parts. An answer of 200 that carries an error is a failure. */
  async complete(
    key: string,
    id: string,
    parts: readonly S3Part[],
    { signal }: CallOptions,
  ): Promise<void> {
    const command = new CompleteMultipartUploadCommand({
      ...this.#upload(key, id),
      MultipartUpload: { Parts: [...parts] },
    });
    const { ETag } = await this.#to.call(
      { verb: 'complete', right: 'write', isCopy: true, signal },
      (client, o) => client.send(command, o),
    );
    if (ETag === undefined)
      throw new ProxyError(
        'unavailable',
        's3-uploads.complete',
        'the store did not confirm the upload',
      );
  }

  /** Also when there is no such upload. Asked even of a store that fails: it may do this much. */
  async abort(key: string, id: string): Promise<void> {
    const command = new AbortMultipartUploadCommand(this.#upload(key, id));
    await orAbsent(
      this.#to.ask({ verb: 'abort', right: 'delete' }, (client, o) => client.send(command, o)),
    );
  }

  /** When a part of an upload last came, by the store's clock. Absent: none did, or there is no such upload. */
  async lastPartAt({ key, id }: S3Upload, { signal }: CallOptions): Promise<number | undefined> {
    let last: number | undefined;
    let marker: string | undefined;
    do {
      const command = new ListPartsCommand({
        ...this.#upload(key, id),
        PartNumberMarker: marker,
      });
      const page = await orAbsent(
        this.#to.call({ verb: 'parts', right: 'list', signal }, (client, o) =>
          client.send(command, o),
        ),
      );
      for (const { LastModified: at } of page?.Parts ?? [])
        if (at !== undefined) last = Math.max(last ?? 0, at.getTime());
      const next = page?.IsTruncated === true ? page.NextPartNumberMarker : undefined;
      marker = next === marker ? undefined : next;
    } while (marker !== undefined);
    return last;
  }

  /** Open uploads whose key begins with `prefix`. */
  async list(prefix: string, { signal }: CallOptions): Promise<S3Upload[]> {
    const all: S3Upload[] = [];
    let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {};
    for (;;) {
      const list = async (by: object) =>
        await this.#to.call({ verb: 'uploads', right: 'list', signal }, (client, o) =>
          client.send(
            new ListMultipartUploadsCommand({ Bucket: this.#to.bucket, Prefix: prefix, ...by }),
            o,
          ),
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

  #upload(key: string, id: string): { Bucket: string; Key: string; UploadId: string } {
    return { Bucket: this.#to.bucket, Key: key, UploadId: id };
  }
}
