import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../../criteria/eventually.ts';
import { entryRows, keptBodies } from '../../criteria/node-files.ts';
import { filesBelow } from '../../support/audit-store.ts';
import { OracleOrigin } from '../../support/oracle-origin.ts';
import { patience } from '../../support/patience.ts';
import { PeerCluster } from '../../support/peer-cluster.ts';
import { s3ServerMissing, startS3Server } from '../../support/s3-server.ts';
import { flipBit } from '../../support/upkeep-place.ts';
import { askChecked, pathOwnedBy } from '../cluster-keys.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const SIZE = 300_000;
/** Longest from the moment that damage is met until nobody can have it any more. */
const QUARANTINE_MS = 1_000;
/** Nothing is answered from memory, and nobody looks at bodies but who is asked for them. */
const UNCACHED = { memory: { bodies: 0 }, scrub: { period: 0 } };

/** Damage to a body that several nodes want. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-26-cluster',
    title:
      'damage on the disk of a node is quarantined within a second, copied by no other node, and told once in the cluster',
    quick: 2,
    full: 100,
    run: async (run) => {
      await using origin = await OracleOrigin.start({ seed: run.seed });
      await using cluster = await PeerCluster.start({ originUrl: origin.url, config: UNCACHED });
      const [owner, ...others] = [...cluster.nodes.keys()] as [number, ...number[]];
      const { dataDir } = cluster.node(owner);
      const result = await tryCases(run, async (number, random) => {
        const path = pathOwnedBy(cluster, owner, number, `size=${SIZE}`);
        const digest = await fill(cluster, origin, path);
        const [file = ''] = (await filesBelow(dataDir)).filter((name) => name.endsWith(digest));
        await flipBit(join(dataDir, file), random.integer(0, SIZE - 1));
        // The others have none of their own: they ask its owner.
        const asks = [owner, ...others, ...others].map(
          async (index) => await askChecked(cluster, origin, index, path, SIZE),
        );
        await Promise.race(asks);
        await within(QUARANTINE_MS * patience(), `${path} is put aside`, async () => {
          const aside = join(dataDir, 'blobs', 'quarantine', digest);
          return (await lstat(aside).catch(() => undefined)) !== undefined;
        });
        await Promise.all(asks);
        await expectHealed({ cluster, origin, path, digest });
      });
      return await alsoTry(result, run, async () => {
        for (const node of cluster.nodes) {
          const bodies = await keptBodies(node);
          if (bodies.some((body) => body.includes('damaged'))) throw new Error('it was copied');
        }
      });
    },
  },
  {
    id: 'F-26-bucket',
    title:
      'damage in a bucket that all nodes share is out of the way of all within a second, and told once',
    quick: 2,
    full: 100,
    obstacle: async () => await Promise.resolve(s3ServerMissing()),
    run: async (run) => {
      await using origin = await OracleOrigin.start({ seed: run.seed });
      await using server = await startS3Server();
      const bucket = await server.createBucket();
      const { endpoint, region, accessKeyId, secretAccessKey } = server;
      const local = {
        ...{ type: 's3', endpoint, region, bucket, forcePathStyle: true },
        credentials: { accessKeyId, secretAccessKey },
      };
      await using cluster = await PeerCluster.start({
        originUrl: origin.url,
        config: { ...UNCACHED, storage: { local } },
      });
      return await tryCases(run, async (number, random) => {
        const path = pathOwnedBy(cluster, 0, number, `size=${SIZE}`);
        const digest = await fill(cluster, origin, path);
        const body = join(server.dataFolder, bucket, 'sha256', digest.slice(0, 2), digest);
        await flipBit(body, random.integer(0, SIZE - 1));
        const damaged = await markOf(body);
        await askChecked(cluster, origin, 0, path, SIZE);
        await within(QUARANTINE_MS * patience(), `${path} is out of the way`, async () => {
          return (await markOf(body)) !== damaged;
        });
        await expectHealed({ cluster, origin, path, digest });
      });
    },
  },
];

interface Damage {
  readonly cluster: PeerCluster;
  readonly origin: OracleOrigin;
  readonly path: string;
  readonly digest: string;
}

/** Has the first node keep a page; gives its digest. */
async function fill(cluster: PeerCluster, origin: OracleOrigin, path: string): Promise<string> {
  if ((await askChecked(cluster, origin, 0, path, SIZE)) !== 'whole')
    throw new Error(`${path}: not filled`);
  return (await eventually('the row', () => entryRows(cluster.node(0), path)[0])).digest;
}

/** Every node has the right body again, and one alarm was raised in all. */
async function expectHealed({ cluster, origin, path, digest }: Damage): Promise<void> {
  for (const index of cluster.nodes.keys()) {
    if ((await askChecked(cluster, origin, index, path, SIZE)) !== 'whole')
      throw new Error(`${path}: node ${index} has no whole body`);
  }
  const alarms = cluster.nodes.flatMap(({ log }) =>
    log.filter((line) => line['digest'] === digest && line.msg.includes('unusable')),
  );
  if (alarms.length !== 1) throw new Error(`${path}: ${alarms.length} alarms`);
}

/** Tells one file at a path from another that took its place. */
async function markOf(path: string): Promise<string | undefined> {
  const found = await lstat(path).catch(() => undefined);
  return found && `${found.ino} ${found.mtimeMs}`;
}

async function within(ms: number, what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`after ${ms} ms not yet: ${what}`);
    await pause(5);
  }
}
