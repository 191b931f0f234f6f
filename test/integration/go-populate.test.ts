import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { readGoproxyFile } from '../../src/gomod/goproxy-folder.ts';
import { placeIn } from '../../src/gomod/module-folder.ts';
import { GoClient, goMissing, goSetting } from '../support/go-command.ts';
import { GoUpstream, goProxy } from '../support/go-upstream.ts';
import { NodeProcess } from '../support/node-process.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL('../fixtures/go-program/', import.meta.url));
const OUTLINE = 'level   3\nname    caje\n9fb7adcc-b1c0-5de2-8456-858f04cec492\n';
/** Modules of the program with all that its graph names. */
const MODULES = 67;
const FLAGS = '-modcacherw -buildvcs=false -trimpath -mod=mod';
/** Milliseconds for downloads from a far upstream and one compilation with the standard library. */
const SLOW_MS = 300_000;

// The real go command, its checksum database on and nothing in its go.sum, with what was brought before it asked.
describe('the go command behind what populate, export and import brought', function () {
  this.timeout(SLOW_MS);

  let folder: TempFolder;
  let upstream: GoUpstream;
  let populated: NodeProcess;
  let exported: string;

  const start = async (): Promise<NodeProcess> =>
    await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: upstream.url } },
        rules: [{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' }],
      },
    });

  const client = async (proxy: string, env = {}): Promise<GoClient> =>
    await GoClient.create({
      ...{ folder: folder.path, proxy, buildCache: join(folder.path, 'build') },
      env: { GOFLAGS: FLAGS, ...env },
    });

  const copyOfProgram = async (go: GoClient): Promise<string> => {
    const program = join(go.bin, '..', 'program');
    await mkdir(program);
    await cp(PROGRAM, program, { recursive: true });
    await writeFile(join(program, 'go.sum'), '');
    await writeFile(join(program, 'settings.toml'), 'name = "caje"\nlevel = 3\n');
    return program;
  };

  const build = async (proxy: string, env = {}): Promise<void> => {
    const go = await client(proxy, env);
    const program = await copyOfProgram(go);
    await go.go(program, 'build', '-o', 'outline', '.');
    const { stdout } = await run(join(program, 'outline'), ['settings.toml'], { cwd: program });
    expect(stdout).to.equal(OUTLINE);
  };

  const done = async (node: NodeProcess, ...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await node.run(...args);
    expect(code, stdout + stderr).to.equal(0);
    return stdout;
  };

  before(async function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    const proxy = goProxy() ?? '';
    skipUnless(this, proxy !== '', 'go env GOPROXY names no module proxy', { exempt: true });
    folder = await tempFolder();
    upstream = await GoUpstream.start(proxy);
    const reached = await upstream.has(`/sumdb/${goSetting('GOSUMDB')}/supported`);
    const unreached = 'the module proxy of go env GOPROXY passes no checksums on now';
    skipUnless(this, reached, unreached, { exempt: true });
    populated = await start();
    exported = join(folder.path, 'exported');
  });

  beforeEach(async () => await upstream.return());

  after(async () => {
    await populated?.[Symbol.asyncDispose]();
    await upstream?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  it('builds after caje populate go.mod, each file fetched once, with the upstream away', async () => {
    await upstream.reset();
    await done(populated, 'populate', join(PROGRAM, 'go.mod'));
    const { requests } = await upstream.report();
    expect(requests).to.have.lengthOf(new Set(requests).size);
    await upstream.leave();
    await build(`${populated.url}/go`);
  });

  it('builds from an export as file://, with and without a checksum database', async () => {
    await done(populated, 'export', exported);
    await upstream.leave();
    await build(`file://${exported}`);
    await build(`file://${exported}`, { GONOSUMDB: '*' });
  });

  it('builds behind an empty node that imported the export', async () => {
    await using node = await start();
    await done(node, 'import', exported);
    await upstream.leave();
    await build(`${node.url}/go`);
  });

  it('builds behind an empty node that imported the disk of Athens', async () => {
    const store = join(folder.path, 'athens');
    const entries = await readdir(exported, { recursive: true, withFileTypes: true });
    for (const entry of entries.filter((one) => one.isFile())) {
      const path = join(entry.parentPath, entry.name);
      const file = readGoproxyFile(path.slice(exported.length + 1));
      if (file === undefined || file.database !== undefined) continue;
      const place = join(store, placeIn('athens', file));
      await mkdir(dirname(place), { recursive: true });
      await copyFile(path, place);
    }
    await using node = await start();
    await done(node, 'import', store, '--format', 'athens');
    await upstream.leave();
    await build(`${node.url}/go`, { GONOSUMDB: '*' });
  });

  it('downloads all behind an empty node that imported a module cache', async () => {
    const first = await client(upstream.url);
    await first.go(await copyOfProgram(first), 'mod', 'download', 'all');
    await using node = await start();
    await done(node, 'import', first.modules);
    const zips = await node.run('ls', '--namespace', 'go', '--json');
    expect(zips.stdout.split('\n').filter((row) => row.includes('.zip"'))).to.have.length(MODULES);
    await upstream.leave();
    // The cache has the tiles that prove its own client's lookups in their order, which is another client's only by chance.
    const second = await client(`${node.url}/go`, { GONOSUMDB: '*' });
    const program = await copyOfProgram(second);
    await second.go(program, 'mod', 'download', 'all');
    const sums = await readFile(join(PROGRAM, 'go.sum'), 'utf8');
    expect(await readFile(join(program, 'go.sum'), 'utf8')).to.equal(sums);
  });
});
