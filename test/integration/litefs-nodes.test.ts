import { HaltHelper } from '@caje/litefs';
import { expect } from 'chai';
import { openDatabase } from '../../src/sqlite/open-database.ts';
import { HttpClient } from '../support/http-client.ts';
import { auditCluster, journalOf } from '../support/litefs-checks.ts';
import { LiteFsCluster, type LiteFsNode, liteFsObstacle } from '../support/litefs-cluster.ts';
import { MANIFEST } from '../support/litefs-writer.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { skipUnless } from '../support/skip.ts';

/** Until what was lost must be in use again, without a restart of the node (F-59). */
const BACK_MS = 10_000;
const READY_MS = 60_000;

/** Whole nodes on the mounts of a real LiteFS: criterion M14; litefs.md 9, tests 11 and 12; F-52, F-59. */
describe('nodes on a real LiteFS', function (this: Mocha.Suite) {
  this.timeout(90_000);
  let cluster: LiteFsCluster;
  let origin: OracleOrigin;
  let client: HttpClient;
  let nodes: NodeProcess[];

  before(async function (this: Mocha.Context) {
    const obstacle = liteFsObstacle();
    skipUnless(this, obstacle === undefined, obstacle ?? '', { exempt: true });
    [cluster, origin] = await Promise.all([
      LiteFsCluster.start({ nodes: 2 }),
      OracleOrigin.start(),
    ]);
    client = new HttpClient();
    nodes = [await start(cluster.primary), await start(cluster.node(1))];
  });
  after(async () => {
    for (const node of nodes ?? []) await node[Symbol.asyncDispose]();
    await client?.[Symbol.asyncDispose]();
    await origin?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const start = async (node: LiteFsNode): Promise<NodeProcess> =>
    await NodeProcess.start({
      readyMs: READY_MS,
      config: {
        fetchers: { site: { type: 'origin', url: origin.url } },
        rules: [{ name: 'site', path: '/*', protocol: 'http', fetch: 'site' }],
        manifest: {
          path: node.path(MANIFEST),
          lock: { type: 'auto' },
          onWedge: 'exit',
          litefs: { api: node.url, primary: cluster.primary.url },
        },
      },
    });
  const nodeAt = (index: number): NodeProcess => nodes[index] as NodeProcess;
  const get = async (node: NodeProcess, path: string): Promise<string> => {
    const { status, headers } = await client.get(node.url + path);
    return `${status} ${headers.get('x-cache')}`;
  };
  const isReady = async (node: NodeProcess): Promise<boolean> =>
    (await client.get(`${node.url}/_caje/readyz`)).status === 200;
  /** Resolves once a page is in the journal of the primary. */
  const written = async (path: string): Promise<void> =>
    await cluster.primary.until(
      async () => (await journalOf(cluster.primary)).some(({ key }) => key.includes(path)),
      `${path} to be written`,
      BACK_MS,
    );

  it('find out that they lie on LiteFS, and write from either node what both have (M14)', async () => {
    for (const [index, node] of nodes.entries()) {
      expect(await get(node, `/by-${index}?size=10`)).to.equal('200 MISS');
      await written(`/by-${index}`);
    }
    await auditCluster(cluster);
    expect(await isReady(nodeAt(0))).to.equal(true);
  });

  it('answer what they have while the LiteFS below is killed, and write again after its return (T-12, F-59)', async () => {
    const replica = cluster.node(1);
    const node = nodeAt(1);
    await get(node, '/kept?size=10');
    await written('/kept');
    await replica.kill9();
    expect(await get(node, '/kept?size=10')).to.equal('200 HIT');
    expect(await get(node, '/while-away?size=10')).to.equal('200 MISS');
    await replica.until(async () => !(await isReady(node)), 'the node to say so');
    await replica.start();
    const back = performance.now();
    await written('/while-away');
    await replica.until(async () => await isReady(node), 'the node to be ready');
    expect(performance.now() - back).to.be.lessThan(BACK_MS);
    await auditCluster(cluster);
  });

  it('answer and pass through while there is no primary, and write once it is back (F-52)', async () => {
    const node = nodeAt(1);
    await cluster.primary.kill9();
    expect(await get(node, '/kept?size=10')).to.equal('200 HIT');
    const asked = performance.now();
    expect(await get(node, '/no-primary?size=10')).to.equal('200 MISS');
    expect(performance.now() - asked).to.be.lessThan(2000);
    await cluster.primary.start();
    await written('/no-primary');
    await auditCluster(cluster);
  });

  it('end with 75 when LiteFS stands still, so that a supervisor starts both again (T-11)', async function (this: Mocha.Context) {
    const [node, replica] = [nodeAt(1), cluster.node(1)];
    await cluster.inStep(MANIFEST);
    await using helper = new HaltHelper(`${replica.path(MANIFEST)}-lock`, { mode: 'wait' });
    // It takes a moment to start.
    expect([await helper.lock(), await helper.unlock()]).to.deep.equal([0, 0]);
    const reader = openDatabase(replica.path(MANIFEST), { readOnly: true });
    reader.exec('BEGIN');
    reader.prepare('SELECT count(*) FROM journal').get();
    await get(nodeAt(0), '/foreign?size=10');
    await written('/foreign');
    const asked = helper.lock().catch(() => {});
    setTimeout(() => reader.close(), 200);
    const timer = setTimeout(() => node.signal('SIGKILL'), 20_000);
    const { code } = await node.ended;
    clearTimeout(timer);
    helper.abandon();
    await asked;
    expect(code).to.equal(75);
    await replica.kill9();
    await replica.start();
    await node.restart();
    expect(await get(node, '/kept?size=10')).to.equal('200 HIT');
  });
});
