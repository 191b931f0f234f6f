import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { GoClient, goMissing, goSetting } from '../support/go-command.ts';
import { GoUpstream, goProxy } from '../support/go-upstream.ts';
import { NodeProcess } from '../support/node-process.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL('../fixtures/go-program/', import.meta.url));
const SETTINGS = 'name = "caje"\nlevel = 3\n';
const OUTLINE = 'level   3\nname    caje\n9fb7adcc-b1c0-5de2-8456-858f04cec492\n';
/** A program in a folder below its module's root, so that the client also asks for modules that do not exist. */
const TOOL = 'golang.org/x/exp/cmd/txtar';
const TOOL_VERSION = 'v0.0.0-20250620022241-b7579e27df2b';
const LEAST_MODULES = 60;
/** Milliseconds for downloads from a far upstream and one compilation with the standard library. */
const SLOW_MS = 300_000;

const RULE = { name: 'go', path: '/go/*', strip: true, protocol: 'go', network: 'fallback' };

// G4, G8: the real go command, its checksum database on, with nothing but nodes to ask.
describe('the go command through nodes', function () {
  this.timeout(SLOW_MS);

  let folder: TempFolder;
  let upstream: GoUpstream;
  let first: NodeProcess;
  let second: NodeProcess;

  const client = async (node: NodeProcess): Promise<GoClient> =>
    await GoClient.create({
      folder: folder.path,
      proxy: `${node.url}/go`,
      buildCache: join(folder.path, 'build'),
    });

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
    const token = join(folder.path, 'token');
    await writeFile(token, 'between-the-nodes-0123456789');
    first = await NodeProcess.start({
      config: {
        listen: { public: '127.0.0.1:0', peer: '127.0.0.1:0' },
        cluster: { tokens: [{ name: 'second', file: token }] },
        fetchers: { modules: { type: 'upstreams', list: upstream.url } },
        rules: [{ ...RULE, fetch: 'modules' }],
      },
    });
    second = await NodeProcess.start({
      config: {
        fetchers: { near: { type: 'peer', url: first.peerUrl, token: { file: token } } },
        rules: [{ ...RULE, fetch: 'near' }],
      },
    });
    await upstream.reset();
  });

  after(async () => {
    await second?.[Symbol.asyncDispose]();
    await first?.[Symbol.asyncDispose]();
    await upstream?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const checkProgram = async (node: NodeProcess): Promise<number> => {
    const go = await client(node);
    const { modules } = await downloadAndBuild(go, join(go.bin, '..', 'program'));
    return modules;
  };

  it('downloads and builds a program of more than 60 modules, each file fetched once', async () => {
    const modules = await checkProgram(first);

    expect(modules).to.be.at.least(LEAST_MODULES);
    const { requests } = await upstream.report();
    expect(requests).to.have.lengthOf(new Set(requests).size);
    const lookups = `/sumdb/${goSetting('GOSUMDB')}/lookup/`;
    expect(requests.filter((path) => path.startsWith(lookups))).to.have.length.at.least(modules);
    expect(requests.filter((path) => path.endsWith('.zip'))).to.have.lengthOf(modules);
  });

  it('installs a tool', async () => {
    await upstream.reset();

    await installTool(await client(first));

    const { requests } = await upstream.report();
    expect(requests).to.have.lengthOf(new Set(requests).size);
  });

  it('downloads, builds and installs the same after a restart with the upstream away', async () => {
    await first.stop();
    await upstream.leave();
    await upstream.reset();
    await first.restart();

    await checkProgram(first);

    expect(await upstream.report()).to.deep.equal({ requests: [], connections: 0 });
    // For what does not exist above the tool the upstream is tried again, in vain.
    await installTool(await client(first));
  });

  it('does the same through a second node that has only the first to ask', async () => {
    await upstream.reset();

    await checkProgram(second);

    expect(await upstream.report()).to.deep.equal({ requests: [], connections: 0 });
    await installTool(await client(second));
  });

  it('does the same through the second node alone, restarted', async () => {
    await second.stop();
    await first.stop();
    await second.restart();

    await checkProgram(second);
    await installTool(await client(second));
  });
});

async function downloadAndBuild(
  go: GoClient,
  folder: string,
): Promise<{ readonly modules: number }> {
  await mkdir(folder);
  await cp(PROGRAM, folder, { recursive: true });
  const expected = await readFile(join(PROGRAM, 'go.sum'), 'utf8');
  // Without it every sum comes from the checksum database.
  await writeFile(join(folder, 'go.sum'), '');
  await go.go(folder, 'mod', 'download', 'all');
  expect(await readFile(join(folder, 'go.sum'), 'utf8')).to.equal(expected);
  await go.go(folder, 'build', '-o', 'outline', '.');
  await writeFile(join(folder, 'settings.toml'), SETTINGS);
  const { stdout } = await run(join(folder, 'outline'), ['settings.toml'], { cwd: folder });
  expect(stdout).to.equal(OUTLINE);
  const listed = await go.go(folder, 'list', '-m', 'all');
  // The first line is the program itself.
  return { modules: listed.trim().split('\n').length - 1 };
}

async function installTool(go: GoClient): Promise<void> {
  await go.go('/', 'install', `${TOOL}@${TOOL_VERSION}`);
  const listing = run(join(go.bin, 'txtar'), ['--list']);
  listing.child.stdin?.end('-- a.txt --\nhello\n');
  expect((await listing).stdout).to.equal('a.txt\n');
}
