import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HttpClient } from '../../support/http-client.ts';
import { NodeProcess } from '../../support/node-process.ts';
import { OracleOrigin } from '../../support/oracle-origin.ts';
import { patience } from '../../support/patience.ts';
import { freeUrls } from '../../support/peer-cluster.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause } from '../soak-site.ts';
import { tryCases } from '../try-cases.ts';

/** Nodes in a row: enough for a chain that is too long. */
const NODES = 5;
/** Longest time that a loop may take, and what a busy machine may add. Milliseconds. */
const LOOP_MS = 1_000;
const SLACK_MS = 4_000;
const QUIET_MS = 300;

/** Ways that a request may go round, or go on for too long. */
interface Way {
  readonly host: string;
  readonly status: number;
  /** Most requests that nodes may see. */
  readonly requests: number;
  /** Nodes that may be asked first. */
  readonly entries: number;
  /** Fetcher of a node. */
  fetch(node: number): string;
}

const WAYS: readonly Way[] = [
  {
    host: 'two.test',
    status: 508,
    requests: 3,
    entries: 2,
    fetch: (node) => `peer${(node + 1) % 2}`,
  },
  {
    host: 'three.test',
    status: 508,
    requests: 4,
    entries: 3,
    fetch: (node) => `peer${(node + 1) % 3}`,
  },
  { host: 'self.test', status: 508, requests: 2, entries: NODES, fetch: () => 'self' },
  {
    host: 'chain.test',
    status: 508,
    requests: 4,
    entries: 1,
    fetch: (node) => (node + 1 < NODES ? `peer${node + 1}` : 'site'),
  },
  {
    host: 'short.test',
    status: 200,
    requests: 3,
    entries: 1,
    fetch: (node) => (node < 2 ? `peer${node + 1}` : 'site'),
  },
];

/** Loops between real nodes, and tokens. */
export const rows: readonly SoakRow[] = [
  {
    id: 'H-76',
    title:
      'loops of two and three nodes, a node as its own origin and a chain of five end with 508 at once',
    quick: WAYS.length,
    full: 25,
    quickMs: 240_000,
    run: async (run) => {
      await using origin = await OracleOrigin.start({ seed: run.seed });
      await using folder = await tempFolder();
      const file = join(folder.path, 'token');
      const token = randomBytes(24).toString('hex');
      await writeFile(file, token, { mode: 0o600 });
      const publics = await freeUrls(NODES);
      const peers = await freeUrls(NODES);
      const nodes = await Promise.all(
        peers.map(async (_, node) => {
          const config = configOf({ node, publics, peers, token, file, originUrl: origin.url });
          return await NodeProcess.start({ config, readyMs: 60_000 });
        }),
      );
      await using stack = new AsyncDisposableStack();
      for (const node of nodes) stack.use(node);
      const client = stack.use(new HttpClient());
      return await tryCases(run, async (number, random) => {
        const way = WAYS[number % WAYS.length] as Way;
        const path = `/${number}`;
        const entry = publics[random.integer(0, way.entries - 1)] ?? '';
        await quiet(nodes);
        const before = nodes.map(({ log }) => log.length);
        const from = performance.now();
        const { status, body } = await client.get(entry + path, { headers: { host: way.host } });
        const spent = performance.now() - from;
        if (status !== way.status) throw new Error(`${way.host}: ${status} ${body.toString()}`);
        if (spent > LOOP_MS + SLACK_MS * patience())
          throw new Error(`${way.host}: took ${spent} ms`);
        await quiet(nodes);
        const asked = nodes.flatMap(({ log }, at) =>
          log.slice(before[at]).filter((line) => 'status' in line && 'method' in line),
        );
        if (asked.length > way.requests) throw new Error(`${way.host}: ${asked.length} requests`);
        const { requests } = origin.counts(path);
        if (requests !== (way.status === 200 ? 1 : 0))
          throw new Error(`${way.host}: the origin was asked`);
      });
    },
  },
];

/** Resolves once no node has written a line for a while: what one wrote is read later. */
async function quiet(nodes: readonly NodeProcess[]): Promise<void> {
  const lines = (): number => nodes.reduce((sum, { log }) => sum + log.length, 0);
  for (let before = -1; before !== lines(); ) {
    before = lines();
    await pause(QUIET_MS);
  }
}

interface Place {
  readonly node: number;
  readonly publics: readonly string[];
  readonly peers: readonly string[];
  readonly token: string;
  readonly file: string;
  readonly originUrl: string;
}

function configOf({
  node,
  publics,
  peers,
  token,
  file,
  originUrl,
}: Place): Record<string, unknown> {
  const asPeer = peers.map((url, at) => [`peer${at}`, { type: 'peer', url, token }] as const);
  return {
    listen: { public: hostOf(publics[node]), peer: hostOf(peers[node]) },
    cluster: { tokens: [{ name: 'others', file }] },
    storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
    fetchers: {
      ...Object.fromEntries(asPeer),
      site: { type: 'origin', url: originUrl },
      self: { type: 'origin', url: publics[node] },
    },
    rules: WAYS.map(({ host, fetch }) => ({
      name: host.replace('.', '-'),
      host,
      protocol: 'http',
      preserveHost: true,
      fetch: fetch(node),
    })),
  };
}

function hostOf(url: string | undefined): string {
  return new URL(url ?? '').host;
}
