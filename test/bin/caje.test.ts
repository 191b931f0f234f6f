import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { runCaje } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const source = fileURLToPath(new URL('../../bin/caje', import.meta.url));
/** Only what the script itself needs. */
const TOOLS = ['readlink', 'dirname'];
const SHOW =
  'console.log(JSON.stringify({ pid: process.pid, args: process.argv.slice(2), options: process.execArgv }));\n';

interface Shown {
  readonly args: readonly string[];
  readonly options: readonly string[];
}

describe('bin/caje', () => {
  let folder: TempFolder;
  let root: string;
  let tools: string;

  beforeEach(async () => {
    folder = await tempFolder();
    root = join(folder.path, 'modules', 'caje');
    tools = join(folder.path, 'tools');
    await mkdir(join(root, 'bin'), { recursive: true });
    await mkdir(join(root, 'dist', 'cli'), { recursive: true });
    await mkdir(tools);
    await cp(source, join(root, 'bin', 'caje'));
    await writeFile(join(root, 'package.json'), '{"type":"module"}');
    await writeFile(join(root, 'dist', 'cli', 'caje.js'), SHOW);
    for (const tool of TOOLS) await symlink(`/usr/bin/${tool}`, join(tools, tool));
  });

  afterEach(async () => {
    await folder[Symbol.asyncDispose]();
  });

  /** Puts a runtime of that version at a path: the real one, or one that only tells its version. */
  async function place(path: string, version: string): Promise<void> {
    await mkdir(join(path, '..'), { recursive: true });
    if (version === process.version) await symlink(process.execPath, path);
    else {
      await writeFile(path, `#!/bin/sh\necho ${version}\n`);
      await chmod(path, 0o755);
    }
  }

  async function show(program = join(root, 'bin', 'caje')): Promise<Shown> {
    const { code, stdout, stderr } = await runCaje(['a', 'b c'], { program, env: { PATH: tools } });
    expect(stderr).to.equal('');
    expect(code).to.equal(0);
    return JSON.parse(stdout) as Shown;
  }

  it('runs dist with the node on PATH and hands its arguments on', async () => {
    await place(join(tools, 'node'), process.version);
    expect(await show()).to.deep.include({ args: ['a', 'b c'], options: [] });
  });

  it('runs the sources where they are', async () => {
    await place(join(tools, 'node'), process.version);
    await mkdir(join(root, 'src', 'cli'), { recursive: true });
    await writeFile(join(root, 'src', 'cli', 'caje.ts'), `const text: string = 'typed';\n${SHOW}`);
    expect((await show()).options).to.deep.equal(['--conditions=caje-source']);
  });

  for (const place_ of ['caje/node_modules/node/bin/node', 'node/bin/node']) {
    it(`prefers the node package at ${place_} to PATH`, async () => {
      await place(join(tools, 'node'), 'v20.1.0');
      await place(join(folder.path, 'modules', place_), process.version);
      expect((await show()).args).to.deep.equal(['a', 'b c']);
    });
  }

  it('passes over an old node package beside it', async () => {
    await place(join(folder.path, 'modules', 'node', 'bin', 'node'), 'v22.9.0');
    await place(join(tools, 'node'), process.version);
    expect((await show()).args).to.deep.equal(['a', 'b c']);
  });

  it('finds its package through links, relative ones and links to links', async () => {
    await place(join(tools, 'node'), process.version);
    await mkdir(join(folder.path, 'links'));
    await symlink('../modules/caje/bin/caje', join(folder.path, 'links', 'one'));
    await symlink('one', join(folder.path, 'links', 'two'));
    expect((await show(join(folder.path, 'links', 'two'))).args).to.deep.equal(['a', 'b c']);
  });

  for (const [what, version] of [
    ['too old', 'v20.20.2'],
    ['missing', undefined],
    ['broken', 'no version'],
  ] as const) {
    it(`exits 2 and names what to install where node is ${what}`, async () => {
      if (version !== undefined) await place(join(tools, 'node'), version);
      const program = join(root, 'bin', 'caje');
      const { code, stdout, stderr } = await runCaje([], { program, env: { PATH: tools } });
      expect(code).to.equal(2);
      expect(stdout).to.equal('');
      expect(stderr).to.match(/^caje: needs Node\.js 24 or newer.*install Node\.js 24.*\n$/);
    });
  }

  it('is one process, which signals reach', async () => {
    await place(join(tools, 'node'), process.version);
    const wait = `process.on('SIGTERM', () => process.exit(7));\nsetInterval(() => {}, 1000);\n${SHOW}`;
    await writeFile(join(root, 'dist', 'cli', 'caje.js'), wait);
    const child = spawn(join(root, 'bin', 'caje'), { env: { PATH: tools } });
    // A shell in between would die of the signal by itself.
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    expect(JSON.parse(line)).to.include({ pid: child.pid });
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).to.deep.equal([7, null]);
  });
});
