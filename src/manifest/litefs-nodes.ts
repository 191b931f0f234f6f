import { basename } from 'node:path';
import { databases, info, position } from '@caje/litefs';
import type { CallOptions } from '../body.ts';

/** Where the LiteFS nodes of a cluster are asked. */
export interface LiteFsAddresses {
  /** API of the LiteFS beside this node, such as `http://127.0.0.1:20202`. */
  readonly api: string;
  /** API of the primary, in which `{hostname}` stands for what LiteFS calls it. */
  readonly primary: string;
}

/** How far this node is, beside its primary. */
export type LiteFsStanding =
  | { readonly role: 'primary' }
  /** No primary is known, or it does not answer. */
  | { readonly role: 'alone'; readonly why: string }
  /** `isTaken`: some node writes, or may write, at this moment. */
  | {
      readonly role: 'replica';
      readonly own: bigint;
      readonly ofPrimary: bigint;
      readonly isTaken: boolean;
    };

/** Longest wait for one answer of an API. */
const ASK_MS = 1000;

/** Compares this node's database with its primary's, by their transactions. Never throws. */
export class LiteFsNodes {
  readonly #databasePath: string;
  readonly #addresses: LiteFsAddresses;

  constructor(databasePath: string, addresses: LiteFsAddresses) {
    this.#databasePath = databasePath;
    this.#addresses = addresses;
  }

  /** `from` `file`: own transaction from the mount, at most a millisecond old; `api`: nothing of the mount is touched. */
  async standing(from: 'file' | 'api', options: CallOptions = {}): Promise<LiteFsStanding> {
    const { api, primary } = this.#addresses;
    const asked = { timeoutMs: ASK_MS, signal: options.signal };
    try {
      const { isPrimary, primaryHostname } = await info({ ...asked, url: api });
      if (isPrimary) return { role: 'primary' };
      if (primaryHostname === undefined) return { role: 'alone', why: 'no primary is known' };
      const url = primary.replaceAll('{hostname}', primaryHostname);
      const name = basename(this.#databasePath);
      // The primary's first: what comes in between only brings this node nearer.
      const there = (await databases({ ...asked, url })).get(name);
      const own =
        from === 'file'
          ? (await position(this.#databasePath))?.txid
          : (await databases({ ...asked, url: api })).get(name)?.txid;
      const ofPrimary = there?.txid ?? 0n;
      return { role: 'replica', own: own ?? 0n, ofPrimary, isTaken: there?.isLocked ?? false };
    } catch (error) {
      return { role: 'alone', why: reason(error) };
    }
  }
}

/** `fetch` says why in its cause. */
function reason(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== '' ? `${message}: ${cause.message}` : message;
}
