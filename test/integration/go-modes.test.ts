import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { eventually } from '../criteria/eventually.ts';
import { entryRows } from '../criteria/node-files.ts';
import { GoClient, type GoResult, goMissing } from '../support/go-command.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { DoubleSite } from './go-double.ts';
import { GoPlace } from './go-phases.ts';

const LIB = 'example.com/lib';
/** Modules that `example.com/mid` and `example.com/mixed/Case` come with, themselves included. */
const MODULES = 3;
/** A list's lifetime that a test can sit out, and a little more. */
const SHORT = '500ms';
const SHORT_MS = 600;

// What a rule's modes and networks are to the go command.
describe('the go command behind a node in other modes', function () {
  this.timeout(60_000);

  let folder: TempFolder;

  before(async function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    folder = await tempFolder();
  });
  after(async () => {
    await folder?.[Symbol.asyncDispose]();
  });

  const start = async (rule: Readonly<Record<string, unknown>>): Promise<DoubleSite> =>
    await DoubleSite.start(folder.path, rule);
  /** Runs one go command as a client with empty caches, in a module of its own. */
  const go = async (site: DoubleSite, ...args: readonly string[]): Promise<GoResult> => {
    const place = new GoPlace(await mkdtemp(join(folder.path, 'place-')), await site.client({}));
    await place.module(LIB);
    return await place.try(...args);
  };
  const download = (version: string): readonly string[] => ['mod', 'download', `${LIB}@${version}`];

  it('fallback: what was there stays there while the upstream is away, lists too', async () => {
    await using site = await start({ network: 'fallback', listTtl: SHORT });
    const commands = [
      ['get', `${LIB}@latest`],
      ['list', '-m', '-versions', LIB],
      ['list', '-m', '-u', `${LIB}@v1.0.0`],
      ['list', '-m', `${LIB}@master`],
    ];
    const before = [];
    for (const command of commands) before.push(await go(site, ...command));
    await site.leave();
    await site.node.stop();
    await site.node.restart();
    await sleep(SHORT_MS);

    for (const [at, command] of commands.entries()) {
      const { code, stdout } = await go(site, ...command);
      expect({ code, stdout }).to.deep.include({ code: 0, stdout: before[at]?.stdout });
    }
    const { code, stderr } = await go(site, ...download('v1.2.0'));
    expect(code).to.equal(1);
    expect(stderr).to.include('502 Bad Gateway').and.to.not.include('404');
  });

  it('fallback: a module of which one version came is known by that version', async () => {
    await using site = await start({ network: 'fallback' });
    expect(await go(site, ...download('v1.0.0'))).to.include({ code: 0 });
    // Its row is written a moment after the answer.
    await eventually('its row', () => entryRows(site.node, `${LIB}/@v/v1.0.0.zip`)[0]);
    await site.leave();

    const { stdout, stderr } = await go(site, 'list', '-m', '-versions', LIB);
    expect(stdout, stderr).to.equal(`${LIB} v1.0.0\n`);
    expect(await go(site, 'get', `${LIB}@latest`)).to.include({ code: 0 });
  });

  it('online: a list that is old is an outage, and no absence', async () => {
    await using site = await start({ network: 'online', listTtl: SHORT });
    expect(await go(site, 'list', '-m', '-versions', LIB)).to.include({ code: 0 });
    await site.leave();
    await sleep(SHORT_MS);

    const { code, stderr } = await go(site, 'list', '-m', '-versions', LIB);
    expect(code).to.equal(1);
    expect(stderr).to.include('502 Bad Gateway').and.to.include('connection refused');
  });

  it('none: says that nothing is fetched, and the client goes on to the next proxy', async () => {
    await using site = await start({ mode: 'none' });
    await using other = await GoRegistry.start();
    other.release(LIB, 'v1.0.0');

    const { code, stderr } = await go(site, ...download('v1.0.0'));
    expect(code).to.equal(1);
    expect(stderr).to.include('404 Not Found').and.to.include('nothing is fetched for it');
    const client = await GoClient.create({
      ...{ folder: folder.path, proxy: `${site.node.url}/go,${other.url}` },
      env: { GONOSUMDB: '*' },
    });
    expect(await client.try(folder.path, ...download('v1.0.0'))).to.include({ code: 0 });
    expect(site.registry.requests).to.deep.equal([]);
  });

  for (const mode of ['redirect', 'async_redirect'])
    it(`${mode}: the client follows to the upstream`, async () => {
      await using site = await start({ mode });
      const place = new GoPlace(await mkdtemp(join(folder.path, 'place-')), await site.client({}));
      await place.module('example.com/mid', 'example.com/mixed/Case');
      await place.go('mod', 'tidy');
      const sums = await place.text('go.sum');
      expect(sums).to.include('example.com/mixed/Case v1.0.0 h1:');
      const zipsAsked = async (): Promise<number> =>
        (await site.immutable()).filter((path) => path.endsWith('.zip')).length;
      // The node fetches each for itself, behind its answers.
      const kept = mode === 'redirect' ? 0 : MODULES;
      await eventually('all zips', () => entryRows(site.node, '.zip').length === kept);
      expect(await zipsAsked()).to.equal(MODULES + kept);

      await place.go('clean', '-modcache');
      await place.go('mod', 'download', 'all');
      expect(await place.text('go.sum')).to.equal(sums);
      expect(await zipsAsked()).to.equal(MODULES - kept);
    });

  it('async: the client is told to come again, and then finds it', async () => {
    await using site = await start({ mode: 'async' });
    const first = await go(site, ...download('v1.0.0'));
    expect(first.code).to.equal(1);
    expect(first.stderr).to.include('404 Not Found').and.to.include('it is being fetched');

    // One more file is known after each round: .info, .mod, .zip, records and tiles.
    for (let round = 1; (await go(site, ...download('v1.0.0'))).code !== 0; round++)
      expect(round).to.be.below(12);
    const asked = await site.immutable();
    expect(asked).to.have.lengthOf(new Set(asked).size);
  });
});
