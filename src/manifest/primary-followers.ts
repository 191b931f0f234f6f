import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { Metrics } from '../metrics.ts';
import { type PeerCredentials, PrimaryClient } from './primary-client.ts';
import type { PurgeResponse } from './writer-protocol.ts';

/** A node that follows this one. */
export interface Follower {
  readonly node: string;
  /** Its peer listener; '' where it has none. */
  readonly url: string;
  /** Milliseconds since the epoch when it was last heard of. */
  readonly seenAt: number;
  /** Number by namespace up to which it has everything. */
  readonly positions: Readonly<Record<string, number>>;
}

interface Known extends Follower {
  url: string;
  seenAt: number;
  positions: Record<string, number>;
  /** Newest purge in effect in namespaces that it is copying. */
  readonly purged: Record<string, number>;
  /** Monotonic milliseconds. */
  lastHeard: number;
  polls: number;
  /** True: hints did not reach it since it was last heard of. */
  deaf: boolean;
  hinting: boolean;
}

export interface PrimaryFollowersOptions {
  readonly node: string;
  readonly credentials: PeerCredentials;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Longest wait for followers to have a purge, and how long one that is silent is waited for. */
  readonly purgeWaitMs: number;
  /** A follower came, or came from another address. */
  readonly onFollower: (node: string, url: string) => void;
}

/** How often a hint is tried before the follower is left to its next pull. */
const HINT_TRIES = 3;
const HINT_PAUSE_MS = 200;
/** A follower that was silent for longer is forgotten. */
const FORGET_MS = 600_000;

/** Who follows this node, how far each has come, and whom to tell of something new. */
export class PrimaryFollowers {
  readonly #options: PrimaryFollowersOptions;
  readonly #known = new Map<string, Known>();
  readonly #stop = new AbortController();
  #progress = Promise.withResolvers<void>();

  constructor(options: PrimaryFollowersOptions) {
    this.#options = options;
  }

  list(): Follower[] {
    this.#forget();
    return [...this.#known.values()].map(({ node, url, seenAt, positions }) => ({
      ...{ node, url, seenAt, positions },
    }));
  }

  /** A follower asks; what its cursors say it has is in effect there. Gives the function that ends the poll. */
  poll(node: string, url: string, positions: Readonly<Record<string, number>>): () => void {
    const known = this.#heard(node, url);
    known.positions = { ...positions };
    known.polls += 1;
    this.#moved();
    let over = false;
    return () => {
      if (over) return;
      over = true;
      known.polls -= 1;
      known.lastHeard = this.#now();
    };
  }

  /** A follower that copies a namespace has every purge up to this number in effect. */
  purged(node: string, namespace: string, jid: number): void {
    const known = this.#heard(node, this.#known.get(node)?.url ?? '');
    known.purged[namespace] = jid;
    this.#moved();
  }

  /** Resolves once every follower that is alive has a purge in effect, or after the bound. */
  async acknowledged({ jids, last }: PurgeResponse): Promise<void> {
    const end = this.#now() + this.#options.purgeWaitMs;
    const has = ({ positions, purged }: Known): boolean =>
      Object.entries(jids).every(
        ([name, jid]) =>
          (positions[name] ?? 0) >= (last[name] ?? jid) || (purged[name] ?? 0) >= jid,
      );
    for (;;) {
      const waiting = [...this.#known.values()].filter(
        (known) => this.#isAlive(known) && !has(known),
      );
      const left = end - this.#now();
      if (waiting.length === 0 || left <= 0 || this.#stop.signal.aborted) return;
      const late = new AbortController();
      await Promise.race([
        this.#progress.promise,
        delay(Math.min(left, 100), undefined, { signal: late.signal }).catch(() => {}),
      ]);
      late.abort();
    }
  }

  /** Something new is there: followers that do not wait for it at this moment are told. */
  hint(): void {
    this.#forget();
    for (const known of this.#known.values()) {
      if (known.polls > 0 || known.url === '' || known.deaf || known.hinting) continue;
      void this.#hint(known);
    }
  }

  close(): void {
    this.#stop.abort();
    this.#moved();
  }

  async #hint(known: Known): Promise<void> {
    known.hinting = true;
    const client = new PrimaryClient(known.url, this.#options.credentials);
    const { signal } = this.#stop;
    try {
      for (let tried = 0; tried < HINT_TRIES; tried++) {
        // Between two polls of its own it needs none.
        await delay(HINT_PAUSE_MS * tried + 20, undefined, { signal });
        if (known.polls > 0) return;
        try {
          await client.hint(this.#options.node, { signal });
          this.#options.metrics.count('hints_total', 'taken');
          return;
        } catch (error) {
          if (signal.aborted) throw error;
        }
      }
      known.deaf = true;
      this.#options.metrics.count('hints_total', 'given-up');
    } catch {
      // The node stops.
    } finally {
      known.hinting = false;
      await client[Symbol.asyncDispose]();
    }
  }

  #heard(node: string, url: string): Known {
    let known = this.#known.get(node);
    if (known === undefined || known.url !== url) this.#options.onFollower(node, url);
    if (known === undefined) {
      const empty = { positions: {}, purged: {}, polls: 0, deaf: false, hinting: false };
      known = { node, url, seenAt: 0, lastHeard: 0, ...empty };
      this.#known.set(node, known);
    }
    known.url = url;
    known.deaf = false;
    known.seenAt = this.#options.clock.now();
    known.lastHeard = this.#now();
    return known;
  }

  #isAlive({ polls, lastHeard }: Known): boolean {
    return polls > 0 || this.#now() - lastHeard <= this.#options.purgeWaitMs;
  }

  #forget(): void {
    for (const { node, polls, lastHeard } of this.#known.values())
      if (polls === 0 && this.#now() - lastHeard > FORGET_MS) this.#known.delete(node);
  }

  #moved(): void {
    this.#progress.resolve();
    this.#progress = Promise.withResolvers<void>();
  }

  #now(): number {
    return this.#options.clock.monotonic();
  }
}
