import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PEER_PROTOCOL } from '../../../src/fetchers/peer-protocol.ts';
import { rendezvous } from '../../../src/fetchers/rendezvous.ts';
import { eventually } from '../../criteria/eventually.ts';
import { type FakeNode, NODE_TOKEN, startNode } from '../../fetchers/fake-node.ts';
import { HttpClient } from '../../support/http-client.ts';
import { NodeProcess } from '../../support/node-process.ts';
import { OracleOrigin } from '../../support/oracle-origin.ts';
import { patience } from '../../support/patience.ts';
import { CLUSTER_HOST, freeUrls } from '../../support/peer-cluster.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import type { SoakRow } from '../soak-row.ts';
import { tryCases } from '../try-cases.ts';

/** What an owner that is of no use may cost, and what a busy machine may add. Milliseconds. */
const COST_MS = 500;
const SLACK_MS = 2_000;

/** Ways in which the other node is of no use. */
const FAULTS: Readonly<Record<string, (node: FakeNode) => void>> = {
  silent: (node) => {
    node.answer = () => {};
  },
  'cutting connections': (node) => {
    node.answer = (_, response) => response.destroy();
  },
  failing: (node) => {
    node.answer = (_, response) => response.writeHead(500).end();
  },
  full: (node) => {
    node.answer = (_, response) => response.writeHead(503).end();
  },
  'answering garbage': (node) => {
    node.answer = (_, response) => void response.socket?.end('garbage\r\n\r\n');
  },
  'another version': (node) => {
    node.node = { ...node.node, protocol: PEER_PROTOCOL + 1 };
  },
  'refusing the token': (node) => {
    node.answer = (_, response) => response.writeHead(401).end();
  },
};

/** An owner that is of no use. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-49',
    title:
      'with an owner that is silent, full, failing, of another version or strange, the origin answers, 500 ms later at most',
    quick: Object.keys(FAULTS).length,
    full: 100,
    run: async (run) => {
      await using stack = new AsyncDisposableStack();
      const origin = stack.use(await OracleOrigin.start({ seed: run.seed }));
      const folder = stack.use(await tempFolder());
      const other = stack.use(await startNode('f'));
      const client = stack.use(new HttpClient());
      const file = join(folder.path, 'token');
      await writeFile(file, NODE_TOKEN, { mode: 0o600 });
      const [own = ''] = await freeUrls(1);
      const node = stack.use(
        await NodeProcess.start({
          config: {
            listen: { public: '127.0.0.1:0', peer: new URL(own).host },
            cluster: {
              tokens: [{ name: 'all', file }],
              token: { file },
              nodes: [own, other.url],
            },
            storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
            fetchers: { site: { type: 'origin', url: origin.url } },
            rules: [{ name: 'site', host: CLUSTER_HOST, protocol: 'http', fetch: 'site' }],
          },
        }),
      );
      const selfId = readFileSync(join(node.dataDir, 'node-id'), 'utf8').trim();
      const members = [{ id: selfId }, { id: other.id }];
      const sound = { node: other.node, answer: other.answer };
      return await tryCases(run, async (number) => {
        const [what, spoil] = Object.entries(FAULTS)[number % Object.keys(FAULTS).length] ?? [];
        Object.assign(other, sound);
        const path = ownedBy(members, other.id, number);
        await eventually('the other node in use', async () => {
          const before = other.asked.length;
          other.answer = (_, response) => response.writeHead(504, { 'Caje-Miss': '1' }).end();
          const probe = ownedBy(members, other.id, number, `probe-${before}-${performance.now()}`);
          await client.get(node.url + probe, { headers: { host: CLUSTER_HOST } });
          return other.asked.length > before;
        });
        spoil?.(other);
        const from = performance.now();
        const answer = await client.get(node.url + path, { headers: { host: CLUSTER_HOST } });
        const spent = performance.now() - from;
        const check = origin.check(path);
        check.write(answer.body);
        check.end();
        if (spent > COST_MS + SLACK_MS * patience()) throw new Error(`${what}: took ${spent} ms`);
        const { requests } = origin.counts(path);
        if (requests !== 1) throw new Error(`${what}: ${requests} requests`);
      });
    },
  },
];

/** A path that the node of this id owns. */
function ownedBy(
  members: readonly { readonly id: string }[],
  id: string,
  number: number,
  name = 'key',
): string {
  for (let more = 0; ; more++) {
    const path = `/${name}-${number}-${more}`;
    const key = `web\nhttp://${CLUSTER_HOST}${path}`;
    if (rendezvous(members, key)[0]?.id === id) return path;
  }
}
