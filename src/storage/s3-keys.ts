import { randomUUID } from 'node:crypto';
import { processIdentity } from '../process-identity.ts';
import { type Digest, isDigest } from './digest.ts';
import { NOTES_PLACE } from './notes.ts';

/** What a key below `staging/` tells of who made it. */
export interface S3Staging {
  /** Name of the node. */
  readonly node: string;
  /** Absent: it is not of one process, such as what health writes. */
  readonly process?: string | undefined;
  /** Absent: an upload. Else nothing lies there but the word that the process copies to this body's key. */
  readonly copies?: Digest | undefined;
}

const STAGING =
  /^(caje-[0-9a-f]{16})\.(?:probe|(\d+-\d+-[0-9a-f]+)\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:\.([0-9a-f]{64}))?)$/;

/**
 * Names of objects in a bucket; no key is a folder of another, so that stores on a file system take them.
 * `<prefix>sha256/<two>/<digest>` holds a body, `….blocks` beside it its block digests, `<prefix>staging/…` uploads under way,
 * `<prefix>quarantine/<node>/<digest>` what that node found damaged, `<prefix>rows/<node>/…` its notes.
 */
export class S3Keys {
  /** This node's name. */
  readonly node: string;
  readonly #prefix: string;

  /** `node` tells this node's uploads from those of others in the same bucket. */
  constructor(prefix: string, node: string) {
    const bare = prefix.replace(/^\/+|\/+$/g, '');
    this.#prefix = bare === '' ? '' : `${bare}/`;
    this.node = node;
  }

  /** What all bodies begin with. */
  get bodies(): string {
    return `${this.#prefix}sha256/`;
  }

  /** What uploads of all nodes begin with. */
  get staging(): string {
    return `${this.#prefix}staging/`;
  }

  /** What notes of all nodes begin with. */
  get notes(): string {
    return `${this.#prefix}${NOTES_PLACE}/`;
  }

  /** What health writes, to see whether it may. */
  get probe(): string {
    return `${this.staging}${this.node}.probe`;
  }

  body(digest: Digest): string {
    return `${this.bodies}${digest.slice(0, 2)}/${digest}`;
  }

  blocks(digest: Digest): string {
    return `${this.body(digest)}.blocks`;
  }

  /** What this node's quarantine begins with: copies of damaged bodies. */
  get quarantine(): string {
    return `${this.#prefix}quarantine/${this.node}/`;
  }

  /** Where a damaged body of this digest is put aside. */
  quarantined(digest: Digest): string {
    return `${this.quarantine}${digest}`;
  }

  /** The digest of a key in this node's quarantine. Absent: the key is another object's. */
  quarantinedOf(key: string): Digest | undefined {
    const name = key.slice(this.quarantine.length);
    return key.startsWith(this.quarantine) && isDigest(name) ? name : undefined;
  }

  /** A key that nobody else uses. */
  newStaging(): string {
    return `${this.staging}${this.node}.${processIdentity()}/${randomUUID()}`;
  }

  /** Says, for as long as it is there, that this process copies to a body's key in parts. */
  newCopyMark(digest: Digest): string {
    return `${this.newStaging()}.${digest}`;
  }

  /** Who made a key below `staging`. Absent: it is none of ours, and is left alone. */
  stagingOf(key: string): S3Staging | undefined {
    if (!key.startsWith(this.staging)) return undefined;
    const match = STAGING.exec(key.slice(this.staging.length));
    if (match === null) return undefined;
    const [, node = '', process, copies] = match;
    return { node, process, copies: copies !== undefined && isDigest(copies) ? copies : undefined };
  }

  /** The digest of a body's key. Absent: the key is another object's. */
  digestOf(key: string): Digest | undefined {
    const name = key.slice(key.lastIndexOf('/') + 1);
    return isDigest(name) && key === this.body(name) ? name : undefined;
  }
}
