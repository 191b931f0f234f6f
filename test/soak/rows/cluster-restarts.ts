import { eventually } from '../../criteria/eventually.ts';
import { expectSound } from '../../support/auditor.ts';
import { Balancer } from '../../support/balancer.ts';
import type { HttpClient } from '../../support/http-client.ts';
import { OracleOrigin } from '../../support/oracle-origin.ts';
import { CLUSTER_HOST, PeerCluster } from '../../support/peer-cluster.ts';
import { Random } from '../../support/random.ts';
import type { SoakRow, SoakRun } from '../soak-row.ts';
import { alsoTry } from '../try-cases.ts';

const KEYS = 60;
const SIZE = 20_000;
const CLIENTS = 8;
/** One request in so many is for something that nobody asked for before. */
const COLD = 20;
/** What of the hit ratio before has to be there after. */
const SHARE = 0.95;
/** A node that stops says so for this long before it takes no more connections. */
const NOT_READY = '2s';

/** Restarts of all nodes, one after the other, under load. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-105',
    title:
      'a rolling restart of three nodes behind a balancer fails no request, and what was a hit is one after it',
    quick: 1_500,
    full: 100_000,
    quickMs: 240_000,
    run: rollingRestart,
  },
];

async function rollingRestart(run: SoakRun): ReturnType<SoakRow['run']> {
  await using origin = await OracleOrigin.start({ seed: run.seed });
  await using cluster = await PeerCluster.start({
    originUrl: origin.url,
    config: { drain: { notReady: NOT_READY } },
  });
  await using balancer = await Balancer.start(cluster.nodes.map(({ url }) => url));
  await eventually('all nodes ready', () => balancer.ready === cluster.nodes.length);
  const keys = Array.from({ length: KEYS }, (_, number) => `/hot-${number}?size=${SIZE}`);
  const site: Site = { origin, client: cluster.client, url: balancer.url };
  for (const index of cluster.nodes.keys()) for (const key of keys) await cluster.get(index, key);
  const before = await hitRatio(site, keys);

  let sent = 0;
  let failed = 0;
  let rolling = true;
  const random = new Random(run.seed);
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (rolling || sent < run.cases) {
      const number = sent++;
      const key = number % COLD === 0 ? `/cold-${number}?size=${SIZE}` : random.pick(keys);
      try {
        await askWhole(site, key);
      } catch (error) {
        failed++;
        run.log(`request ${number}: ${String(error)}`);
      }
    }
  });
  try {
    do {
      for (const [index, node] of cluster.nodes.entries()) {
        const since = cluster.nodes.map(({ log }) => log.length);
        const { code } = await node.stop();
        if (code !== 0) throw new Error(`a node ended with ${code}:\n${node.lastWords()}`);
        await node.restart();
        await cluster.found(index, since[index]);
        await eventually('all nodes ready', () => balancer.ready === cluster.nodes.length, 60_000);
      }
    } while (sent < run.cases);
  } finally {
    rolling = false;
    await Promise.all(clients);
  }
  run.log(`${sent} requests, ${failed} failed`);
  const result = { passed: sent - failed, cases: sent };
  return await alsoTry(result, run, async () => {
    const after = await hitRatio(site, keys);
    if (after < SHARE * before) throw new Error(`hit ratio ${after}, before ${before}`);
    await Promise.all(cluster.nodes.map(async (node) => await node.kill9()));
    for (const { dataDir } of cluster.nodes) await expectSound({ dataDir, leftovers: true });
  });
}

interface Site {
  readonly origin: OracleOrigin;
  readonly client: HttpClient;
  readonly url: string;
}

/** X-Cache of a whole and right answer. Throws for any other. */
async function askWhole({ origin, client, url }: Site, key: string): Promise<string> {
  const answer = await client.get(url + key, { headers: { host: CLUSTER_HOST } });
  if (answer.status !== 200) throw new Error(`${key}: ${answer.status}`);
  const check = origin.check(key, { size: SIZE });
  check.write(answer.body);
  check.end();
  return answer.headers.get('X-Cache') ?? '';
}

async function hitRatio(site: Site, keys: readonly string[]): Promise<number> {
  let hits = 0;
  for (const key of [...keys, ...keys, ...keys]) if ((await askWhole(site, key)) === 'HIT') hits++;
  return hits / (3 * keys.length);
}
