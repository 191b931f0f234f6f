import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import type { Backend, Opened } from '../../src/storage/backend.ts';
import { type Digest, digestOf } from '../../src/storage/digest.ts';

/** One backend under the contract, and how its inside can be reached. */
export interface BackendFixture {
  readonly backend: Backend;
  /** Closes the backend and opens another on the same data. Absent: the data goes with the backend. */
  reopen?(): Promise<Backend>;
  /** What lies about beside finished blobs: temporary files, staging keys, open uploads. */
  leftovers(): Promise<readonly string[]>;
  /** Flips one bit of a kept body where it lies. Absent: it cannot be reached from outside. */
  flip?(digest: Digest, offset: number): Promise<void>;
  /** How often `corrupt_blobs_total` stepped. */
  corruptions(): number;
  dispose(): Promise<void>;
}

/** Everything that an opened body gives; what came at once is what the stream gives. */
export async function contentOf(opened: Opened | undefined): Promise<Buffer> {
  if (opened === undefined) throw new Error('nothing was opened');
  const content = await buffer(opened.body);
  if (opened.bytes !== undefined) expect(opened.bytes.equals(content)).to.equal(true);
  return content;
}

/** What a promise rejects with. Throws when it does not. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const result = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (result === undefined) throw new Error('it did not fail');
  return result;
}

/** Holds a backend to having a body under its digest, byte by byte. */
export async function expectBytes(backend: Backend, bytes: Buffer): Promise<void> {
  const opened = await backend.open(digestOf(bytes));
  expect(opened?.size).to.equal(bytes.length);
  expect((await contentOf(opened)).equals(bytes)).to.equal(true);
}
