import { execFile } from 'node:child_process';
import { readFile, readlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { runCaje } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
/** Milliseconds for a build and an install that may have to fetch every dependency. */
const INSTALL_MS = 300_000;
/** Milliseconds in which a small body must be kept. */
const STASH_MS = 20_000;
/** Node 24 and what any system has, but nothing of this checkout. */
const PATH = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;

describe('the packed tarball, installed in an empty folder', () => {
  let folder: TempFolder;
  let program: string;
  let packed: readonly string[];

  before(async function (this: Mocha.Context) {
    this.timeout(INSTALL_MS);
    folder = await tempFolder();
    const pack = ['pack', '--silent', '--json', '--pack-destination', folder.path];
    const { stdout } = await npm(pack, root);
    // What the build prints comes before.
    const report = JSON.parse(stdout.slice(stdout.search(/^[[{]$/m))) as unknown;
    const [tarball] = Object.values(report as Record<string, { filename: string; files: File[] }>);
    if (tarball === undefined) throw new Error('npm pack says nothing of what it packed');
    packed = tarball.files.map(({ path }) => path);
    await writeFile(join(folder.path, 'package.json'), '{ "private": true }');
    await npm(['install', '--prefer-offline', join(folder.path, tarball.filename)], folder.path);
    program = join(folder.path, 'node_modules', '.bin', 'caje');
  });

  after(async () => {
    await folder[Symbol.asyncDispose]();
  });

  it('has what is needed to run, and no sources or tests', () => {
    expect(packed).to.include.members([
      'bin/caje',
      'dist/cli/caje.js',
      'LICENSE',
      'node_modules/@caje/litefs/dist/index.js',
    ]);
    const own = packed.filter((path) => !path.startsWith('node_modules/'));
    expect(own.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))).to.deep.equal([]);
    expect(own.filter((path) => /^(src|test|bench|packages)\//.test(path))).to.deep.equal([]);
  });

  it('tells its version', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(await readlink(program)).to.equal('../caje/bin/caje');
    const { code, stdout, stderr } = await runCaje(['--version'], { program, env: { PATH } });
    expect(stderr).to.equal('');
    expect(stdout.trim()).to.equal(version);
    expect(code).to.equal(0);
  });

  it('checks a configuration and serves it, with its worker threads and the lock', async function (this: Mocha.Context) {
    this.timeout(60_000);
    await using origin = await OracleOrigin.start();
    await using client = new HttpClient();
    await using node = await NodeProcess.start({
      program,
      env: { PATH },
      config: {
        fetchers: { site: { type: 'origin', url: origin.url } },
        rules: [{ name: 'site', path: '/*', protocol: 'http', fetch: 'site' }],
      },
    });
    const checked = await node.run('config', 'check');
    expect(checked.code, checked.stderr).to.equal(0);
    expect((await client.get(`${node.url}/_caje/healthz`)).status).to.equal(200);
    const key = '/page?size=200000';
    for (const expected of ['MISS', 'HIT']) {
      const answer = await client.get(node.url + key);
      expect(answer.headers.get('x-cache')).to.equal(expected);
      const check = origin.check(key, { size: 200_000 });
      check.write(answer.body);
      expect(check.end().version).to.equal(1);
      // A hit needs the row: it is written behind the answer.
      if (expected === 'MISS') await stashed(node);
    }
    expect(await node.stop()).to.deep.equal({ code: 0, signal: undefined });
  });
});

interface File {
  readonly path: string;
}

/** Runs npm as a user would, without what the npm that may have started these tests handed down. */
async function npm(args: readonly string[], cwd: string): Promise<{ readonly stdout: string }> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD|NODE_OPTIONS)/i.test(name)),
  );
  try {
    return await run('npm', [...args], { cwd, env, maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`npm ${args[0]} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

/** Resolves once a body was kept. */
async function stashed(node: NodeProcess): Promise<void> {
  const deadline = performance.now() + STASH_MS;
  while (performance.now() < deadline) {
    const { stashed_total = 0, stash_failed_total = 0 } = await node.counters();
    if (stashed_total > 0) return;
    if (stash_failed_total > 0) throw new Error(`the body was not kept:\n${node.lastWords()}`);
  }
  throw new Error(`the body was not kept in time:\n${node.lastWords()}`);
}
