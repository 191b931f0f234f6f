import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { primaryChanges } from '@caje/litefs';
import { SystemClock } from '../../src/clock.ts';
import { PeerFirstWriter } from '../../src/manifest/peer-first-writer.ts';
import type {
  ChangeResponse,
  ClusterSettings,
  PurgeResponse,
} from '../../src/manifest/writer-protocol.ts';
import { Metrics } from '../../src/metrics.ts';
import { queryFile } from '../criteria/node-files.ts';
import { CLUSTER_TOKEN } from './journal-nodes.ts';
import { LiteFsApi } from './litefs-api.ts';
import { purgeRequest, putRequest } from './litefs-writer.ts';

/** How one is started. */
export interface PeerFirstOptions {
  /** Holds `manifest.db`, the one database of all nodes: a LiteFS that takes no time, whose HALT is byte 72 of a plain file. */
  readonly folder: string;
  readonly settings?: Partial<ClusterSettings> | undefined;
  /** Longest wait for the primary's node. Absent: 2,000 ms. */
  readonly shipMs?: number | undefined;
}

/** A line of the journal, but for what a test cannot know. */
export interface JournalLine {
  readonly jid: number;
  readonly key: string;
  readonly op: string;
}

/** The writer that asks the primary's node first, on a plain disk, beside a LiteFS that only says who is the primary. */
export class PeerFirst implements AsyncDisposable {
  readonly liteFs: LiteFsApi;
  readonly metrics: Metrics = new Metrics();
  readonly writer: PeerFirstWriter;
  readonly #path: string;

  private constructor(liteFs: LiteFsApi, { folder, settings, shipMs }: PeerFirstOptions) {
    this.liteFs = liteFs;
    this.#path = join(folder, 'manifest.db');
    const own = join(folder, 'own');
    mkdirSync(own, { recursive: true });
    const cluster: ClusterSettings = {
      ...{ node: 'n9', follows: false, primary: '', token: CLUSTER_TOKEN, others: [] },
      ...{ leaseMs: 30_000, catchUpMs: 30_000, ...settings },
    };
    this.writer = new PeerFirstWriter(
      {
        ...{ path: this.#path, nodeDatabasePath: join(own, 'node.db'), cluster },
        ...{ lock: 'peer-litefs', acquireTimeoutMs: 10_000 },
      },
      {
        clock: new SystemClock(),
        notify: (event) => {
          if (event.type === 'count') this.metrics.count(event.name, event.label, event.by);
        },
        commitDelayMs: 0,
      },
      {
        states: (signal) =>
          primaryChanges('/nowhere/manifest.db', { url: liteFs.url, signal, retryMs: 50 }),
        shipMs,
      },
    );
  }

  /** Starts one whose LiteFS calls `primary` the primary; absent: this node is it. */
  static async start(options: PeerFirstOptions, primary?: string): Promise<PeerFirst> {
    const liteFs = await LiteFsApi.start();
    liteFs.choose(primary === undefined, primary);
    const started = new PeerFirst(liteFs, options);
    await started.writer.handle({ op: 'open' });
    return started;
  }

  /** Puts an entry of namespace `web`. */
  async put(key: string): Promise<ChangeResponse> {
    return (await this.writer.handle(putRequest(key))) as ChangeResponse;
  }

  async purge(key: string): Promise<PurgeResponse> {
    return (await this.writer.handle(purgeRequest(key))) as PurgeResponse;
  }

  /** Where changes went: to the primary, and under the lock though it had been asked. */
  went(): { readonly shipped: number; readonly halted: number; readonly commits: number } {
    const counters = this.metrics.snapshot();
    return {
      shipped: counters['shipped_total{committed}'] ?? 0,
      halted: counters['shipped_total{halt}'] ?? 0,
      commits: counters['commits_total'] ?? 0,
    };
  }

  /** The journal of all. */
  journal(): JournalLine[] {
    return queryFile<JournalLine>(this.#path, 'SELECT jid, key, op FROM journal ORDER BY jid');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.writer.close();
    await this.liteFs[Symbol.asyncDispose]();
  }
}
