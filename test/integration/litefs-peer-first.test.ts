import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { callControl } from '../../src/http/control-client.ts';
import { HttpClient } from '../support/http-client.ts';
import { auditCluster, type JournalLine } from '../support/litefs-checks.ts';
import { LiteFsCluster, type LiteFsNode, liteFsObstacle } from '../support/litefs-cluster.ts';
import { leadBy } from '../support/litefs-lead.ts';
import { MANIFEST } from '../support/litefs-writer.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { freeUrls } from '../support/peer-cluster.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const HOST = 'www.example.com';
/** Until what was lost must be in use again, without a restart of the node. */
const BACK_MS = 15_000;

/** Nodes on a real LiteFS that know each other: `peer` first, `litefs` second (issue 6, DESIGN 6). */
describe('nodes on a real LiteFS that know each other', function (this: Mocha.Suite) {
  this.timeout(120_000);
  const stack = new AsyncDisposableStack();
  let cluster: LiteFsCluster;
  let origin: OracleOrigin;
  let client: HttpClient;
  let folder: TempFolder;
  let urls: string[];
  const nodes: NodeProcess[] = [];

  before(async function (this: Mocha.Context) {
    const obstacle = liteFsObstacle();
    skipUnless(this, obstacle === undefined, obstacle ?? '', { exempt: true });
    cluster = stack.use(await LiteFsCluster.start({ nodes: 3, byAddress: true }));
    origin = stack.use(await OracleOrigin.start());
    folder = stack.use(await tempFolder());
    client = stack.use(new HttpClient());
    await writeFile(join(folder.path, 'token'), randomBytes(24).toString('hex'), { mode: 0o600 });
    urls = await freeUrls(cluster.nodes.length);
    for (const [index, node] of cluster.nodes.entries())
      nodes.push(stack.use(await start(node, index)));
  });
  after(async () => await stack.disposeAsync());

  const start = async (node: LiteFsNode, index: number): Promise<NodeProcess> =>
    await NodeProcess.start({
      readyMs: 60_000,
      config: {
        listen: { public: '127.0.0.1:0', peer: new URL(urls[index] ?? '').host },
        log: { access: false },
        fetchers: { site: { type: 'origin', url: origin.url } },
        rules: [{ name: 'site', host: HOST, protocol: 'http', fetch: 'site' }],
        manifest: {
          path: node.path(MANIFEST),
          lock: { type: 'auto' },
          litefs: { api: node.url, primary: 'http://{hostname}' },
        },
        cluster: {
          tokens: [{ name: 'cluster', file: join(folder.path, 'token') }],
          token: { file: join(folder.path, 'token') },
          nodes: urls,
        },
      },
    });
  const nodeAt = (index: number): NodeProcess => nodes[index] as NodeProcess;
  const ask = async (index: number, call: string, input?: object): Promise<unknown> =>
    await callControl(join(nodeAt(index).dataDir, 'control.sock'), call, input);
  const counter = async (index: number, name: string): Promise<number> =>
    ((await ask(index, 'counters')) as Record<string, number>)[name] ?? 0;
  const get = async (index: number, path: string): Promise<string> => {
    const { status, headers } = await client.get(nodeAt(index).url + path, {
      headers: { host: HOST },
    });
    return `${status} ${headers.get('x-cache')}`;
  };
  const purge = async (index: number, path: string): Promise<unknown> =>
    await ask(index, 'purge', { kind: 'key', value: `http://${HOST}${path}`, soft: false });
  /** The journal, which is the same on all nodes, with these pages in it. */
  const written = async (...paths: readonly string[]): Promise<readonly JournalLine[]> => {
    let journal: readonly JournalLine[] = [];
    await cluster.primary.until(
      async () => {
        journal = await auditCluster(cluster);
        return paths.every((path) => journal.some(({ key }) => key.endsWith(path)));
      },
      `${paths.join(', ')} to be written`,
      BACK_MS,
    );
    return journal;
  };
  /** Resolves once what a replica fills goes to the primary's node. */
  const shipping = async (index: number, name: string): Promise<void> => {
    const before = await counter(index, 'shipped_total{committed}');
    let count = 0;
    await cluster.primary.until(
      async () => {
        await get(index, `/${name}-${count++}?size=10`);
        return (await counter(index, 'shipped_total{committed}')) > before;
      },
      'a change to be handed over',
      BACK_MS,
    );
  };
  /** A purge of a page that all have is durable and holds on the node that was asked at once, and soon on all. */
  const purged = async (index: number, path: string): Promise<void> => {
    await get(index, path);
    await written(path);
    await purge(index, path);
    expect(opsOf(await written(), path)).to.equal('purge delete');
    expect(await get(index, path)).to.equal('200 MISS');
  };

  it('hand changes and purges to the primary, and take no HALT', async () => {
    await shipping(1, 'first');
    await shipping(2, 'second');
    await purged(1, '/gone?size=10');
    const rows = (await ask(1, 'cluster-status')) as {
      status: { lock: string; replication: string };
    }[];
    expect(rows.map(({ status }) => `${status.lock} ${status.replication}`).sort()).to.deep.equal([
      'peer-litefs primary',
      'peer-litefs replica',
      'peer-litefs replica',
    ]);
    for (const index of [1, 2]) {
      expect(await counter(index, 'halt_acquired_total')).to.equal(0);
      expect(await counter(index, 'shipped_total{halt}')).to.equal(0);
    }
    await written();
  });

  it('take HALT while the node of the primary is killed, and hand over once it is back', async () => {
    await nodeAt(0).signal('SIGKILL');
    await purged(1, '/away?size=10');
    expect(await counter(1, 'halt_acquired_total')).to.be.greaterThan(0);
    await nodeAt(0).restart();
    await shipping(1, 'back');
    await written();
  });

  it('take HALT while it does not answer, and what it does later is done once', async () => {
    await shipping(2, 'well');
    void nodeAt(0).signal('SIGSTOP');
    try {
      await purged(2, '/hangs?size=10');
    } finally {
      void nodeAt(0).signal('SIGCONT');
    }
    await shipping(2, 'goes-on');
    expect(opsOf(await written(), '/hangs?size=10')).to.match(/^purge delete( put| refresh)*$/);
  });

  it('follow LiteFS to another primary', async () => {
    await cluster.inStep(MANIFEST);
    await leadBy(cluster.node(1), cluster);
    await shipping(0, 'to-the-next');
    await shipping(2, 'too');
    await purged(0, '/after?size=10');
    expect((await ask(0, 'primary')) as object).to.include({ role: 'replica', url: urls[1] });
    await written();
  });
});

/** What was done to a page since it was put for the first time; each node that keeps it puts it. */
function opsOf(journal: readonly JournalLine[], path: string): string {
  const ops = journal.filter(({ key }) => key.endsWith(path)).map(({ op }) => op);
  return ops.slice(ops.indexOf('purge')).join(' ');
}
