import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Fetched } from '../../src/fetchers/fetcher.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { GitServer } from '../support/git-server.ts';
import {
  eventually,
  processesOf,
  type VcsPlace,
  type VcsPlaceOptions,
  vcsPlace,
} from '../support/git-server-fetcher.ts';
import { commitTo, gitMissing } from '../support/git-server-repository.ts';
import { goMissing } from '../support/go-command.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { ask, failure, read, readText } from './requests.ts';

const MOD = 'corp.example.com/team/mod';
const COMMANDS_MS = 30_000;
const LINGER_MS = 10_000;

// B9, B12, B22: what it costs, and that nothing of it stays.
describe('jobs of GoVcsFetcher', function () {
  this.timeout(COMMANDS_MS);

  let folder: TempFolder;
  let server: GitServer;
  let open: VcsPlace[] = [];

  before(async function () {
    const missing = goMissing() ?? gitMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    folder = await tempFolder();
    const root = join(folder.path, 'root');
    for (const name of ['mod', 'other']) {
      const path = `corp.example.com/team/${name}`;
      commitTo(join(root, `${name}.git`), [
        { files: { 'go.mod': `module ${path}\n`, 'm.go': 'package mod\n' }, tags: ['v1.0.0'] },
        { files: { 'sub/go.mod': `module ${path}/sub\n` }, tags: ['sub/v1.0.0'] },
      ]);
    }
    server = await GitServer.start({ root });
  });
  beforeEach(() => {
    server.reset();
    server.hangs = false;
  });
  afterEach(async () => {
    for (const place of open) await place[Symbol.asyncDispose]();
    expect(open.flatMap((place) => place.files())).to.deep.equal([]);
    expect(processesOf(folder.path)).to.deep.equal([]);
    open = [];
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const start = async (
    options: object = {},
    more: Partial<VcsPlaceOptions> = {},
  ): Promise<VcsPlace> => {
    const repositories = ['mod', 'other'].map((name) => ({
      prefix: `corp.example.com/team/${name}`,
      url: `${server.url}/${name}.git`,
    }));
    const dataDir = join(folder.path, 'data');
    const place = await vcsPlace({ dataDir, options: { repositories, ...options }, ...more });
    open.push(place);
    return place;
  };
  const get = async ({ fetcher }: VcsPlace, path: string, signal?: AbortSignal): Promise<Fetched> =>
    await fetcher.fetch(ask(path), { signal });
  const status = async (place: VcsPlace, path: string): Promise<number> =>
    (await readText(await get(place, path)))[0];

  for (const file of ['v1.0.0.zip', 'main.info']) {
    it(`ask git once for eight equal requests at once: ${file}`, async () => {
      const place = await start();
      const all = await Promise.all(
        Array.from({ length: 8 }, async () => await get(place, `/${MOD}/@v/${file}`)),
      );
      const bodies = await Promise.all(all.map(async ({ body }) => await read(body)));
      const [first = Buffer.alloc(0)] = bodies;
      expect(first.length).to.be.greaterThan(0);
      expect(bodies.every((body) => body.equals(first))).to.equal(true);
      const { clones, requests } = server;
      const asked = requests.length;
      server.reset();

      const alone = await start({}, { dataDir: join(folder.path, 'alone') });
      expect(await status(alone, `/${MOD}/@v/${file}`)).to.equal(200);
      expect([clones, asked]).to.deep.equal([server.clones, requests.length]);
    });
  }

  it('make one clone for the files of a version and for modules in folders', async () => {
    const place = await start();
    const files = ['@v/v1.0.0.info', '@v/v1.0.0.mod', '@v/v1.0.0.zip', '@v/list'];
    await Promise.all(
      files.map(async (file) => expect(await status(place, `/${MOD}/${file}`)).to.equal(200)),
    );
    expect(server.clones).to.equal(1);
    expect(await status(place, `/${MOD}/@v/v1.0.0.info`)).to.equal(200);
    server.reset();
    expect(await status(place, `/${MOD}/@v/v1.0.0.mod`)).to.equal(200);
    expect(server.requests).to.deep.equal([]);
    expect(await status(place, `/${MOD}/sub/@v/list`)).to.equal(200);
    expect(await status(place, `/${MOD}/nothing/@v/list`)).to.equal(404);
    expect(new Set(place.files().flatMap((file) => file.split('/')[2] ?? [])).size).to.equal(1);
  });

  it('are gone when their time is over, and not before a body is read', async () => {
    const clock = new FakeClock();
    const place = await start({ linger: LINGER_MS }, { clock });
    const { body } = await get(place, `/${MOD}/@v/v1.0.0.zip`);
    clock.advance(LINGER_MS);
    expect(place.files().some((file) => file.endsWith('v1.0.0.zip'))).to.equal(true);
    await read(body);
    clock.advance(LINGER_MS - 1);
    expect(await status(place, `/${MOD}/@v/v1.0.0.info`)).to.equal(200);
    clock.advance(LINGER_MS - 1);
    expect(place.files().some((file) => file.endsWith('v1.0.0.zip'))).to.equal(true);
    clock.advance(1);
    await eventually(() => !place.files().some((file) => file.split('/').length > 2));
    expect(clock.sleeping).to.equal(0);
  });

  it('end with every process when they take too long', async () => {
    const clock = new FakeClock();
    const place = await start({}, { clock });
    server.hangs = true;
    const asked = failure(get(place, `/${MOD}/@latest`), 'timeout');
    await eventually(() => server.requests.length > 0);
    expect(processesOf(folder.path).filter((line) => line.includes('git'))).not.to.deep.equal([]);
    clock.advance(300_000);
    expect((await asked).message).to.include('within 5m');
    expect(processesOf(folder.path)).to.deep.equal([]);
    server.hangs = false;
    expect(await status(place, `/${MOD}/@latest`)).to.equal(200);
  });

  it('go on while one of two waits, and end when nobody does', async () => {
    const place = await start();
    server.hangs = true;
    const [one, two] = [new AbortController(), new AbortController()];
    const first = failure(get(place, `/${MOD}/@latest`, one.signal), 'aborted');
    const second = failure(get(place, `/${MOD}/@latest`, two.signal), 'aborted');
    await eventually(() => server.requests.length > 0);
    one.abort();
    await first;
    expect(processesOf(folder.path)).not.to.deep.equal([]);
    two.abort();
    await second;
    await eventually(() => processesOf(folder.path).length === 0);
    server.hangs = false;
    expect(await status(place, `/${MOD}/@latest`)).to.equal(200);
  });

  it('give the others their answer when the one who asked first has left', async () => {
    const place = await start();
    const giveUp = new AbortController();
    const first = failure(get(place, `/${MOD}/@latest`, giveUp.signal), 'aborted');
    const second = status(place, `/${MOD}/@latest`);
    giveUp.abort();
    await first;
    expect(await second).to.equal(200);
  });

  it('run as many at once as they may; who waits may leave', async () => {
    const place = await start({ concurrent: 1 });
    server.hangs = true;
    const [one, two] = [new AbortController(), new AbortController()];
    const first = failure(get(place, `/${MOD}/@latest`, one.signal), 'aborted');
    await eventually(() => server.requests.length > 0);
    const other = '/corp.example.com/team/other/@latest';
    const second = failure(get(place, other, two.signal), 'aborted');
    const third = status(place, other.replace('@latest', '@v/list'));
    two.abort();
    await second;
    expect(server.requests.every(({ path }) => path.startsWith('/mod.git'))).to.equal(true);
    server.hangs = false;
    one.abort();
    await first;
    expect(await third).to.equal(200);
  });

  it('errors a body whose reader is given up, and leaves the others theirs', async () => {
    const place = await start();
    const giveUp = new AbortController();
    const path = `/${MOD}/@v/v1.0.0.zip`;
    const [mine, theirs] = await Promise.all([get(place, path, giveUp.signal), get(place, path)]);
    giveUp.abort();
    await failure(read(mine.body), 'aborted');
    expect((await read(theirs.body)).length).to.be.greaterThan(0);
    await failure(get(place, path, AbortSignal.abort()), 'aborted');
  });

  it('are ended by closing, and none begins afterwards', async () => {
    const place = await start();
    server.hangs = true;
    const asked = failure(get(place, `/${MOD}/@latest`), 'unavailable');
    await eventually(() => server.requests.length > 0);
    await place[Symbol.asyncDispose]();
    await asked;
    expect(processesOf(folder.path)).to.deep.equal([]);
    await failure(get(place, `/${MOD}/@latest`), 'unavailable');
  });

  it('of a clone that is never idle begin anew after five minutes', async () => {
    const clock = new FakeClock();
    const place = await start({ linger: LINGER_MS }, { clock });
    const folders = (): number =>
      new Set(place.files().flatMap((file) => file.split('/')[2] ?? [])).size;
    const { body } = await get(place, `/${MOD}/@v/v1.0.0.zip`);
    clock.advance(299_000);
    expect(await status(place, `/${MOD}/@v/v1.0.0.mod`)).to.equal(200);
    expect(folders()).to.equal(1);
    clock.advance(1_000);
    expect(await status(place, `/${MOD}/@v/v1.0.0.mod`)).to.equal(200);
    expect(folders()).to.equal(2);
    body.destroy();
    clock.advance(LINGER_MS);
    await eventually(() => folders() === 1);
    clock.advance(LINGER_MS);
    await eventually(() => folders() === 0);
  });

  it('begin by removing what a process left that is gone, and nothing else', async () => {
    const dataDir = join(folder.path, 'data');
    const first = await start();
    const { body } = await get(first, `/${MOD}/@v/v1.0.0.zip`);
    const left = join(dataDir, 'go-vcs', '1-1-00000000', 'vcs', '0');
    await mkdir(left, { recursive: true });
    await writeFile(join(left, 'secret'), 'x');
    const orphan = spawn('sleep', ['60'], { cwd: left, stdio: 'ignore' });
    const ended = once(orphan, 'exit');
    const before = first.files().length;
    const second = await start({}, { dataDir });
    expect((await ended)[1]).to.equal('SIGKILL');
    expect(first.files().some((file) => file.includes('1-1-0'))).to.equal(false);
    expect(before - first.files().length).to.equal(4);
    expect(second.metrics.value('recovered_total', 'go-vcs')).to.equal(1);
    expect((await read(body)).length).to.be.greaterThan(0);
  });
});
