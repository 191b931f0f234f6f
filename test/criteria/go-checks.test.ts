import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { goModHash } from '../../src/gomod/dirhash.ts';
import { inspectModuleZip } from '../../src/gomod/zip-hash.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { buildZip, goZip } from '../support/go-zip.ts';
import { HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { SumdbLog, SumdbServer, sumdbSigner } from '../support/sumdb.ts';
import { eventually } from './eventually.ts';
import { entryRows } from './node-files.ts';
import { xCache } from './site.ts';

const MODULE = 'checked.example.org/m';
const AT = `${MODULE}/@v/`;
const RULE = { name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' };

async function hashOf(zip: Buffer, version: string): Promise<string> {
  const inspection = inspectModuleZip({ module: MODULE, version });
  await inspection.write(zip);
  return (await inspection.end()).h1 ?? '';
}

// B24, G10, DESIGN: hashes are computed while bodies pass, and what a client would refuse is not kept.
describe('checks of what modules are made of', function () {
  this.timeout(60_000);

  let registry: GoRegistry;
  let client: HttpClient;
  let node: NodeProcess;
  let sumdb: SumdbServer;
  let log: SumdbLog;

  beforeEach(async () => {
    registry = await GoRegistry.start();
    client = new HttpClient();
    log = new SumdbLog(sumdbSigner('sums.example.org'));
    sumdb = await SumdbServer.start(log);
  });
  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    await node[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    await sumdb[Symbol.asyncDispose]();
  });

  const start = async (rule: Readonly<Record<string, unknown>>): Promise<void> => {
    const sums = { name: log.signer.name, url: sumdb.url, key: log.signer.key };
    node = await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [{ ...RULE, sumdb: [sums], ...rule }],
      },
    });
  };
  const get = async (path: string): ReturnType<HttpClient['getCut']> =>
    await client.getCut(`${node.url}/go/${path}`);
  const record = async (version: string, zip: Buffer, mod: string): Promise<void> => {
    const lines = [
      `${MODULE} ${version} ${await hashOf(zip, version)}\n`,
      `${MODULE} ${version}/go.mod ${goModHash(Buffer.from(mod))}\n`,
    ];
    log.add(MODULE, version, lines.join(''));
  };

  it('stores the h1 of a zip and a go.mod beside their digest', async () => {
    await start({});
    registry.release(MODULE, 'v1.0.0');
    const zip = registry.reply(`/${AT}v1.0.0.zip`).body as Buffer;
    for (const kind of ['zip', 'mod', 'info']) await get(`${AT}v1.0.0.${kind}`);
    const h1 = async (kind: string): Promise<string | null | undefined> =>
      (await eventually(kind, () => entryRows(node, `${AT}v1.0.0.${kind}`)[0])).h1;
    expect(await h1('zip')).to.equal(await hashOf(zip, 'v1.0.0'));
    expect(await h1('mod')).to.equal(goModHash(Buffer.from(`module ${MODULE}\n`)));
    expect(await h1('info')).to.equal(null);
  });

  it('B24: a zip that the go command would refuse reaches the client whole and is put aside', async () => {
    await start({});
    const bad = goZip(MODULE, 'v9.9.9', {
      'go.mod': 'module m\n',
      'big.bin': randomBytes(200_000),
    });
    registry.put(`/${AT}v1.0.0.zip`, bad);
    for (const round of [1, 2]) {
      const answer = await get(`${AT}v1.0.0.zip`);
      expect([answer.status, answer.error, answer.body.equals(bad)]).to.deep.equal([
        200,
        undefined,
        true,
      ]);
      expect(registry.asked('.zip')).to.equal(round);
      await eventually('a count', async () => (await node.counters())['put_aside_total'] === round);
    }
    expect(entryRows(node, '.zip')).to.deep.equal([]);
    // Nothing is pinned: a good one is taken at once.
    registry.release(MODULE, 'v1.0.0');
    expect((await get(`${AT}v1.0.0.zip`)).status).to.equal(200);
    await eventually('its row', () => entryRows(node, '.zip')[0]);
    expect(xCache(await get(`${AT}v1.0.0.zip`))).to.equal('HIT');
    await eventually('a line that names it', () =>
      node.log.some(({ problem }) => String(problem).includes(`${MODULE}@v1.0.0/`)),
    );
  });

  it('a lookup with a wrong signature passes and is not kept, a right one is', async () => {
    await start({});
    await record('v1.0.0', goZip(MODULE, 'v1.0.0', { 'go.mod': '' }), '');
    const path = `sumdb/${log.signer.name}/lookup/${MODULE}@v1.0.0`;
    sumdb.spoil = (_, body) => body && Buffer.from(String(body).replace(/(— \S+ .{20})./, '$1A'));
    const wrong = await get(path);
    expect(wrong.status).to.equal(200);
    await eventually('a count', async () => (await node.counters())['put_aside_total'] === 1);
    sumdb.spoil = undefined;
    const right = await get(path);
    expect(right.body.equals(wrong.body)).to.equal(false);
    await eventually('its row', () => entryRows(node, '@v1.0.0')[0]);
    expect(xCache(await get(path))).to.equal('HIT');
  });

  for (const checkSums of ['verify', 'require']) {
    it(`checkSums: ${checkSums}: the last byte of what differs from the database never leaves`, async () => {
      await start({ checkSums });
      registry.release(MODULE, 'v1.0.0');
      const zip = registry.reply(`/${AT}v1.0.0.zip`).body as Buffer;
      await record('v1.0.0', zip, `module ${MODULE}\n`);
      for (const kind of ['zip', 'mod']) {
        expect((await get(`${AT}v1.0.0.${kind}`)).status).to.equal(200);
        await eventually('its row', () => entryRows(node, `v1.0.0.${kind}`)[0]);
      }
      const other = goZip(MODULE, 'v1.1.0', { 'go.mod': `module ${MODULE}\n`, 'evil.go': 'x' });
      registry.release(MODULE, 'v1.1.0', { go: 'package good\n' });
      const good = registry.reply(`/${AT}v1.1.0.zip`).body as Buffer;
      await record('v1.1.0', good, `module ${MODULE}\n`);
      registry.put(`/${AT}v1.1.0.zip`, other);
      const refused = await get(`${AT}v1.1.0.zip`);
      expect(refused.status !== 200 || refused.error !== undefined, 'no clean end').to.equal(true);
      expect(refused.body.length).to.be.lessThan(other.length);
      expect((await node.counters())['sumdb_mismatch_total']).to.equal(1);
      expect(entryRows(node, 'v1.1.0.zip')).to.deep.equal([]);
      registry.put(`/${AT}v1.1.0.zip`, good);
      expect((await get(`${AT}v1.1.0.zip`)).body.equals(good)).to.equal(true);
    });

    it(`checkSums: ${checkSums}: a database that is away or knows nothing ${checkSums === 'verify' ? 'stops nobody' : 'stops what it cannot vouch for'}`, async () => {
      await start({ checkSums, noSumdb: 'hidden.example.org' });
      registry.release(MODULE, 'v1.0.0');
      registry.release('hidden.example.org/m', 'v1.0.0');
      await record('v0.9.0', goZip(MODULE, 'v0.9.0', { 'go.mod': '' }), '');
      const clean = async (path: string): Promise<boolean> => {
        const { status, error } = await get(path);
        return status === 200 && error === undefined;
      };
      expect(await clean(`${AT}v1.0.0.mod`), 'unknown').to.equal(checkSums === 'verify');
      sumdb.spoil = () => 500;
      expect(await clean(`${AT}v1.0.0.zip`), 'away').to.equal(checkSums === 'verify');
      expect(await clean('hidden.example.org/m/@v/v1.0.0.zip'), 'hidden').to.equal(true);
    });
  }

  it('checkSums: require: a zip whose hash cannot be told does not leave whole, one that clients refuse does', async () => {
    await start({ checkSums: 'require' });
    const prefix = `${MODULE}@v1.0.0/`;
    // Clients go by the directory, which is right.
    const lies = { packed: 4_000 };
    const zip = buildZip([
      { name: `${prefix}go.mod`, content: `module ${MODULE}\n` },
      { name: `${prefix}a.go`, content: randomBytes(5_000), local: lies },
      { name: `${prefix}b.bin`, content: randomBytes(4 * 1024 * 1024) },
    ]);
    registry.put(`/${AT}v1.0.0.zip`, zip);
    const odd = await get(`${AT}v1.0.0.zip`);
    expect(odd.status !== 200 || odd.error !== undefined, 'no clean end').to.equal(true);
    registry.put(`/${AT}v1.1.0.zip`, 'this is no zip');
    expect(String((await get(`${AT}v1.1.0.zip`)).body)).to.equal('this is no zip');
    expect(entryRows(node, '.zip')).to.deep.equal([]);
  });

  it('checkSums asks no database about the versions that are private', async () => {
    const modules = [{ match: MODULE, versions: '>=v2.0.0', private: true }];
    await start({ checkSums: 'verify', modules });
    for (const version of ['v1.0.0', 'v2.0.0+incompatible']) {
      registry.release(MODULE, version);
      await get(`${AT}${version}.mod`);
    }
    const about = (version: string): number =>
      sumdb.requests.filter((path) => path.endsWith(`@${version}`)).length;
    expect([about('v1.0.0'), about('v2.0.0+incompatible')]).to.deep.equal([1, 0]);
  });

  it('checkSums without a key: exit 1 that says so', async () => {
    await start({});
    const started = NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [{ ...RULE, checkSums: 'verify', sumdb: [{ name: 'sums.example.org' }] }],
      },
    });
    const failure = await started.then(
      () => undefined,
      (error: unknown) => String(error),
    );
    expect(failure).to.contain('give sums.example.org its key, name+hash+key');
  });
});
