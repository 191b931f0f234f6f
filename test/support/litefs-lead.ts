import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { LiteFsCluster, LiteFsNode } from './litefs-cluster.ts';

/** Kills every LiteFS of a cluster that goes by addresses, and starts all with another primary, which must be in step. */
export async function leadBy(next: LiteFsNode, { nodes }: LiteFsCluster): Promise<void> {
  for (const node of nodes.toReversed()) await node.kill9();
  for (const node of [next, ...nodes.filter((other) => other !== next)]) {
    const path = join(node.folder, 'f.yml');
    const config = parse(await readFile(path, 'utf8')) as { lease: object };
    Object.assign(config.lease, {
      candidate: node === next,
      hostname: new URL(next.url).host,
      'advertise-url': next.url,
    });
    await writeFile(path, stringify(config));
    await node.start();
  }
}
