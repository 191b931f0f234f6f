import { join } from 'node:path';
import { BLOCK_SIZE } from '../../../src/body.ts';
import { callControl } from '../../../src/http/control-client.ts';
import { eventually } from '../../criteria/eventually.ts';
import { entryRows } from '../../criteria/node-files.ts';
import { OracleOrigin } from '../../support/oracle-origin.ts';
import { PeerCluster } from '../../support/peer-cluster.ts';
import { TamperingPeer } from '../../support/tampering-peer.ts';
import { askChecked, ownersOf, pathOwnedBy } from '../cluster-keys.ts';
import type { SoakRow } from '../soak-row.ts';
import { tryCases } from '../try-cases.ts';

const CLIENTS = 300;
const BYTES = 300_000;
const LARGE = 2_000_000;
const HALF = LARGE / 2;

/** One fetch for all nodes of a cluster, whatever becomes of the one that fetches. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-82',
    title:
      'a cold key asked 300 times on three nodes at once costs one request, of a fast and a slow origin',
    quick: 3,
    full: 20,
    quickMs: 240_000,
    run: async (run) => {
      await using origin = await OracleOrigin.start({ seed: run.seed });
      await using cluster = await PeerCluster.start({ originUrl: origin.url });
      return await tryCases(run, async (number) => {
        for (const slow of ['', '&delay=1500&rate=200000']) {
          const path = `/${number}?size=${BYTES}${slow}`;
          const asks = Array.from({ length: CLIENTS }, async (_, client) => {
            const got = await askChecked(cluster, origin, client % 3, path, BYTES);
            if (got !== 'whole') throw new Error(`${path}: broke off`);
          });
          await Promise.all(asks);
          expectRequests(origin, path, 1);
        }
      });
    },
  },
  {
    id: 'F-82-killed',
    title:
      'the same with the owner killed half-way: two requests at most, and no short body that ends cleanly',
    quick: 2,
    full: 20,
    quickMs: 240_000,
    run: async (run) => {
      let go: () => void = () => undefined;
      let held: Promise<void> | undefined;
      await using origin = await OracleOrigin.start({
        seed: run.seed,
        // The first fetch stands still, before its head or half-way; the next one does not.
        rule: ({ key }, count) => {
          if (count > 1 || held === undefined) return undefined;
          return key.includes('head') ? { delay: held } : { pause: { at: HALF, until: held } };
        },
      });
      await using cluster = await PeerCluster.start({ originUrl: origin.url });
      return await tryCases(run, async (number) => {
        const waiting = Promise.withResolvers<void>();
        [held, go] = [waiting.promise, waiting.resolve];
        const where = number % 2 === 0 ? 'half' : 'head';
        const path = `/${where}-${number}?size=${LARGE}`;
        const [owner = 0] = ownersOf(cluster, path);
        const others = [0, 1, 2].filter((index) => index !== owner);
        const before = await Promise.all(others.map(async (at) => await countersOf(cluster, at)));
        const asks = Array.from({ length: CLIENTS }, async (_, client) => {
          const index = client % 3;
          const got = await askChecked(cluster, origin, index, path, LARGE);
          if (got === 'whole') return;
          const again = await askChecked(cluster, origin, others[client % 2] ?? 0, path, LARGE);
          if (again !== 'whole') throw new Error(`${path}: broke off twice`);
        });
        await origin.asked(1, path);
        const node = cluster.node(owner);
        await eventually('all clients at work', async () => {
          const counts = await Promise.all(others.map(async (at) => await countersOf(cluster, at)));
          return counts.every(
            ({ joined, fills }, at) =>
              joined - (before[at]?.joined ?? 0) >= CLIENTS / 3 - 1 &&
              fills - (before[at]?.fills ?? 0) >= (where === 'half' ? 1 : 0),
          );
        });
        await node.kill9();
        go();
        await Promise.all(asks);
        const { requests } = origin.counts(path);
        if (requests > 2) throw new Error(`${path}: ${requests} requests`);
        const since = cluster.nodes.map(({ log }) => log.length);
        await node.restart();
        await cluster.found(owner, since[owner]);
        for (const index of others) await cluster.sees(index, owner, since[index] ?? 0);
      });
    },
  },
  {
    id: 'F-28',
    title:
      'what a peer changes on its way is not kept, not sent on where its blocks are known, and had from the origin',
    quick: 6,
    full: 100,
    quickMs: 240_000,
    run: async (run) => {
      await using origin = await OracleOrigin.start({ seed: run.seed });
      let tampering: TamperingPeer | undefined;
      await using cluster = await PeerCluster.start({
        originUrl: origin.url,
        size: 2,
        seenAs: async (url, index) => {
          if (index > 0) return url;
          tampering = await TamperingPeer.start(url);
          return tampering.url;
        },
      });
      await using peer = tampering as unknown as TamperingPeer;
      return await tryCases(run, async (number, random) => {
        const size = random.pick([1_000, 500_000, 3 * BLOCK_SIZE]);
        const offset = random.integer(0, size - 1);
        const path = pathOwnedBy(cluster, 0, number, `size=${size}`);
        peer.offset = undefined;
        if ((await askChecked(cluster, origin, 0, path, size)) !== 'whole')
          throw new Error('owner');
        await eventually('the row', () => entryRows(cluster.node(0), path)[0]);
        peer.offset = offset;
        const first = await askChecked(cluster, origin, 1, path, size);
        // Found before the first byte went out, on a slow machine in any block, the origin answers instead.
        if (first === 'broken' && offset < BLOCK_SIZE)
          throw new Error(`${path}, byte ${offset}: ${first}`);
        if (first === 'broken' && entryRows(cluster.node(1), path).length > 0)
          throw new Error(`${path}: it was kept`);
        if ((await askChecked(cluster, origin, 1, path, size)) !== 'whole')
          throw new Error(`${path}: not had from the origin`);
        expectRequests(origin, path, 2);
      });
    },
  },
];

async function countersOf(
  cluster: PeerCluster,
  index: number,
): Promise<{ readonly joined: number; readonly fills: number }> {
  const path = join(cluster.node(index).dataDir, 'control.sock');
  const counters = (await callControl(path, 'counters')) as Readonly<Record<string, number>>;
  const { fills_joined_total: joined = 0, 'fills_total{owner}': fills = 0 } = counters;
  return { joined, fills };
}

function expectRequests(origin: OracleOrigin, path: string, wanted: number): void {
  const { requests } = origin.counts(path);
  if (requests !== wanted) throw new Error(`${path}: ${requests} requests, not ${wanted}`);
}
