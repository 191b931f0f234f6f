import { randomUUID } from 'node:crypto';
import { processIdentity } from '../process-identity.ts';
import { type Digest, isDigest } from './digest.ts';

/**
 * Names of objects in a bucket; no key is a folder of another, so that stores on a file system take them.
 * `<prefix>sha256/<two>/<digest>` holds a body, `….blocks` beside it its block digests, `<prefix>staging/…` uploads under way.
 */
export class S3Keys {
  readonly #prefix: string;
  readonly #host: string;

  /** `host` tells this node's uploads from those of others in the same bucket. */
  constructor(prefix: string, host: string) {
    const bare = prefix.replace(/^\/+|\/+$/g, '');
    this.#prefix = bare === '' ? '' : `${bare}/`;
    this.#host = host;
  }

  /** What all bodies begin with. */
  get bodies(): string {
    return `${this.#prefix}sha256/`;
  }

  /** What uploads of this node begin with, whichever process made them. */
  get staging(): string {
    return `${this.#prefix}staging/${this.#host}.`;
  }

  body(digest: Digest): string {
    return `${this.bodies}${digest.slice(0, 2)}/${digest}`;
  }

  blocks(digest: Digest): string {
    return `${this.body(digest)}.blocks`;
  }

  /** A key that nobody else uses. */
  newStaging(): string {
    return `${this.staging}${processIdentity()}/${randomUUID()}`;
  }

  /** Which process made a staging key of this node. */
  ownerOf(staging: string): string {
    return staging.slice(this.staging.length).split('/', 1)[0] ?? '';
  }

  /** The digest of a body's key. Absent: the key is another object's. */
  digestOf(key: string): Digest | undefined {
    const name = key.slice(key.lastIndexOf('/') + 1);
    return isDigest(name) && key === this.body(name) ? name : undefined;
  }
}
