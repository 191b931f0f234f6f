import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { type FillRow, fillRow } from '../../src/go-schemas.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { GoSumdb } from '../support/go-sumdb-double.ts';
import { NodeProcess } from '../support/node-process.ts';
import { type RunOptions, type RunResult, runCaje } from '../support/run-caje.ts';

const DB = 'sums.test/db';
const SMALL = ['info', 'mod'];
const ALL = ['info', 'mod', 'zip'];

const rowsOf = ({ stdout }: RunResult): FillRow[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => fillRow.parse(JSON.parse(line)));

/** What rows say, such as `example.com/a@v1.0.0 zip fetched`, without those of checksum databases. */
const saidOf = (rows: readonly FillRow[]): string[] =>
  rows
    .filter(({ file }) => ALL.includes(file))
    .map(({ module, version, file, outcome }) => `${module}@${version} ${file} ${outcome}`)
    .sort();

const expected = (outcome: string, versions: Record<string, readonly string[]>): string[] =>
  Object.entries(versions)
    .flatMap(([name, files]) => files.map((file) => `${name} ${file} ${outcome}`))
    .sort();

describe('caje populate', function () {
  this.timeout(90_000);
  let registry: GoRegistry;
  let node: NodeProcess;

  beforeEach(async () => {
    registry = await GoRegistry.start();
    const sumdb = new GoSumdb(DB);
    registry.release('example.com/a', 'v1.0.0', {
      mod: 'module example.com/a\ngo 1.24\nrequire example.com/b v1.1.0\n',
    });
    registry.release('example.com/b', 'v1.0.0');
    registry.release('example.com/b', 'v1.1.0', {
      mod: 'module example.com/b\ngo 1.24\nrequire example.com/deep v1.0.0\n',
    });
    registry.release('example.com/deep', 'v1.0.0');
    registry.release('example.com/Fork', 'v1.0.0', { base: 'example.com/!fork' });
    sumdb.publish(registry);
    node = await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [
          {
            ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
            sumdb: [{ name: DB }],
          },
        ],
      },
    });
  });

  afterEach(async () => {
    await node[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });

  const populate = async (args: readonly string[], options: RunOptions = {}): Promise<RunResult> =>
    await node.runWith(options, 'populate', ...args);

  const write = async (name: string, text: string): Promise<string> => {
    const path = join(node.folder, name);
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, text);
    return path;
  };

  for (const running of [true, false]) {
    it(`fetches once what a list names, ${running ? 'in a running node' : 'without one'}`, async () => {
      if (!running) await node.stop();
      const list = await write(
        'modules.txt',
        '# two\nexample.com/a@v1.0.0\nexample.com/Fork@v1.0.0\n',
      );
      const versions = { 'example.com/a@v1.0.0': ALL, 'example.com/Fork@v1.0.0': ALL };

      const first = await populate([list, '--json']);
      expect([first.code, first.stderr]).to.deep.equal([0, '']);
      const rows = rowsOf(first);
      expect(saidOf(rows)).to.deep.equal(expected('fetched', versions));
      expect(rows.filter(({ file }) => file === 'lookup')).to.have.length(2);
      expect(rows.filter(({ file }) => file === 'tile')).to.have.length(1);
      expect(rows.at(-1)?.wanted).to.equal(rows.length);
      expect(registry.requests).to.have.length(new Set(registry.requests).size);

      registry.requests.length = 0;
      const again = rowsOf(await populate([list, '--json']));
      expect(new Set(again.map(({ outcome }) => outcome))).to.deep.equal(new Set(['kept']));
      expect(registry.requests).to.deep.equal([]);
      const { stdout } = await populate([list]);
      expect(stdout).to.equal(`0 fetched (0 B), ${rows.length} kept already, 0 failed\n`);
      if (!running) await node.restart();
      await registry.leave();
      const answer = await fetch(`${node.url}/go/example.com/!fork/@v/v1.0.0.zip`);
      expect([answer.status, answer.headers.get('x-cache')]).to.deep.equal([200, 'HIT']);
    });
  }

  it('fetches what a build needs: of a go.mod file its requirements and what they reach', async () => {
    const main = await write(
      'go.mod',
      'module example.com/main\ngo 1.24\nrequire (\n\texample.com/a v1.0.0\n)\n',
    );
    expect(saidOf(rowsOf(await populate([main, '--json'])))).to.deep.equal(
      expected('fetched', { 'example.com/a@v1.0.0': ALL, 'example.com/b@v1.1.0': SMALL }),
    );
  });

  it('follows a go.mod file from before pruning all the way, with the zips that are built', async () => {
    const main = await write(
      'go.mod',
      'module example.com/main\nrequire (\nexample.com/a v1.0.0\nexample.com/b v1.0.0\n)\n',
    );
    expect(saidOf(rowsOf(await populate([main, '--json'])))).to.deep.equal(
      expected('fetched', {
        'example.com/a@v1.0.0': ALL,
        'example.com/b@v1.0.0': ALL,
        'example.com/b@v1.1.0': ALL,
        'example.com/deep@v1.0.0': ALL,
      }),
    );
  });

  it('does without versions that never were where no build looks, but not without others', async () => {
    registry.release('example.com/a', 'v1.1.0', {
      mod: 'module example.com/a\ngo 1.24\nrequire example.com/never v0.0.0\n',
    });
    const names = (of: string): string =>
      `module example.com/main\ngo 1.24\nrequire example.com/a v1.1.0\n${of}`;
    const well = await populate([await write('well.mod', names('')), '--json', '--no-sumdb']);
    expect([well.code, saidOf(rowsOf(well))]).to.deep.equal([
      0,
      [
        ...expected('fetched', { 'example.com/a@v1.1.0': ALL }),
        ...expected('absent', { 'example.com/never@v0.0.0': SMALL }),
      ],
    ]);
    const needed = names('require example.com/never v0.0.0\n');
    expect((await populate([await write('needed.mod', needed), '--no-sumdb'])).code).to.equal(1);
  });

  it('takes replacements, folders and exclusions for what they are', async () => {
    await write(
      'local/go.mod',
      'module example.com/local\ngo 1.24\nrequire example.com/deep v1.0.0\n',
    );
    const main = await write(
      'main/go.mod',
      `module example.com/main
go 1.24
require (
	example.com/b v1.0.0
	example.com/gone v1.0.0
	example.com/local v0.0.0
	example.com/out v1.0.0
)
replace example.com/gone => example.com/Fork v1.0.0
replace example.com/local => ../local
exclude example.com/out v1.0.0
`,
    );
    expect(saidOf(rowsOf(await populate([main, '--json'])))).to.deep.equal(
      expected('fetched', {
        'example.com/b@v1.0.0': ALL,
        'example.com/Fork@v1.0.0': ALL,
        'example.com/deep@v1.0.0': SMALL,
      }),
    );
  });

  it('takes a workspace as one build in which its own modules are not fetched', async () => {
    await write('one/go.mod', 'module example.com/one\ngo 1.24\nrequire example.com/two v1.0.0\n');
    await write('two/go.mod', 'module example.com/two\ngo 1.24\nrequire example.com/b v1.0.0\n');
    const work = await write('go.work', 'go 1.24\nuse (\n\t./one\n\t./two\n)\n');
    expect(saidOf(rowsOf(await populate([work, '--json'])))).to.deep.equal(
      expected('fetched', { 'example.com/b@v1.0.0': ALL }),
    );
  });

  it('fetches what a go.sum file has hashes of, from standard input too', async () => {
    const sums =
      'example.com/b v1.0.0 h1:x=\nexample.com/b v1.0.0/go.mod h1:x=\nexample.com/b v1.1.0/go.mod h1:x=\n';
    const versions = { 'example.com/b@v1.0.0': ALL, 'example.com/b@v1.1.0': SMALL };
    const piped = await populate(['-', '--json', '--no-sumdb'], { input: sums });
    expect(saidOf(rowsOf(piped))).to.deep.equal(expected('fetched', versions));
    expect(registry.requests.filter((path) => path.startsWith('/sumdb/'))).to.deep.equal([]);
    const file = await populate([await write('go.sum', sums), '--json']);
    expect(saidOf(rowsOf(file))).to.deep.equal(expected('kept', versions));
  });

  it('fetches nothing in a dry run', async () => {
    await populate(['example.com/b@v1.0.0', '--no-sumdb']);
    registry.requests.length = 0;
    const { code, stdout } = await populate([
      'example.com/b@v1.0.0',
      'example.com/a@v1.0.0',
      '--dry-run',
      '--no-sumdb',
    ]);
    expect(code).to.equal(0);
    expect(stdout.split('\n').filter((line) => line.startsWith('not kept: '))).to.have.length(3);
    expect(stdout).to.include('3 to be fetched, 3 kept already, 0 failed');
    expect(registry.requests).to.deep.equal([]);
  });

  it('reports what is not there or fails, fetches the rest, and ends with 1', async () => {
    registry.put('/example.com/b/@v/v1.0.0.zip', { status: 500, body: 'on fire\n' });
    const { code, stdout } = await populate([
      'example.com/b@v1.0.0',
      'example.com/none@v1.0.0',
      '--json',
    ]);
    expect(code).to.equal(1);
    const rows = rowsOf({ code, stdout, stderr: '' });
    expect(saidOf(rows)).to.deep.equal(
      [
        ...expected('fetched', { 'example.com/b@v1.0.0': SMALL }),
        ...expected('failed', { 'example.com/b@v1.0.0': ['zip'], 'example.com/none@v1.0.0': ALL }),
      ].sort(),
    );
    const problems = rows.flatMap(({ problem }) => problem ?? []);
    expect(problems.filter((problem) => problem.includes('answered 500'))).to.have.length(1);
    expect(
      problems.filter((problem) => problem.startsWith('not found: this registry')),
    ).to.have.length(3);
    const lookups = rows.filter(({ file }) => file === 'lookup');
    expect(lookups.map(({ module, outcome }) => [module, outcome])).to.have.deep.members([
      ['example.com/b', 'fetched'],
      ['example.com/none', 'absent'],
    ]);
  });

  for (const mode of ['async', 'redirect'] as const) {
    it(`fetches what a rule with mode ${mode} leaves to later or to others, and keeps to what it denies`, async () => {
      await node.stop();
      const config = await write(
        `${mode}.yaml`,
        JSON.stringify({
          data: mode,
          fetchers: { modules: { type: 'upstreams', list: registry.url } },
          rules: [
            {
              ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules', mode },
              ...{ sumdb: [], modules: [{ match: 'example.com/b', deny: 'not that one' }] },
            },
          ],
        }),
      );
      const words = ['populate', 'example.com/a@v1.0.0', 'example.com/b@v1.0.0', '--json'];
      const result = await runCaje([...words, '--config', config], { cwd: node.folder });
      expect(result.code).to.equal(1);
      const rows = rowsOf(result);
      expect(saidOf(rows)).to.deep.equal([
        ...expected('fetched', { 'example.com/a@v1.0.0': ALL }),
        ...expected('failed', { 'example.com/b@v1.0.0': ALL }),
      ]);
      expect(new Set(rows.map(({ problem }) => problem))).to.deep.equal(
        new Set([undefined, 'not that one']),
      );
    });
  }

  it('shares what it fetches with clients who ask at the same time', async () => {
    const zip = registry.reply('/example.com/b/@v/v1.0.0.zip').body as Buffer;
    registry.put('/example.com/b/@v/v1.0.0.zip', { body: zip, size: zip.length });
    const url = `${node.url}/go/example.com/b/@v/v1.0.0.zip`;
    const [result, ...answers] = await Promise.all([
      populate(['example.com/b@v1.0.0', '--json']),
      ...Array.from({ length: 8 }, async () => Buffer.from(await (await fetch(url)).arrayBuffer())),
    ]);
    expect(result.code).to.equal(0);
    for (const bytes of answers) expect(bytes.equals(zip)).to.equal(true);
    expect(registry.asked('/b/@v/v1.0.0.zip')).to.equal(1);
  });
});
