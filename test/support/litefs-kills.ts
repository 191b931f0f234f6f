import { setTimeout as delay } from 'node:timers/promises';
import { halted } from './litefs-checks.ts';
import type { LiteFsCluster } from './litefs-cluster.ts';
import { LiteFsWriter, MANIFEST } from './litefs-writer.ts';

/** What became of the writes of killed writers. */
export interface KilledWrites {
  /** Keys that were said to be written. */
  readonly acknowledged: readonly string[];
  /** How often LiteFS was left behind its primary for good, and had to be started again. */
  readonly orphans: number;
}

/** Milliseconds in which the next writer on the node must see that its LiteFS was left behind. */
const FOUND_MS = 8000;
/** A transaction is on its way for so long at most. */
const STREAM_MS = 500;

/**
 * Kills writers on the second node while they write one change after the other, at moments given by `random` (0 to 1). A LiteFS
 * that is left behind must be found out by the next writer there, and is started again. Throws when it is not.
 */
export async function killWriters(
  cluster: LiteFsCluster,
  kills: number,
  random: () => number,
  prefix: string = 'k',
): Promise<KilledWrites> {
  const [first, replica] = [cluster.primary, cluster.node(1)];
  const acknowledged: string[] = [];
  let orphans = 0;
  for (let kill = 0; kill < kills; kill++) {
    await using victim = await LiteFsWriter.start({ cluster, node: replica });
    let isOver = false;
    const writing = (async () => {
      for (let i = 0; !isOver; i++) {
        const key = `${prefix}${kill}-${i}`;
        const { outcome } = await victim.put(key);
        if (outcome === 'committed') acknowledged.push(key);
      }
    })().catch(() => {});
    const before = acknowledged.length;
    await replica.until(async () => acknowledged.length > before + 1, 'two changes to be written');
    await delay(random() * 100);
    await halted(replica);
    // The COMMIT comes a few milliseconds after the grant.
    await delay(random() * 20);
    await victim.kill9();
    isOver = true;
    await writing;
    await delay(STREAM_MS);
    if ((await replica.txid(MANIFEST)) >= (await first.txid(MANIFEST))) continue;
    orphans += 1;
    await using next = await LiteFsWriter.start({ cluster, node: replica });
    await replica.until(async () => next.wedged, 'what was left behind to be found', FOUND_MS);
    await next.stop();
    await replica.kill9();
    await replica.start();
    await cluster.inStep(MANIFEST);
  }
  return { acknowledged, orphans };
}
