import { randomUUIDv7 } from 'node:crypto';
import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { kindOf, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Manifest } from '../manifest/manifest.ts';
import type { Metrics } from '../metrics.ts';
import type { Backend, Getter, Stat } from '../storage/backend.ts';
import type { BodyCache } from '../storage/body-cache.ts';
import type { Stashable, Stashed, Stasher } from './stasher.ts';

/** A store that refused is asked again after this many milliseconds, by one body. */
const PROBE_MS = 1_000;

export interface StoreStasherOptions {
  readonly name: string;
  readonly backend: Backend;
  readonly manifest: Manifest;
  readonly cache: BodyCache;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Puts the body into a backend, then hands its row to the manifest: body before row. */
export class StoreStasher implements Stasher {
  readonly name: string;
  readonly bodies: Getter;
  readonly #options: StoreStasherOptions;
  #refusing = false;
  #nextProbe = 0;

  constructor(options: StoreStasherOptions) {
    this.name = options.name;
    this.bodies = options.backend;
    this.#options = options;
  }

  get refusing(): boolean {
    return this.#refusing;
  }

  async stash(stashable: Stashable, options: CallOptions = {}): Promise<Stashed | undefined> {
    if (!this.#mayTry()) return undefined;
    const held = this.#holdBody(stashable);
    try {
      const stat = await this.#put(stashable, options);
      if (!stat) return undefined;
      const findings = await stashable.findings;
      return this.#record(stat, stashable, findings?.h1);
    } finally {
      held.end();
    }
  }

  // From before it is put until its row is handed in, the body must not seem to be one that nobody wants.
  #holdBody({ body }: Stashable): { end(): void } {
    let release: (() => void) | undefined;
    let ended = false;
    body.sealed.then(
      ({ digest }) => {
        if (!ended) release = this.#options.manifest.expect(digest);
      },
      () => undefined,
    );
    return {
      end: () => {
        ended = true;
        release?.();
      },
    };
  }

  #record(stat: Stat, { draft, body, baseJid }: Stashable, h1: string | undefined): Stashed {
    if (body.bytes) this.#options.cache.set(stat.digest, body.bytes);
    const committed = this.#options.manifest.commit([
      {
        op: 'put',
        changeId: randomUUIDv7(),
        entry: { ...draft, digest: stat.digest, size: stat.size, h1 },
        baseJid,
        actor: draft.rule,
      },
    ]);
    this.#options.metrics.count('stashed_total');
    return { stat, recorded: this.#recorded(committed) };
  }

  async #put(stashable: Stashable, options: CallOptions): Promise<Stat | undefined> {
    let cut: unknown;
    let whole = false;
    stashable.body.sealed.then(
      () => {
        whole = true;
      },
      (error: unknown) => {
        cut = error;
      },
    );
    try {
      const stat = await this.#options.backend.put(stashable.body, options);
      if (this.#refusing) this.#options.log.info({}, 'the store takes bodies again');
      this.#refusing = false;
      return stat;
    } catch (error) {
      const kind = kindOf(error);
      // A cut body says nothing about the store; a full spool does, and it arrives the same way.
      if (cut !== undefined && kind !== 'unavailable') throw error;
      this.#options.metrics.count('stash_failed_total', kind);
      this.#options.log.warn(
        { err: messageOf(error), key: stashable.draft.key, kind },
        'a body was served but not kept',
      );
      // Nor does a caller that gave up on a body before it was whole, however slowly it came.
      // And what one body finds no room in may have room for the next.
      if (kind === 'too-large') return undefined;
      if (cut === undefined && (whole || options.signal?.aborted !== true)) {
        this.#refusing = true;
        this.#nextProbe = this.#options.clock.monotonic() + PROBE_MS;
      }
      return undefined;
    }
  }

  #mayTry(): boolean {
    if (!this.#refusing) return true;
    const now = this.#options.clock.monotonic();
    if (now < this.#nextProbe) {
      this.#options.metrics.count('stash_failed_total', 'refusing');
      return false;
    }
    this.#nextProbe = now + PROBE_MS;
    return true;
  }

  async #recorded(committed: ReturnType<Manifest['commit']>): Promise<boolean> {
    try {
      const [result] = await committed;
      if (result?.outcome === 'purged') this.#options.metrics.count('stash_refused_total');
      return result?.outcome === 'committed';
    } catch (error) {
      this.#options.log.error(
        { err: messageOf(error) },
        'a row could not be handed to the manifest',
      );
      return false;
    }
  }
}
