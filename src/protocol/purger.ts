import type { CallOptions } from '../body.ts';
import type { Manifest, Purge, PurgeResult } from '../manifest/manifest.ts';
import { takes } from '../manifest/purge-takes.ts';
import type { Metrics } from '../metrics.ts';
import type { PullThrough } from './pull-through.ts';

/**
 * Makes stored answers go away, or stale. From the call on nothing that the purge takes is answered from memory and nobody
 * joins a fetch that began before it; when it resolves, that holds after a crash too.
 */
export class Purger {
  readonly #manifest: Manifest;
  readonly #pullThrough: PullThrough;
  readonly #metrics: Metrics;

  constructor(manifest: Manifest, pullThrough: PullThrough, metrics: Metrics) {
    this.#manifest = manifest;
    this.#pullThrough = pullThrough;
    this.#metrics = metrics;
    manifest.onPurge((purge) => pullThrough.forget((subject) => takes(purge, subject)));
  }

  /**
   * What a request may have changed is gone: as `purge` of the key, but nothing is written where nothing of it is kept or on
   * its way. Throws as `purge`.
   */
  async invalidate(namespace: string, key: string, actor: string): Promise<void> {
    const purge: Purge = { kind: 'key', value: key, namespace, soft: false, actor };
    if (this.#pullThrough.isFetching(namespace, key) || !this.#manifest.hasNothing(namespace, key))
      await this.purge(purge);
    else this.#pullThrough.forget((subject) => takes(purge, subject));
  }

  /** Throws `timeout` when it is not durable in time; it is then still in the queue. */
  async purge(purge: Purge, options?: CallOptions): Promise<PurgeResult> {
    this.#pullThrough.forget((subject) => takes(purge, subject));
    const result = await this.#manifest.purge(purge, options);
    this.#metrics.count('purges_total', purge.kind);
    return result;
  }
}
