import { expect } from 'chai';
import { eventually } from '../criteria/eventually.ts';
import { entryRows } from '../criteria/node-files.ts';
import { badZips, goodZips, type ZipCase } from '../gomod/zip-cases.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';

const MIB = 1024 * 1024;
/** P13: bytes that a node may take beyond what it has when idle, whatever the body's size. */
const GROWTH = 150 * MIB;
/** Milliseconds within which a hit is there, also on a busy machine. */
const HIT_MS = 2_000;
const KEPT = '/kept.example.org/m/@v/v1.0.0.mod';

// Rule 5 and B24: the client judges a zip; the node never changes what it sees, and keeps only what it would take.
describe('Go modules: zips of a hostile upstream', function () {
  this.timeout(60_000);

  let registry: GoRegistry;
  let node: NodeProcess;
  let client: HttpClient;

  before(async () => {
    client = new HttpClient({ connections: 8 });
    registry = await GoRegistry.start();
    node = await NodeProcess.start({
      config: {
        storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [
          {
            ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
            sumdb: [],
          },
        ],
      },
    });
    registry.put(KEPT, 'module kept.example.org/m\n');
    await client.get(`${node.url}/go${KEPT}`);
  });

  after(async () => {
    await node?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    await client?.[Symbol.asyncDispose]();
  });

  /** Lays each zip down as a module of its own and asks for all at once; gives their paths. */
  const pass = async (host: string, zips: readonly ZipCase[]): Promise<string[]> => {
    const asked = zips.map(async ({ title, make }, at) => {
      const module = `${host}/m${at}`;
      const path = `/${module}/@v/v1.0.0.zip`;
      const zip = make(`${module}@v1.0.0/`);
      registry.put(path, zip);
      const answer = await client.get(`${node.url}/go${path}`);
      expect([answer.status, answer.body.equals(zip)], title).to.deep.equal([200, true]);
      return path;
    });
    return await Promise.all(asked);
  };

  it('keeps those that a client takes, however strange', async () => {
    const paths = await pass('good.example.org', goodZips());
    await eventually('all rows', () => entryRows(node, '.zip').length === paths.length);
    for (const path of paths) await client.get(`${node.url}/go${path}`);
    for (const path of paths) expect(registry.asked(path), path).to.equal(1);
  });

  it('passes on those that a client refuses, and keeps none', async () => {
    const bad = badZips();
    const idle = node.memory().rss;
    const passing = pass('bad.example.org', bad);
    for (let time = 0; time < 10; time++) {
      const began = performance.now();
      expect((await client.get(`${node.url}/go${KEPT}`)).headers.get('X-Cache')).to.equal('HIT');
      expect(performance.now() - began).to.be.below(HIT_MS);
    }
    const paths = await passing;
    await eventually(
      'every verdict',
      async () => (await node.counters())['put_aside_total'] === paths.length,
    );
    expect(entryRows(node).filter(({ key }) => key.startsWith('bad.'))).to.deep.equal([]);
    for (const path of paths) await client.get(`${node.url}/go${path}`);
    for (const path of paths) expect(registry.asked(path), path).to.equal(2);
    expect(node.memory().peak - idle).to.be.below(GROWTH);
  });
});
