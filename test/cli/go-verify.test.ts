import { expect } from 'chai';
import { type SumdbRow, sumdbRow } from '../../src/go-schemas.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { GoSumdb } from '../support/go-sumdb-double.ts';
import { goZip } from '../support/go-zip.ts';
import { NodeProcess } from '../support/node-process.ts';

const DB = 'sums.test/db';

describe('caje verify --sumdb', function () {
  this.timeout(60_000);
  let registry: GoRegistry;
  let sumdb: GoSumdb;
  let node: NodeProcess;

  const start = async (rule: object): Promise<NodeProcess> =>
    await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [
          {
            ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
            ...rule,
          },
        ],
      },
    });

  beforeEach(async () => {
    registry = await GoRegistry.start();
    sumdb = new GoSumdb(DB);
    registry.release('example.com/a', 'v1.0.0');
    registry.release('example.com/b', 'v1.0.0');
    sumdb.publish(registry);
    registry.release('example.com/new', 'v1.0.0');
    registry.release('corp.test/own', 'v1.0.0');
    node = await start({ sumdb: [{ name: DB, key: sumdb.key }], noSumdb: 'corp.test/*' });
  });

  afterEach(async () => {
    await node?.[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });

  const populate = async (...modules: readonly string[]): Promise<void> => {
    const args = modules.map((module) => `${module}@v1.0.0`);
    expect((await node.run('populate', '--no-sumdb', ...args)).code).to.equal(0);
  };

  const verify = async (code: number): Promise<SumdbRow[]> => {
    const { stdout, ...result } = await node.run('verify', '--sumdb', '--json');
    expect([result.code, result.stderr]).to.deep.equal([code, '']);
    const rows = stdout.split('\n').filter((line) => line !== '');
    return rows.map((row) => sumdbRow.parse(JSON.parse(row)));
  };

  const said = (rows: readonly SumdbRow[]): string[] =>
    rows.map(({ module, file, outcome }) => `${module} ${file} ${outcome}`).sort();

  it('tells what is right, not known and private, in a running node and without one', async () => {
    await populate('example.com/a', 'example.com/new', 'corp.test/own');
    for (const running of [true, false]) {
      if (!running) await node.stop();
      const rows = await verify(0);
      expect(said(rows)).to.deep.equal([
        ...['mod skipped', 'zip skipped'].map((what) => `corp.test/own ${what}`),
        ...['mod ok', 'zip ok'].map((what) => `example.com/a ${what}`),
        ...['mod unknown', 'zip unknown'].map((what) => `example.com/new ${what}`),
      ]);
      const zip = rows.find(({ file, outcome }) => file === 'zip' && outcome === 'ok');
      expect(zip?.h1).to.match(/^h1:.{44}$/);
      expect(zip?.expected).to.equal(zip?.h1);
    }
    const { stdout } = await node.run('verify', '--sumdb');
    expect(stdout).to.equal(
      '2 as the checksum database says, 0 mismatched, 2 unknown to it, 0 not verified, 2 private and left out\n',
    );
    const lookups = registry.requests.filter((path) => path.includes('/lookup/'));
    expect(lookups.filter((path) => path.includes('corp.test'))).to.deep.equal([]);
  });

  it('ends with 1 when a file is another than the database has on record', async () => {
    const files = { 'go.mod': 'module example.com/b\n', 'one.go': 'package evil\n' };
    registry.put('/example.com/b/@v/v1.0.0.zip', goZip('example.com/b', 'v1.0.0', files));
    await populate('example.com/a', 'example.com/b');
    const rows = await verify(1);
    const bad = rows.filter(({ outcome }) => outcome !== 'ok');
    expect(said(bad)).to.deep.equal(['example.com/b zip mismatch']);
    expect(bad[0]?.expected)
      .to.match(/^h1:.{44}$/)
      .and.not.equal(bad[0]?.h1);
    const { code, stdout } = await node.run('verify', '--sumdb');
    expect(code).to.equal(1);
    expect(stdout).to.match(/^mismatch: example.com\/b@v1.0.0 zip: what is kept has h1:/);
  });

  it('says what it could not verify: a database that is away, or that lies', async () => {
    await populate('example.com/a', 'example.com/b');
    registry.put(
      `/sumdb/${DB}/lookup/example.com/b@v1.0.0`,
      String(registry.reply(`/sumdb/${DB}/lookup/example.com/b@v1.0.0`).body).replace(
        /h1:.{5}/,
        'h1:AAAAA',
      ),
    );
    expect(said(await verify(0))).to.deep.equal([
      ...['mod ok', 'zip ok'].map((what) => `example.com/a ${what}`),
      ...['mod unverified', 'zip unverified'].map((what) => `example.com/b ${what}`),
    ]);
    await registry.leave();
    // What was looked up once is kept with its proof.
    const { code, stdout } = await node.run('verify', '--sumdb');
    expect(code).to.equal(0);
    expect(stdout).to.include('unverified: example.com/b@v1.0.0 zip: ');
    expect(stdout).to.include('2 as the checksum database says, 0 mismatched');
  });

  it('refuses what cannot be compared, and options that mean nothing together', async () => {
    await using keyless = await start({ sumdb: [{ name: DB }] });
    await using without = await start({ sumdb: [] });
    for (const [of, args, words] of [
      [keyless, ['--sumdb'], /no key is known for checksum database "sums.test\/db"/],
      [without, ['--sumdb'], /rule go passes no checksum database through/],
      [node, ['--sumdb', '--rule', 'goo'], /rule "goo" is not in the configuration/],
      [node, ['--sumdb', '--storage', 'local'], /--storage does not go with --sumdb/],
      [node, ['--rule', 'go'], /--rule goes with --sumdb/],
    ] as const) {
      const { code, stdout, stderr } = await of.run('verify', ...args);
      expect([code, stdout], args.join(' ')).to.deep.equal([2, '']);
      expect(stderr).to.match(words);
    }
  });
});
