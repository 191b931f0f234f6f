import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
/** Milliseconds for a build and an install that may have to fetch the one dependency. */
const INSTALL_MS = 120_000;

/** Criterion M13. */
describe('the packed litefs package, installed in an empty folder', () => {
  let folder: TempFolder;
  let packed: readonly string[];

  before(async function (this: Mocha.Context) {
    this.timeout(INSTALL_MS);
    folder = await tempFolder();
    const pack = ['pack', '--silent', '--json', '--pack-destination', folder.path];
    const stdout = await npm([...pack, '--workspace', '@caje/litefs'], root);
    // What the build prints comes before.
    const report = JSON.parse(stdout.slice(stdout.search(/^[[{]$/m))) as unknown;
    const [tarball] = Object.values(
      report as Record<string, { filename: string; files: readonly { path: string }[] }>,
    );
    if (tarball === undefined) throw new Error('npm pack says nothing of what it packed');
    packed = tarball.files.map(({ path }) => path).sort();
    await writeFile(join(folder.path, 'package.json'), '{ "private": true, "type": "module" }');
    await npm(['install', '--prefer-offline', join(folder.path, tarball.filename)], folder.path);
  });

  after(async () => {
    await folder[Symbol.asyncDispose]();
  });

  it('has its texts, types and example, no source, and one dependency', async () => {
    expect(packed).to.include.members([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'dist/helper-main.js',
      'dist/index.d.ts',
      'dist/index.js',
      'examples/counter.mjs',
    ]);
    expect(packed.filter((path) => /^(src|test)\//.test(path))).to.deep.equal([]);
    const manifest = JSON.parse(
      await readFile(join(folder.path, 'node_modules/@caje/litefs/package.json'), 'utf8'),
    ) as { readonly dependencies: object; readonly version: string };
    expect(Object.keys(manifest.dependencies)).to.deep.equal(['koffi']);
    const changes = await readFile(
      join(folder.path, 'node_modules/@caje/litefs/CHANGELOG.md'),
      'utf8',
    );
    expect(changes).to.contain(`## ${manifest.version}\n`);
  });

  it('runs its example: four processes, and no step is lost', async function (this: Mocha.Context) {
    this.timeout(60_000);
    const example = join(folder.path, 'node_modules/@caje/litefs/examples/counter.mjs');
    const { stdout } = await run(process.execPath, [example], { cwd: folder.path });
    expect(stdout.trim().split('\n')).to.deep.equal([
      'counted 400 of 400',
      'held true on LiteFS false',
      'held false',
      'primary none named this node true',
      'lag 0 ms, position none',
    ]);
  });

  it('has a helper process that starts from the packed files', async () => {
    const program = join(folder.path, 'helper.js');
    await writeFile(
      program,
      `import { HaltHelper, OfdLock } from '@caje/litefs';
       await using helper = new HaltHelper('a.db-lock', { mode: 'poll' });
       using lock = new OfdLock('a.db-lock');
       const seen = [await helper.lock(), lock.isHeldElsewhere(), await helper.unlock(), lock.isHeldElsewhere()];
       process.stdout.write(JSON.stringify(seen));`,
    );
    const { stdout } = await run(process.execPath, [program], { cwd: folder.path });
    expect(stdout).to.equal('[0,true,0,false]');
  });
});

/** Runs npm as a user would, without what the npm that may have started these tests handed down. */
async function npm(args: readonly string[], cwd: string): Promise<string> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD|NODE_OPTIONS)/i.test(name)),
  );
  const { stdout } = await run('npm', [...args], { cwd, env, maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}
