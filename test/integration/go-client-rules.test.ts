import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { GoClient, type GoResult, goMissing } from '../support/go-command.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { NodeProcess } from '../support/node-process.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

/** Milliseconds for a test that runs the go command some times. */
const COMMANDS_MS = 60_000;

// What the real go command sees of a node is what it would see of the upstream.
describe('the go command behind a node', function () {
  this.timeout(COMMANDS_MS);

  let folder: TempFolder;
  let registry: GoRegistry;
  let other: GoRegistry;
  let node: NodeProcess;
  let through: string;

  before(async function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    folder = await tempFolder();
    registry = await GoRegistry.start();
    other = await GoRegistry.start();
    node = await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' }],
      },
    });
    through = `${node.url}/go`;
  });

  after(async () => {
    await node?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const client = async (proxy: string): Promise<GoClient> =>
    await GoClient.create({ folder: folder.path, proxy, env: { GONOSUMDB: '*' } });
  const go = async (proxy: string, ...args: readonly string[]): Promise<GoResult> =>
    await (await client(proxy)).try(folder.path, ...args);
  /** Fails unless the node and the registry itself make the go command say and do the same. */
  const same = async (...args: readonly string[]): Promise<GoResult> => {
    const [direct, behind] = await Promise.all(
      [registry.url, through].map(async (proxy) => {
        const own = await client(proxy);
        const { code, stdout, stderr } = await own.try(folder.path, ...args);
        const plain = (text: string): string =>
          text.replaceAll(proxy, 'PROXY').replaceAll(own.modules, 'MODULES');
        return { code, stdout: plain(stdout), stderr: plain(stderr) };
      }),
    );
    if (behind === undefined) throw new Error('no result');
    expect(behind).to.deep.equal(direct);
    return behind;
  };

  it('shows what the upstream says of a module that it does not know', async () => {
    const { code, stderr } = await same('list', '-m', 'example.com/absent@v1.0.0');

    expect(code).to.equal(1);
    expect(stderr).to.include('404 Not Found');
    expect(stderr).to.include('server response: not found: this registry has nothing');
  });

  it('shows what the upstream says of a version that is gone', async () => {
    const body = 'gone: withdrawn by its author\n';
    registry.put('/example.com/gone/@v/v1.0.0.info', { status: 410, body });

    const { stderr } = await same('list', '-m', 'example.com/gone@v1.0.0');

    expect(stderr).to.include('410 Gone').and.to.include('withdrawn by its author');
  });

  it('goes on to the next proxy after 404 and 410', async () => {
    for (const name of ['moved', 'left']) other.release(`example.com/${name}`, 'v1.0.0');
    registry.put('/example.com/left/@v/v1.0.0.info', { status: 410, body: 'gone\n' });

    for (const name of ['moved', 'left']) {
      const { stdout } = await go(
        `${through},${other.url}`,
        'list',
        '-m',
        `example.com/${name}@v1.0.0`,
      );
      expect(stdout).to.equal(`example.com/${name} v1.0.0\n`);
    }
  });

  it('stops at a refusal and shows its words', async () => {
    const body = 'this module is not allowed here\n';
    registry.put('/example.com/denied/@v/v1.0.0.info', { status: 403, body });
    other.release('example.com/denied', 'v1.0.0');

    await same('list', '-m', 'example.com/denied@v1.0.0');
    const listed = `${through},${other.url}`;
    const { code, stderr } = await go(listed, 'list', '-m', 'example.com/denied@v1.0.0');

    expect(code).to.equal(1);
    expect(stderr).to.include('403 Forbidden').and.to.include('not allowed here');
    expect(other.asked('denied/@v/v1.0.0.info')).to.equal(0);
  });

  it('stops at an upstream that fails, unless any failure may send it on', async () => {
    registry.put('/example.com/ill/@v/v1.0.0.info', { status: 500, body: 'broken\n' });
    other.release('example.com/ill', 'v1.0.0');

    const stopped = await go(`${through},${other.url}`, 'list', '-m', 'example.com/ill@v1.0.0');
    expect(stopped.code).to.equal(1);
    expect(stopped.stderr).to.include('502 Bad Gateway');
    expect(other.asked('ill/@v/v1.0.0.info')).to.equal(0);

    const passed = await go(`${through}|${other.url}`, 'list', '-m', 'example.com/ill@v1.0.0');
    expect(passed.stdout).to.equal('example.com/ill v1.0.0\n');
  });

  it('finds the newest version of a module without tags', async () => {
    const version = 'v0.0.0-20240102030405-abcdefabcdef';
    registry.release('example.com/untagged', version);
    registry.put('/example.com/untagged/@v/list', '');
    registry.put('/example.com/untagged/@latest', JSON.stringify({ Version: version }));

    const { stdout } = await same('list', '-m', 'example.com/untagged@latest');

    expect(stdout).to.equal(`example.com/untagged ${version}\n`);
  });

  it('lists versions, and those retracted when asked to', async () => {
    const module = 'example.com/retracting';
    registry.release(module, 'v1.0.0');
    registry.release(module, 'v1.1.0-rc.1');
    registry.release(module, 'v1.1.0', {
      mod: `module ${module}\n\nretract v1.0.0 // wrong sums\n`,
    });

    const kept = await same('list', '-m', '-versions', module);
    const all = await same('list', '-m', '-versions', '-retracted', module);
    const latest = await same('list', '-m', `${module}@latest`);

    expect(kept.stdout).to.equal(`${module} v1.1.0-rc.1 v1.1.0\n`);
    expect(all.stdout).to.equal(`${module} v1.0.0 v1.1.0-rc.1 v1.1.0\n`);
    expect(latest.stdout).to.equal(`${module} v1.1.0\n`);
  });

  it('learns where a version came from', async () => {
    registry.release('example.com/origin', 'v1.0.0');
    const Origin = { VCS: 'git', URL: 'https://git.example.com/origin', Hash: 'a'.repeat(40) };
    const info = { Version: 'v1.0.0', Time: '2024-01-02T04:04:05+01:00', Origin };
    registry.put('/example.com/origin/@v/v1.0.0.info', JSON.stringify(info));

    const { stdout } = await same('list', '-m', '-json', 'example.com/origin@v1.0.0');

    expect(JSON.parse(stdout)).to.deep.include({ Origin });
  });

  it('finds the version of a branch', async () => {
    const version = 'v0.0.0-20240102030405-0123456789ab';
    registry.release('example.com/branched', version);
    const info = JSON.stringify({ Version: version, Time: '2024-01-02T03:04:05Z' });
    registry.put('/example.com/branched/@v/main.info', info);

    const { stdout } = await same('list', '-m', 'example.com/branched@main');

    expect(stdout).to.equal(`example.com/branched ${version}\n`);
  });

  it('downloads modules that differ in case', async () => {
    registry.release('example.com/Upper/Case', 'v1.0.0-RC1', { base: 'example.com/!upper/!case' });
    for (const kind of ['info', 'mod', 'zip']) {
      const at = (version: string): string => `/example.com/!upper/!case/@v/${version}.${kind}`;
      registry.put(at('v1.0.0-!r!c1'), registry.reply(at('v1.0.0-RC1')));
    }
    registry.release('example.com/upper/case', 'v1.0.0');

    const go = await client(through);
    await go.go(folder.path, 'mod', 'download', 'example.com/Upper/Case@v1.0.0-RC1');
    await go.go(folder.path, 'mod', 'download', 'example.com/upper/case@v1.0.0');

    expect(existsSync(join(go.modules, 'example.com/!upper/!case@v1.0.0-!r!c1/one.go'))).to.equal(
      true,
    );
    expect(existsSync(join(go.modules, 'example.com/upper/case@v1.0.0/one.go'))).to.equal(true);
  });

  it('fails on a zip that is cut, and has it whole the next time', async () => {
    registry.release('example.com/cut', 'v1.0.0', {
      go: `package one\n// ${'x'.repeat(200_000)}\n`,
    });
    const path = '/example.com/cut/@v/v1.0.0.zip';
    const whole = registry.reply(path);
    registry.put(path, { ...whole, cutAfter: 100_000 });

    const cut = await go(`${through},${other.url}`, 'mod', 'download', 'example.com/cut@v1.0.0');
    expect(cut.code).to.equal(1);
    expect(cut.stderr).to.match(/unexpected EOF|connection reset/);
    expect(other.asked('cut/@v/v1.0.0.zip')).to.equal(0);

    registry.put(path, whole);
    for (let time = 1; time <= 2; time++)
      await (await client(through)).go(folder.path, 'mod', 'download', 'example.com/cut@v1.0.0');
    expect(registry.asked('cut/@v/v1.0.0.zip')).to.equal(2);
  });

  it('judges a zip that is none by itself', async () => {
    registry.release('example.com/bad', 'v1.0.0');
    registry.put('/example.com/bad/@v/v1.0.0.zip', 'this is no zip');
    other.release('example.com/bad', 'v1.0.0');

    const listed = `${through},${other.url}`;
    const { code, stderr } = await go(listed, 'mod', 'download', 'example.com/bad@v1.0.0');

    expect(code).to.equal(1);
    expect(stderr).to.include('not a valid zip file');
    expect(other.asked('bad/@v/v1.0.0.zip')).to.equal(0);
  });

  it('finds a package again while the upstream is away, and hears of the outage for the rest', async () => {
    const module = 'example.com/tools';
    registry.release(module, 'v1.0.0');
    registry.tool(module, 'v1.1.0', 'cmd/hello');
    const get = async (version: string): Promise<GoResult> => {
      const own = await client(through);
      const program = join(own.bin, '..', 'program');
      await mkdir(program);
      await own.go(program, 'mod', 'init', 'example.com/program');
      return await own.try(program, 'get', `${module}/cmd/hello@${version}`);
    };

    expect(await get('latest')).to.include({ code: 0 });
    await node.stop();
    await registry.leave();
    await node.restart();
    expect(await get('latest')).to.include({ code: 0 });
    const { code, stderr } = await get('v1.0.0');
    await registry.return();

    expect(code).to.equal(1);
    expect(stderr).to.include('502 Bad Gateway').and.to.include('connection refused');
  });
});
