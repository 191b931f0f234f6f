import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { HaltHelper } from '@caje/litefs';
import { expect } from 'chai';
import { eventually } from '../criteria/eventually.ts';
import { queryFile } from '../criteria/node-files.ts';
import { HttpClient } from '../support/http-client.ts';
import { journalOf } from '../support/litefs-checks.ts';
import { LiteFsCluster, type LiteFsNode, liteFsObstacle } from '../support/litefs-cluster.ts';
import { MANIFEST } from '../support/litefs-writer.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { startWatch } from '../support/populate-watch.ts';
import { skipUnless } from '../support/skip.ts';

const JIDS = 'SELECT jid FROM journal ORDER BY jid';

/** Other processes beside a node on a real LiteFS: none reads on the mount, and none writes the node's own copy. */
describe('processes beside a node on a real LiteFS', function (this: Mocha.Suite) {
  this.timeout(90_000);
  const stack = new AsyncDisposableStack();
  let cluster: LiteFsCluster;
  let origin: OracleOrigin;
  let client: HttpClient;
  let first: NodeProcess;
  let second: NodeProcess;

  before(async function (this: Mocha.Context) {
    const obstacle = liteFsObstacle();
    skipUnless(this, obstacle === undefined, obstacle ?? '', { exempt: true });
    cluster = stack.use(await LiteFsCluster.start({ nodes: 2 }));
    origin = stack.use(await OracleOrigin.start());
    client = stack.use(new HttpClient());
    first = stack.use(await start(cluster.primary));
    second = stack.use(await start(cluster.node(1)));
  });
  after(async () => await stack.disposeAsync());

  const start = async (node: LiteFsNode): Promise<NodeProcess> =>
    await NodeProcess.start({
      readyMs: 60_000,
      config: {
        storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
        fetchers: { site: { type: 'origin', url: origin.url } },
        rules: [{ name: 'site', path: '/*', protocol: 'http', fetch: 'site' }],
        manifest: {
          path: node.path(MANIFEST),
          lock: { type: 'litefs' },
          litefs: { api: node.url, primary: cluster.primary.url },
        },
      },
    });
  const fill = async (node: NodeProcess, path: string): Promise<void> => {
    expect((await client.get(`${node.url}${path}?size=10`)).status).to.equal(200);
    await cluster.primary.until(
      async () => (await journalOf(cluster.primary)).some(({ key }) => key.includes(path)),
      `${path} to be written`,
    );
  };

  it('follow the manifest in a copy of their own, as the node does in its', async () => {
    await fill(first, '/before');
    await using watch = startWatch(second);
    const copies = ['', '-2'].map((suffix) => join(second.dataDir, `manifest-mirror${suffix}.db`));
    await eventually('two copies', () =>
      copies.every((path) => {
        try {
          return queryFile(path, JIDS).length > 0;
        } catch {
          return false;
        }
      }),
    );
    for (let count = 0; count < 10; count++) {
      await fill(first, `/there-${count}`);
      await fill(second, `/here-${count}`);
    }
    await eventually('what the other node made to be fetched', () =>
      [...Array(10).keys()].every((count) =>
        watch.told.some(({ key }) => key.includes(`/there-${count}`)),
      ),
    );
    const jids = (await journalOf(cluster.primary)).map(({ jid }) => ({ jid }));
    for (const path of copies)
      await eventually(`${path} to be whole`, () => {
        const found = queryFile<{ jid: number }>(path, JIDS);
        if (found.length < jids.length) return false;
        expect(found).to.deep.equal(jids);
        return true;
      });
    expect(watch.process.exitCode).to.equal(null);
    expect(await watch.end('SIGTERM')).to.equal(0);
  });

  it('back the manifest up while another node holds HALT', async () => {
    await fill(first, '/kept');
    const rows = (await journalOf(cluster.primary)).length;
    await cluster.inStep(MANIFEST);
    await using helper = new HaltHelper(`${cluster.node(1).path(MANIFEST)}-lock`, { mode: 'wait' });
    expect(await helper.lock()).to.equal(0);
    const backup = join(first.folder, 'backup');
    const began = performance.now();
    const { code, stderr } = await first.runWith({}, 'backup', backup);
    const took = performance.now() - began;
    // It was held all the time.
    expect(took).to.be.lessThan(20_000);
    expect(await helper.unlock()).to.equal(0);
    expect({ code, stderr }).to.include({ code: 0 });
    const folder = join(backup, 'manifests');
    const [copy = ''] = await readdir(folder);
    expect(queryFile(join(folder, copy), JIDS)).to.have.length(rows);
  });
});
