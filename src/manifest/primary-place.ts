import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ChangeListeners } from './change-listeners.ts';
import type { ChangeWriter } from './change-writer.ts';
import { orGivenUp } from './given-up.ts';
import type { Purge } from './manifest.ts';
import type { NodeState, PurgeShipped } from './primary-protocol.ts';
import { PrimaryService } from './primary-service.ts';
import { NO_TERM } from './primary-terms.ts';
import type { ReaderAccess } from './reader-access.ts';
import type { WriterClient } from './writer-client.ts';
import type { AppliedPurge, ClusterSettings, PurgeResponse } from './writer-protocol.ts';

const PURGE_TIMEOUT_MS = 10_000;

/** What of the manifest has to do with other nodes. */
export interface PrimaryPlaceOptions {
  readonly cluster: ClusterSettings;
  readonly purgeWaitMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly reader: ReaderAccess;
  readonly writer: WriterClient;
  readonly listeners: ChangeListeners;
  readonly changes: () => ChangeWriter;
  /** Brings in what came into the database. */
  readonly follow: () => void;
  /** Forgets what was read. */
  readonly restart: () => void;
  /** A purge is in effect in the database. */
  readonly purged: (purge: AppliedPurge) => void;
}

/** What this node is among the others, as the request side sees it. */
export class PrimaryPlace {
  /** What other nodes ask. */
  readonly peers: PrimaryService;
  readonly #options: PrimaryPlaceOptions;
  #state: NodeState;

  constructor(options: PrimaryPlaceOptions) {
    const { cluster, purgeWaitMs, clock, metrics, reader, writer, follow } = options;
    this.#options = options;
    this.#state = { name: cluster.node, role: 'primary', known: NO_TERM, trusted: false };
    this.peers = new PrimaryService({
      ...{ reader, writer, clock, metrics, purgeWaitMs, follow },
      ...{ node: cluster.node, credentials: cluster, state: () => this.#state },
      purge: async (shipped) => await this.#purgeFor(shipped),
    });
  }

  /** False: rows may be of before a purge that was not heard of yet; nothing is to be answered from them. */
  get trusted(): boolean {
    return this.#state.trusted;
  }

  /** The writer says so. */
  stateIs(state: NodeState): void {
    const { trusted, role, known } = this.#state;
    this.#state = state;
    // What was read, or not, by other rules than now.
    if (trusted !== state.trusted) this.#options.restart();
    if (role === state.role && known.node === state.known.node) return;
    this.peers.moved('');
    const { term, node, url } = state.known;
    this.#options.log.info({ role: state.role, term, node, url }, 'place in the cluster');
  }

  /** Rows of another node are in the database. */
  applied(reset: boolean, purges: readonly AppliedPurge[]): void {
    for (const purge of purges) this.#options.purged(purge);
    if (reset) this.#options.restart();
    else this.#options.follow();
  }

  /** The same within ten seconds. Throws `timeout` after them, and `aborted` when the signal says so: it is then still in the queue. */
  async purgeInTime(purge: Purge, { signal }: CallOptions): Promise<PurgeResponse> {
    const late = AbortSignal.timeout(PURGE_TIMEOUT_MS);
    return await orGivenUp(
      this.purge(purge),
      signal ? AbortSignal.any([late, signal]) : late,
      'primary-place.purge',
      'the purge is in force here and not written yet; it stays in the queue',
    );
  }

  /** Resolves when it is written and in effect on every follower that is alive. Throws `unavailable` when the node stops first. */
  async purge(purge: Purge, changeId?: string): Promise<PurgeResponse> {
    const response = await this.#options.changes().purge(purge, changeId);
    if (response === undefined) {
      const message = 'the node stopped before the purge was written';
      throw new ProxyError('unavailable', 'primary-place.purge', message);
    }
    if (this.#state.role === 'primary') await this.peers.acknowledged(response);
    return response;
  }

  async #purgeFor({ purge, changeId, namespaces }: PurgeShipped): Promise<PurgeResponse> {
    const { listeners } = this.#options;
    for (const namespace of namespaces) listeners.know(namespace);
    listeners.tellOthersPurge(purge);
    return await this.purge(purge, changeId);
  }
}
