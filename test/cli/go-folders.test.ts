import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { type ExportRow, exportRow, type FillRow, fillRow } from '../../src/go-schemas.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { GoSumdb } from '../support/go-sumdb-double.ts';
import { goZip } from '../support/go-zip.ts';
import { NodeProcess } from '../support/node-process.ts';
import type { RunResult } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const DB = 'sums.test/db';
const COMMIT = 'v0.0.0-20240102030405-abcdefabcdef';

describe('caje export and import', function () {
  this.timeout(90_000);
  let registry: GoRegistry;
  let temp: TempFolder;
  let out: string;
  let full: NodeProcess;
  let empty: NodeProcess;

  const start = async (): Promise<NodeProcess> =>
    await NodeProcess.start({
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

  const lines = ({ stdout }: RunResult): unknown[] =>
    stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as unknown);

  const exported = async (...args: string[]): Promise<ExportRow[]> => {
    const result = await full.run('export', out, '--json', ...args);
    expect([result.code, result.stderr]).to.deep.equal([0, '']);
    return lines(result).map((row) => exportRow.parse(row));
  };

  const imported = async (
    folder: string,
    code: number,
    ...args: string[]
  ): Promise<readonly FillRow[]> => {
    const result = await empty.run('import', folder, '--json', ...args);
    expect(result.code, result.stderr + result.stdout).to.equal(code);
    return lines(result).map((row) => fillRow.parse(row));
  };

  const outcomes = (rows: readonly FillRow[]): Record<string, string> =>
    Object.fromEntries(rows.map(({ path, outcome, problem }) => [path, problem ?? outcome]));

  const filesOf = async (folder: string): Promise<string[]> => {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .sort();
  };

  const lay = async (place: string, bytes: string | Buffer): Promise<void> => {
    await mkdir(dirname(join(out, place)), { recursive: true });
    await writeFile(join(out, place), bytes);
  };

  const get = async (node: NodeProcess, path: string): Promise<Buffer> => {
    const answer = await fetch(`${node.url}/go/${path}`);
    expect(answer.status, path).to.equal(200);
    return Buffer.from(await answer.arrayBuffer());
  };

  before(async () => {
    registry = await GoRegistry.start();
    registry.release('example.com/a', 'v1.9.0');
    registry.release('example.com/a', 'v1.10.0');
    registry.release('example.com/a', COMMIT, { listed: false });
    registry.release('example.com/Team/b', 'v1.0.0', { base: 'example.com/!team/b' });
    registry.release('example.com/Teamwork', 'v1.0.0', {
      base: 'example.com/!teamwork',
      go: `package one\n// ${'large '.repeat(20_000)}\n`,
    });
    new GoSumdb(DB).publish(registry);
    full = await start();
    const names = [...registry.contents.keys()];
    expect((await full.run('populate', ...names)).code).to.equal(0);
    // What changes is not exported: a list, a query.
    for (const path of ['example.com/a/@v/list']) await get(full, path);
  });

  beforeEach(async () => {
    temp = await tempFolder();
    out = join(temp.path, 'modules');
    // From here on everything comes from what is kept.
    await registry.leave();
    empty = await start();
  });

  afterEach(async () => {
    await empty?.[Symbol.asyncDispose]();
    await temp?.[Symbol.asyncDispose]();
  });

  after(async () => {
    await full?.[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });

  it('writes a GOPROXY with lists of its own, and writes only what is missing or damaged', async () => {
    const rows = await exported();
    const places = rows.map(({ path }) => path).sort();
    expect(await filesOf(out)).to.deep.equal(places);
    expect(new Set(rows.map(({ outcome }) => outcome))).to.deep.equal(new Set(['written']));
    const base = `sumdb/${DB}`;
    expect(places).to.include.members([
      ...['info', 'mod', 'zip'].map((file) => `example.com/!team/b/@v/v1.0.0.${file}`),
      ...['supported', 'lookup/example.com/a@v1.9.0', 'tile/8/0/000.p/5'].map(
        (p) => `${base}/${p}`,
      ),
    ]);
    expect(await readFile(join(out, 'example.com/a/@v/list'), 'utf8')).to.equal(
      'v1.9.0\nv1.10.0\n',
    );
    const latest = JSON.parse(await readFile(join(out, 'example.com/a/@latest'), 'utf8')) as object;
    expect(latest).to.include({ Version: 'v1.10.0' });
    for (const path of places.filter((place) => /\.(?:zip|mod|info)$/.test(place)))
      expect(await readFile(join(out, path)), path).to.deep.equal(
        Buffer.from(registry.reply(`/${path}`).body as string | Buffer),
      );

    const damaged = 'example.com/a/@v/v1.9.0.zip';
    const bytes = await readFile(join(out, damaged));
    await writeFile(join(out, damaged), bytes.fill(0, 40, 41));
    await rm(join(out, 'example.com/a/@v/v1.9.0.mod'));
    await full.stop();
    const again = await exported();
    await full.restart();
    const anew = again.filter(({ outcome }) => outcome === 'written').map(({ path }) => path);
    expect(anew.sort()).to.deep.equal(['example.com/a/@v/v1.9.0.mod', damaged]);
    expect(again).to.have.length(rows.length);
  });

  it('exports a module and those below its path', async () => {
    await exported('--prefix', 'example.com/Team');
    const modules = (await filesOf(out)).filter((place) => place.endsWith('.zip'));
    expect(modules).to.deep.equal(['example.com/!team/b/@v/v1.0.0.zip']);
    const lookups = (await filesOf(out)).filter((place) => place.includes('/lookup/'));
    expect(lookups).to.deep.equal([`sumdb/${DB}/lookup/example.com/!team/b@v1.0.0`]);
  });

  it('exports what a rule stored or a namespace holds, which may be nothing', async () => {
    const all = (await exported('--rule', 'go')).length;
    await rm(out, { recursive: true });
    expect(await exported('--namespace', 'go')).to.have.length(all);
    expect(await exported('--namespace', 'other')).to.deep.equal([]);
  });

  it('reports a body that is gone, and lists only what it wrote', async () => {
    const key = 'example.com/!teamwork/@v/v1.0.0.zip';
    const { digest } = JSON.parse(
      (await full.run('ls', '--namespace', 'go', '--prefix', key, '--json')).stdout,
    ) as { digest: string };
    const blob = join(full.dataDir, 'blobs', digest.slice(0, 2), digest);
    await rm(blob);
    const result = await full.run('export', out, '--json', '--prefix', 'example.com/Teamwork');
    await registry.return();
    await full.stop();
    const healed = await full.run('populate', '--no-sumdb', 'example.com/Teamwork@v1.0.0');
    expect(healed.stdout).to.match(/^1 fetched .*, 2 kept already, 0 failed\n$/);
    expect((await readFile(blob)).length).to.be.above(100_000);
    await full.restart();
    expect(result.code).to.equal(1);
    const failed = lines(result).filter((row) => (row as ExportRow).outcome === 'failed');
    expect(failed).to.have.length(1);
    expect(failed[0]).to.include({
      path: key,
      problem: 'its body is missing: fetch it again first',
    });
    expect(await filesOf(out)).to.not.include('example.com/!teamwork/@v/list');
  });

  for (const running of [true, false]) {
    it(`keeps what an export has, once, ${running ? 'in a running node' : 'without one'}`, async () => {
      const rows = await exported();
      // Before a node ran there for the first time.
      if (!running) {
        await empty.stop();
        await rm(empty.dataDir, { recursive: true });
      }
      const dry = await imported(out, 0, '--dry-run');
      expect(new Set(dry.map(({ outcome }) => outcome))).to.deep.equal(new Set(['would fetch']));
      const first = await imported(out, 0);
      expect(new Set(first.map(({ outcome }) => outcome))).to.deep.equal(new Set(['fetched']));
      const files = rows.filter(({ file }) => !['list', 'latest', 'supported'].includes(file));
      expect(first.map(({ path }) => path).sort()).to.deep.equal(
        files.map(({ path }) => path).sort(),
      );
      const second = await imported(out, 0);
      expect(new Set(second.map(({ outcome }) => outcome))).to.deep.equal(new Set(['kept']));
      if (!running) await empty.restart();
      for (const { path } of files)
        expect(await get(empty, path), path).to.deep.equal(await readFile(join(out, path)));
    });
  }

  it('keeps the disk of Athens', async () => {
    const at = 'example.com/Team/b/v1.0.0';
    for (const [place, path] of [
      ['go.mod', 'mod'],
      ['source.zip', 'zip'],
      ['v1.0.0.info', 'info'],
    ] as const)
      await lay(
        join(at, place),
        registry.reply(`/example.com/!team/b/@v/v1.0.0.${path}`).body as string,
      );
    const rows = outcomes(await imported(out, 0));
    const paths = ['info', 'mod', 'zip'].map((file) => `example.com/!team/b/@v/v1.0.0.${file}`);
    expect(rows).to.deep.equal(Object.fromEntries(paths.map((path) => [path, 'fetched'])));
    for (const path of paths)
      expect(await get(empty, path)).to.deep.equal(
        Buffer.from(registry.reply(`/${path}`).body as string),
      );
  });

  it('keeps a zip that the go command would refuse out, and the rest of its version in', async () => {
    const at = 'example.com/a/@v/v1.9.0';
    await lay(`${at}.zip`, goZip('example.com/other', 'v1.9.0', { 'go.mod': 'module x\n' }));
    await lay(`${at}.mod`, 'module example.com/a\n');
    expect(outcomes(await imported(out, 1))).to.deep.equal({
      [`${at}.zip`]: 'it came but was not kept; the log of the node says why',
      [`${at}.mod`]: 'fetched',
    });
  });

  it('takes nothing in place of what is kept, and tells what differs', async () => {
    await exported();
    await imported(out, 0);
    const zip = 'example.com/a/@v/v1.9.0.zip';
    const kept = await readFile(join(out, zip));
    await lay(zip, goZip('example.com/a', 'v1.9.0', { 'go.mod': 'module example.com/a\n' }));
    await lay('example.com/a/@v/v1.9.0.mod', 'module example.com/a\n\ngo 1.99\n');
    await lay('example.com/a/@v/v1.9.0.info', '{"Version":"v1.9.0"}');
    for (const args of [[], ['--dry-run']]) {
      const rows = outcomes(await imported(out, 1, ...args));
      const differs = 'other bytes are kept under its name, and stay';
      expect(rows).to.include({ [zip]: differs, 'example.com/a/@v/v1.9.0.mod': differs });
      expect(rows['example.com/a/@v/v1.9.0.info']).to.equal('kept');
    }
    expect(await get(empty, zip)).to.deep.equal(kept);
  });

  it('refuses what is not what its name says, and takes the rest', async () => {
    const zip = registry.reply('/example.com/a/@v/v1.9.0.zip').body as Buffer;
    const at = 'example.com/a/@v';
    await lay(`${at}/v1.9.0.zip`, zip);
    await lay(`${at}/v1.9.0.ziphash`, `h1:${'A'.repeat(43)}=`);
    await lay(`${at}/v1.9.0.info`, '{"Version":"v1.8.0"}');
    await lay(`${at}/v1.10.0.info`, 'no JSON');
    await lay(`${at}/v1.10.0.mod`, 'module example.com/a\n');
    await lay(`${at}/v1.10.0.zip`, zip.subarray(0, 100));
    await lay(`${at}/v1.10.0.ziphash`, '');
    await lay('example.com/A/@v/v1.0.0.mod', 'module example.com/A\n');
    await symlink('/etc/passwd', join(out, at, 'v1.11.0.mod'));
    const rows = outcomes(await imported(out, 1));
    expect(rows[`${at}/v1.9.0.zip`]).to.match(/^it has h1:.*, the module cache noted h1:AAAA/);
    expect(rows).to.include({
      [`${at}/v1.9.0.info`]: 'it names version "v1.8.0"',
      [`${at}/v1.10.0.info`]: 'it is not JSON',
      [`${at}/v1.10.0.mod`]: 'fetched',
      [`${at}/v1.10.0.zip`]: 'the hash that the module cache noted is malformed',
      'example.com/A/@v/v1.0.0.mod': 'malformed escape in module path',
      [`${at}/v1.11.0.mod`]: 'a symbolic link that leads out of the folder',
    });
    const { stdout } = await empty.run('ls', '--namespace', 'go', '--json');
    expect(lines({ code: 0, stdout, stderr: '' })).to.have.length(1);
  });
});
