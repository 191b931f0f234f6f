import { MANIFEST_SCHEMA } from '../../../src/manifest/schema.ts';
import { eventually } from '../../criteria/eventually.ts';
import { queryManifest } from '../../criteria/node-files.ts';
import { NEWER_SCHEMA, NEWER_VERSION_ENV, SCHEMA } from '../../support/newer-version.ts';
import { OracleOrigin } from '../../support/oracle-origin.ts';
import { CLUSTER_HOST, PeerCluster } from '../../support/peer-cluster.ts';
import { s3ServerMissing, startS3Server } from '../../support/s3-server.ts';
import { pathOwnedBy } from '../cluster-keys.ts';
import { counterOf } from '../journal-asks.ts';
import type { SoakRow, SoakRun } from '../soak-row.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const SIZE = 5_000;
/** Requests for each page: where it is filled, and then on every node. */
const ASKS = 4;
const LANES = 4;
const PATIENCE_MS = 60_000;
/** The first node writes; the second is of the next version, and writes after half of the requests. */
const NEWER = 1;
/** Columns that both versions have, what sums them up and what is each node's own aside. */
const SHARED = 'nsid, key, variant, rule, url, status, digest, size, first_seen_at, jid, deleted';

/** Nodes of two versions. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-106',
    title:
      'nodes of two versions, one migration apart, read and serve each other’s rows, whichever of them is the primary',
    quick: 60,
    full: 50_000,
    obstacle: async () => await Promise.resolve(s3ServerMissing()),
    run: twoVersions,
  },
];

async function twoVersions(run: SoakRun): ReturnType<SoakRow['run']> {
  await using origin = await OracleOrigin.start({ seed: run.seed });
  await using server = await startS3Server();
  const bucket = await server.createBucket();
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  const peers: string[] = [];
  await using cluster = await PeerCluster.start({
    originUrl: origin.url,
    env: (index) => (index === NEWER ? NEWER_VERSION_ENV : {}),
    seenAs: async (url, index) => {
      peers[index] = url;
      return await Promise.resolve(url);
    },
    cluster: (index) => (index === 0 ? {} : { primary: peers[0] }),
    config: (index) => ({
      // What one node filled, the others have by its row alone.
      storage: {
        local: {
          ...{ type: 's3', endpoint, region, bucket, forcePathStyle: true },
          credentials: { accessKeyId, secretAccessKey },
        },
      },
      manifest: { replication: 'journal', lock: { type: index === 0 ? 'local' : 'peer' } },
    }),
  });
  for (const [index, node] of cluster.nodes.entries()) {
    const wanted = index === NEWER ? NEWER_SCHEMA : SCHEMA;
    await eventually('its schema', () => versionOf(node) === wanted);
  }
  const pages = Math.ceil(run.cases / ASKS);
  const half = await tryCases({ ...run, cases: Math.floor(pages / 2), lanes: LANES }, page);
  const promoted = await cluster.node(NEWER).run('primary', 'promote', '--json');
  if (promoted.code !== 0) throw new Error(`promote: ${promoted.stderr}`);
  const rest = await tryCases(
    { ...run, cases: pages - half.cases, lanes: LANES },
    async (number) => await page(half.cases + number),
  );
  const asked = {
    passed: ASKS * (half.passed + rest.passed),
    cases: ASKS * (half.cases + rest.cases),
  };
  return await alsoTry(asked, run, async () => {
    await eventually(
      'equal rows',
      () => {
        const all = cluster.nodes.map((node) => JSON.stringify(rowsOf(node)));
        return all.every((text) => text === all[0]);
      },
      PATIENCE_MS,
    );
    const keys = rowsOf(cluster.node(0));
    if (keys.length !== pages) throw new Error(`${keys.length} rows of ${pages}`);
    if (queryManifest(cluster.node(NEWER), FILLED).length === 0)
      throw new Error('the newer version wrote nothing into its column');
    for (const node of cluster.nodes) {
      const corrupt = await counterOf(node, 'corrupt_rows_total');
      const dropped = await counterOf(node, 'changes_dropped_total');
      if (corrupt !== 0 || dropped !== 0)
        throw new Error(`${corrupt} rows did not fit their sum, ${dropped} were dropped`);
    }
    for (const node of cluster.nodes) await node.stop();
  });

  async function page(number: number): Promise<void> {
    // Its owner alone writes it.
    const filling = number % cluster.nodes.length;
    const path = pathOwnedBy(cluster, filling, number, `size=${SIZE}`);
    await ask(filling, path);
    for (const index of cluster.nodes.keys()) {
      await eventually(
        `the row of ${path} on node ${index}`,
        () => queryManifest(cluster.node(index), ROW, `%${CLUSTER_HOST}${path}`).length,
        PATIENCE_MS,
      );
      if ((await ask(index, path)) !== 'HIT') throw new Error(`${path}: no hit on node ${index}`);
    }
    const { requests } = origin.counts(path);
    if (requests !== 1) throw new Error(`${path}: ${requests} requests`);
  }

  async function ask(index: number, path: string): Promise<string> {
    const { status, body, headers } = await cluster.get(index, path);
    if (status !== 200) throw new Error(`${path}: node ${index} answered ${status}`);
    const check = origin.check(path, { size: SIZE });
    check.write(body);
    check.end();
    return headers.get('X-Cache') ?? '';
  }
}

const FILLED = 'SELECT jid FROM entries WHERE later IS NOT NULL LIMIT 1';
const ROW = 'SELECT jid FROM entries WHERE key LIKE ?';

type DataFolder = Parameters<typeof queryManifest>[0];

function rowsOf(node: DataFolder): unknown[] {
  return queryManifest(node, `SELECT ${SHARED} FROM entries ORDER BY nsid, key, variant`);
}

function versionOf(node: DataFolder): number {
  const sql = 'SELECT version FROM schema_versions WHERE name = ?';
  return queryManifest<{ version: number }>(node, sql, MANIFEST_SCHEMA)[0]?.version ?? 0;
}
