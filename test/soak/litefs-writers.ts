import { auditRows } from '../support/litefs-audit.ts';
import type { JournalLine } from '../support/litefs-checks.ts';
import { LiteFsCluster, type LiteFsNode } from '../support/litefs-cluster.ts';
import { LiteFsWriter } from '../support/litefs-writer.ts';

/** Until a lock that was given back is seen to be free. */
const FREE_MS = 10_000;

/** The primary and a replica with a writer on each, and a manifest that both have. */
export class LiteFsWriters implements AsyncDisposable {
  readonly cluster: LiteFsCluster;
  readonly primary: LiteFsWriter;
  readonly #purged = new Map<string, number>();

  private constructor(cluster: LiteFsCluster, primary: LiteFsWriter) {
    this.cluster = cluster;
    this.primary = primary;
  }

  static async start(): Promise<LiteFsWriters> {
    const cluster = await LiteFsCluster.start({ nodes: 2 });
    const primary = await LiteFsWriter.start({ cluster, node: cluster.primary });
    await primary.put('first');
    return new LiteFsWriters(cluster, primary);
  }

  get replica(): LiteFsNode {
    return this.cluster.node(1);
  }

  async onReplica(delayMs = 0): Promise<LiteFsWriter> {
    return await LiteFsWriter.start({ cluster: this.cluster, node: this.replica, delayMs });
  }

  /** Purges by a writer what the primary wrote; acknowledged it is once this resolves. */
  async purge(key: string, by: LiteFsWriter): Promise<void> {
    await this.primary.put(key);
    const { jids } = await by.purge(key);
    this.#purged.set(key, jids['web'] ?? 0);
    // It is acknowledged before HALT is given back, which the primary waits for.
    await this.written(`${key}-free`, FREE_MS);
  }

  /** The journal that all nodes have. Throws for anything that does not fit, and for a purge that is lost. */
  async audit(): Promise<readonly JournalLine[]> {
    return await auditRows(this.cluster, this.#purged);
  }

  /** Milliseconds until the primary has written. */
  async written(key: string, limitMs: number): Promise<void> {
    const from = performance.now();
    const { outcome } = await this.primary.put(key);
    const ms = Math.round(performance.now() - from);
    if (outcome !== 'committed') throw new Error(`${key}: ${outcome}`);
    if (ms > limitMs) throw new Error(`written only after ${ms} ms`);
  }

  /** Throws unless each key is in the journal that both nodes have so many times. */
  async count(times: number, ...keys: readonly string[]): Promise<void> {
    const found = (await this.audit()).map(({ key }) => key);
    for (const key of keys) {
      const there = found.filter((other) => other === key).length;
      if (there !== times) throw new Error(`${key} is there ${there} times`);
    }
  }

  /** Starts the replica's LiteFS again. */
  async restart(): Promise<void> {
    if (this.replica.isRunning) this.replica.resume();
    await this.replica.kill9();
    await this.replica.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.primary[Symbol.asyncDispose]();
    await this.cluster[Symbol.asyncDispose]();
  }
}
