import { setTimeout as delay } from 'node:timers/promises';
import { type PeerCredentials, PrimaryClient } from './primary-client.ts';
import type { Term } from './primary-protocol.ts';
import { isNewer } from './primary-protocol.ts';

/** How often those that do not answer are told again. */
const AGAIN_MS = 2000;
/** Longest that a primary that comes back waits for the others before it goes on as one. */
const FIRST_MS = 1000;

/** What a herald needs. */
export interface PrimaryHeraldOptions {
  readonly node: string;
  readonly credentials: PeerCredentials;
  /** This node, as the primary that it is. */
  readonly known: Term;
  readonly listens: () => string | undefined;
  /** Peer listeners of nodes that may take another for the primary, or know of another. */
  readonly others: readonly string[];
  /** Another is the primary since a later term. */
  readonly superseded: (known: Term) => void;
}

/** Tells the others who is the primary, until each of them has heard it, and hears from them whether another is. */
export class PrimaryHerald {
  readonly #options: PrimaryHeraldOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  /** Resolves when all were asked once, or after a second. */
  readonly asked: Promise<void>;

  constructor(options: PrimaryHeraldOptions) {
    this.#options = options;
    const first = Promise.withResolvers<void>();
    this.asked = Promise.race([first.promise, delay(FIRST_MS, undefined, { ref: false })]);
    this.#running = this.#run(first.resolve);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(first: () => void): Promise<void> {
    const { signal } = this.#stop;
    let left = [...new Set(this.#options.others)];
    while (left.length > 0 && !signal.aborted) {
      const heard = await Promise.all(left.map(async (url) => await this.#tell(url)));
      left = left.filter((_, index) => heard[index] !== true);
      first();
      if (left.length > 0) await delay(AGAIN_MS, undefined, { signal }).catch(() => {});
    }
    first();
  }

  /** True: it knows now. */
  async #tell(url: string): Promise<boolean> {
    const { node, credentials, known, listens, superseded } = this.#options;
    const client = new PrimaryClient(url, credentials);
    try {
      const state = await client.state(
        { known, node, listens: listens() },
        { signal: this.#stop.signal },
      );
      if (state.name !== node && isNewer(state.known, known)) superseded(state.known);
      return true;
    } catch {
      return false;
    } finally {
      await client[Symbol.asyncDispose]();
    }
  }
}
