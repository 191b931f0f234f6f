import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { GitServer } from '../support/git-server.ts';
import { commitTo, gitMissing } from '../support/git-server-repository.ts';
import { GoClient, goMissing } from '../support/go-command.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { NodeProcess } from '../support/node-process.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const PRIVATE = 'corp.example.com/team/lib';
const PUBLIC = 'example.com/public';
const SECRET = 'between-git-and-the-node';
const COMMANDS_MS = 60_000;
const RULE = { name: 'go', path: '/go/*', strip: true, protocol: 'go', sumdb: [] };

// G6, G7: the real go command, a module proxy that has what is public, and git for the rest.
describe('private modules through a node', function () {
  this.timeout(COMMANDS_MS);

  let folder: TempFolder;
  let registry: GoRegistry;
  let git: GitServer;
  let first: NodeProcess;
  let second: NodeProcess;
  let vcs: object;
  let programs = 0;

  before(async function () {
    const missing = goMissing() ?? gitMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    folder = await tempFolder();
    const root = join(folder.path, 'root');
    const files = { 'lib.go': 'package lib\n', 'inner/inner.go': 'package inner\n' };
    commitTo(join(root, 'lib.git'), [
      { files: { ...files, 'go.mod': `module ${PRIVATE}\n\ngo 1.21\n` }, tags: ['v1.0.0'] },
      { files: { 'lib.go': 'package lib // more\n' }, branch: 'develop' },
      { files: { 'go.mod': `module ${PRIVATE}\n\ngo 1.21\n\nretract v1.0.0\n` }, tags: ['v1.1.0'] },
    ]);
    git = await GitServer.start({ root });
    git.protected.set('lib.git', `node:${SECRET}`);
    registry = await GoRegistry.start();
    registry.release(PUBLIC, 'v1.2.3');
    const token = join(folder.path, 'token');
    await writeFile(token, 'between-the-nodes-0123456789');
    await writeFile(join(folder.path, 'git-token'), `${SECRET}\n`);
    const secret = { file: join(folder.path, 'git-token') };
    vcs = {
      type: 'go-vcs',
      linger: '1s',
      repositories: [
        { prefix: PRIVATE, url: `${git.url}/lib.git` },
        { prefix: PUBLIC, url: `${git.url}/public.git` },
      ],
      credentials: [{ match: 'corp.example.com/*', token: { user: 'node', secret } }],
    };
    // Above the modules' own paths the go command looks for others, whose host is asked in vain.
    const env = { HTTPS_PROXY: 'http://127.0.0.1:1' };
    first = await NodeProcess.start({
      env,
      config: {
        listen: { public: '127.0.0.1:0', peer: '127.0.0.1:0' },
        cluster: { tokens: [{ name: 'second', file: token }] },
        fetchers: { modules: { type: 'upstreams', list: registry.url }, vcs },
        rules: [{ ...RULE, fetch: ['modules', 'vcs'] }],
      },
    });
    second = await NodeProcess.start({
      env,
      config: {
        fetchers: { near: { type: 'peer', url: first.peerUrl, token: { file: token } }, vcs },
        rules: [{ ...RULE, fetch: ['near', 'vcs'] }],
      },
    });
  });
  beforeEach(() => git?.reset());
  after(async () => {
    await second?.[Symbol.asyncDispose]();
    await first?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    await git?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  /** A new client and a program of its own that imports some packages. */
  const program = async (
    node: NodeProcess,
    packages: readonly string[],
  ): Promise<(...args: readonly string[]) => Promise<string>> => {
    const path = join(folder.path, `program-${programs++}`);
    await mkdir(path);
    await writeFile(join(path, 'go.mod'), 'module example.com/program\n\ngo 1.21\n');
    const imports = packages.map((name) => `_ "${name}"`);
    await writeFile(
      join(path, 'main.go'),
      `package main\n\nimport (\n\t${imports.join('\n\t')}\n)\n\nfunc main() {}\n`,
    );
    const proxy = `${node.url}/go`;
    const client = await GoClient.create({
      folder: folder.path,
      proxy,
      env: { GONOSUMDB: '*', GOFLAGS: '-mod=mod -modcacherw' },
    });
    return async (...args) => await client.go(path, ...args);
  };
  const tidy = async (node: NodeProcess, ...more: readonly string[]): Promise<string> => {
    const go = await program(node, [PUBLIC, PRIVATE, ...more]);
    await go('mod', 'tidy');
    expect(await go('mod', 'verify')).to.include('all modules verified');
    return await go('list', '-m', 'all');
  };
  const ALL = `example.com/program\n${PRIVATE} v1.1.0\n${PUBLIC} v1.2.3\n`;

  it('come from git, and what the module proxy has does not', async () => {
    expect(await tidy(first, `${PRIVATE}/inner`)).to.equal(ALL);
    expect(git.clones).to.be.greaterThan(0);
    expect(git.requests.filter(({ path }) => path.startsWith('/public.git'))).to.deep.equal([]);
    expect(registry.asked(`${PUBLIC}/@v/v1.2.3.zip`)).to.equal(1);
  });

  it('are listed, resolved and told apart from what does not exist', async () => {
    const go = await program(first, []);
    const listed = await go('list', '-m', '-versions', PRIVATE);
    expect(listed).to.equal(`${PRIVATE} v1.1.0\n`);
    // No base: the tag before it is retracted.
    const develop = await go('list', '-m', `${PRIVATE}@develop`);
    expect(develop).to.match(/^corp\.example\.com\/team\/lib v0\.0\.0-20240102030505-\w{12}\n$/);
    await go('get', `${PRIVATE}@develop`);
    const answer = await fetch(`${first.url}/go/${PRIVATE}/@v/v9.9.9.info`);
    expect(answer.status).to.equal(404);
    expect(await answer.text()).to.include('unknown revision v9.9.9');
  });

  it('come from the store afterwards: neither git nor the module proxy is asked for a file', async () => {
    git.reset();
    const before = registry.requests.length;
    expect(await tidy(first)).to.equal(ALL);
    expect(git.clones).to.equal(0);
    expect(
      registry.requests.slice(before).filter((path) => /\.(?:mod|zip)$/.test(path)),
    ).to.deep.equal([]);
  });

  it('come from a peer that has them, and git is not asked', async () => {
    expect(await tidy(second)).to.equal(ALL);
    expect(git.requests).to.deep.equal([]);
  });

  it('are an outage, and no absence, while git is away', async () => {
    git.fails = 503;
    const unknown = `${first.url}/go/${PRIVATE}/@v/v1.0.7.info`;
    expect((await fetch(unknown)).status).to.equal(502);
    git.fails = undefined;
    expect((await fetch(unknown)).status).to.equal(404);
  });

  it('G7: are asked of git alone where a rule says so, and no peer or module proxy hears of them', async () => {
    const before = registry.requests.length;
    const modules = [{ match: 'corp.example.com/*', fetch: 'vcs', private: true }];
    const near = { type: 'peer', url: registry.url, token: { file: join(folder.path, 'token') } };
    await using node = await NodeProcess.start({
      config: {
        fetchers: { near, modules: { type: 'upstreams', list: registry.url }, vcs },
        rules: [{ ...RULE, fetch: ['near', 'modules'], modules }],
      },
    });
    for (const file of [
      '@v/list',
      '@latest',
      '@v/develop.info',
      '@v/v1.1.0.mod',
      '@v/v9.9.9.mod',
    ]) {
      const { status } = await fetch(`${node.url}/go/${PRIVATE}/${file}`);
      expect(status, file).to.equal(file.includes('v9') ? 404 : 200);
    }
    expect(registry.requests.length).to.equal(before);
    expect((await fetch(`${node.url}/go/${PUBLIC}/@v/v1.2.3.mod`)).status).to.equal(200);
    expect(registry.requests.length).to.be.greaterThan(before);
  });

  it('leave no clone and no secret behind', async () => {
    const logged = JSON.stringify([first.log, first.output, second.log]);
    expect(logged).not.to.include(SECRET);
    expect(await first.stop()).to.deep.include({ code: 0 });
    expect(await readdir(join(first.dataDir, 'go-vcs'))).to.deep.equal([]);
  });
});
