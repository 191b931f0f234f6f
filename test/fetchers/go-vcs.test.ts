import { join } from 'node:path';
import { expect } from 'chai';
import { GitServer } from '../support/git-server.ts';
import { type VcsPlace, vcsPlace } from '../support/git-server-fetcher.ts';
import { commitTo, gitMissing } from '../support/git-server-repository.ts';
import { goMissing } from '../support/go-command.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { ask, failure, read, readText } from './requests.ts';

const MOD = 'corp.example.com/team/mod';
const COMMANDS_MS = 30_000;

describe('GoVcsFetcher', function () {
  this.timeout(COMMANDS_MS);

  let folder: TempFolder;
  let server: GitServer;
  let place: VcsPlace;
  let commits: readonly string[];

  before(async function () {
    const missing = goMissing() ?? gitMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    folder = await tempFolder();
    const root = join(folder.path, 'root');
    commits = commitTo(join(root, 'mod.git'), [
      {
        files: { 'go.mod': `module ${MOD}\n\ngo 1.21\n`, 'm.go': 'package mod\n' },
        tags: ['v1.0.0'],
      },
      { files: { 'm.go': 'package mod // two\n' }, tags: ['v1.1.0-rc.1'] },
      {
        files: { 'sub/go.mod': `module ${MOD}/sub\n`, 'sub/s.go': 'package sub\n' },
        tags: ['sub/v0.1.0'],
      },
      { files: { 'm.go': 'package mod // topic\n' }, branch: 'topic' },
      {
        files: { 'v2/go.mod': `module ${MOD}/v2\n\ngo 1.99\n`, 'v2/m.go': 'package mod\n' },
        tags: ['v2.0.0'],
      },
      {
        files: { 'go.mod': `module ${MOD}\n\ngo 1.21\n\nretract v1.0.0\n` },
        tags: ['v1.2.0', 'not-a-version'],
      },
    ]);
    commitTo(join(root, 'plain.git'), [{ files: { 'p.go': 'package p\n' } }]);
    commitTo(join(root, 'Upper.git'), [
      { files: { 'go.mod': 'module corp.example.com/team/Upper\n' }, tags: ['v0.0.1'] },
    ]);
    server = await GitServer.start({ root });
    const at = (name: string, host = server.url): object => ({
      prefix: `corp.example.com/team/${name}`,
      url: `${host}/${name}.git`,
    });
    place = await vcsPlace({
      dataDir: join(folder.path, 'data'),
      options: {
        repositories: [
          ...['mod', 'plain', 'Upper', 'none'].map((name) => at(name)),
          at('away', 'http://127.0.0.1:1'),
          { prefix: 'github.com/corp/mono', url: `${server.url}/mod.git` },
          { prefix: 'corp.example.com/raw/mod.git', url: `${server.url}/mod.git` },
        ],
      },
    });
  });
  beforeEach(() => {
    server.reset();
    server.fails = undefined;
  });
  after(async () => {
    await place?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const get = async (path: string): Promise<readonly [number, string]> =>
    await readText(await place.fetcher.fetch(ask(path)));
  const version = async (path: string): Promise<string> => {
    const [status, text] = await get(path);
    expect(status, text).to.equal(200);
    return (JSON.parse(text) as { Version: string }).Version;
  };

  it('lists versions in full, also those retracted, and no other tags', async () => {
    expect(await get(`/${MOD}/@v/list`)).to.deep.equal([200, 'v1.0.0\nv1.1.0-rc.1\nv1.2.0\n']);
  });

  it('lists nothing for a repository without tags, whose latest version names a commit', async () => {
    expect(await get('/corp.example.com/team/plain/@v/list')).to.deep.equal([200, '']);
    expect(await version('/corp.example.com/team/plain/@latest')).to.match(
      /^v0\.0\.0-20240102030405-[0-9a-f]{12}$/,
    );
  });

  it('gives the latest version', async () => {
    expect(await version(`/${MOD}/@latest`)).to.equal('v1.2.0');
  });

  for (const wanted of ['v1.0.0', 'v1.1.0-rc.1']) {
    it(`gives .info, .mod and .zip of ${wanted}, with type and length`, async () => {
      expect(await version(`/${MOD}/@v/${wanted}.info`)).to.equal(wanted);
      const mod = await place.fetcher.fetch(ask(`/${MOD}/@v/${wanted}.mod`));
      expect(mod.headers.get('content-type')).to.equal('text/plain; charset=utf-8');
      expect(await readText(mod)).to.deep.equal([200, `module ${MOD}\n\ngo 1.21\n`]);
      const zip = await place.fetcher.fetch(ask(`/${MOD}/@v/${wanted}.zip`));
      expect(zip.headers.get('content-type')).to.equal('application/zip');
      const bytes = await read(zip.body);
      expect(zip.headers.get('content-length')).to.equal(String(bytes.length));
      expect(bytes.includes(`${MOD}@${wanted}/m.go`)).to.equal(true);
    });
  }

  it('gives a module in a folder', async () => {
    expect(await get(`/${MOD}/sub/@v/list`)).to.deep.equal([200, 'v0.1.0\n']);
    expect(await version(`/${MOD}/sub/@v/v0.1.0.info`)).to.equal('v0.1.0');
    const { body } = await place.fetcher.fetch(ask(`/${MOD}/sub/@v/v0.1.0.zip`));
    expect((await read(body)).includes(`${MOD}/sub@v0.1.0/s.go`)).to.equal(true);
  });

  it('gives .info and .mod of a module that wants a newer go, and says so of its zip', async () => {
    expect(await get(`/${MOD}/v2/@v/list`)).to.deep.equal([200, 'v2.0.0\n']);
    expect(await version(`/${MOD}/v2/@v/v2.0.0.info`)).to.equal('v2.0.0');
    expect((await get(`/${MOD}/v2/@v/v2.0.0.mod`))[1]).to.include('go 1.99');
    const { message } = await failure(get(`/${MOD}/v2/@v/v2.0.0.zip`), 'unavailable');
    expect(message).to.include('go 1.99 or newer');
  });

  it('gives names in their escaped form, percent-encoded or not', async () => {
    const path = '/corp.example.com/team/!upper/@v/v0.0.1';
    expect(await version(`${path}.info`)).to.equal('v0.0.1');
    expect((await get(`${path.replace('!', '%21')}.mod`))[1]).to.include('team/Upper');
  });

  for (const path of ['github.com/corp/mono', 'corp.example.com/raw/mod.git']) {
    it(`gives a mapped module whose place the go command knows by itself: ${path}`, async () => {
      // Its go.mod names another path, which matters to none but the client.
      expect((await get(`/${path}/@v/list`))[1]).to.include('v1.0.0');
      expect(server.requests).not.to.deep.equal([]);
    });
  }

  it('G6: resolves a branch, a tag and a commit to the canonical version', async () => {
    const [, , third = '', topic = ''] = commits;
    const pseudo = `v1.1.0-rc.1.0.20240102030705-${topic.slice(0, 12)}`;
    expect(await version(`/${MOD}/@v/topic.info`)).to.equal(pseudo);
    expect(await version(`/${MOD}/@v/main.info`)).to.equal('v1.2.0');
    expect(await version(`/${MOD}/@v/not-a-version.info`)).to.equal('v1.2.0');
    expect(await version(`/${MOD}/@v/${third.slice(0, 8)}.info`)).to.include(third.slice(0, 12));
    expect(await version(`/${MOD}/@v/${pseudo}.info`)).to.equal(pseudo);
    expect((await get(`/${MOD}/@v/${pseudo}.mod`))[0]).to.equal(200);
  });

  it('B1, B12: makes no zip for anything but a zip', async () => {
    const dataDir = join(folder.path, 'own');
    const url = `${server.url}/mod.git`;
    await using own = await vcsPlace({
      dataDir,
      options: { repositories: [{ prefix: MOD, url }] },
    });
    for (const file of ['@v/list', '@latest', '@v/topic.info', '@v/v1.0.0.info', '@v/v1.0.0.mod']) {
      expect((await readText(await own.fetcher.fetch(ask(`/${MOD}/${file}`))))[0]).to.equal(200);
    }
    expect(own.files().filter((file) => file.endsWith('.mod'))).not.to.deep.equal([]);
    expect(own.files().filter((file) => file.endsWith('.zip'))).to.deep.equal([]);
  });

  const absent: Readonly<Record<string, readonly [path: string, says: RegExp]>> = {
    'a version': [`/${MOD}/@v/v9.9.9.info`, /unknown revision v9\.9\.9/],
    'the zip of a version': [`/${MOD}/@v/v9.9.9.zip`, /unknown revision v9\.9\.9/],
    'a branch': [`/${MOD}/@v/nobody.info`, /unknown revision nobody/],
    'a folder, not an empty list': [`/${MOD}/nothing/@v/list`, /no matching versions/],
    'a repository': ['/corp.example.com/team/none/@v/list', /repository .* not found/],
    'a file': [`/${MOD}/@v/v1.0.0.txt`, /no such endpoint/],
    'what is no module': ['/nodot/mod/@v/list', /missing dot/],
    'a bad escape': ['/corp.example.com/%zz/@v/list', /percent-encoding/],
  };
  for (const [what, [path, says]] of Object.entries(absent)) {
    it(`answers 404 where there is no such thing: ${what}`, async () => {
      const fetched = await place.fetcher.fetch(ask(path));
      expect(fetched.headers.get('content-type')).to.equal('text/plain; charset=utf-8');
      const [status, text] = await readText(fetched);
      expect(status).to.equal(404);
      expect(text)
        .to.match(/^not found: /)
        .and.to.match(says);
      expect(text).not.to.include(folder.path);
      expect(text.split('\n').length).to.be.at.most(9);
    });
  }

  it('B10: throws where the host does not answer, also for what looks like an absence', async () => {
    const away = '/corp.example.com/team/away/@v';
    const { message } = await failure(get(`${away}/list`), 'upstream');
    expect(message).to.include('127.0.0.1').and.not.to.include(folder.path);
    await failure(get(`${away}/unknown revision.info`), 'upstream');
    for (const status of [401, 403, 503]) {
      server.fails = status;
      await failure(get(`/${MOD}/@v/v9.9.${status}.info`), 'upstream');
    }
    await failure(get(`/${MOD}/@v/list`), 'upstream');
    expect(place.metrics.value('fetch_errors_total', 'vcs,upstream')).to.equal(6);
  });

  it('answers HEAD as GET, without a body', async () => {
    for (const file of ['@v/list', '@v/v1.0.0.mod', '@v/v1.0.0.zip']) {
      const whole = await place.fetcher.fetch(ask(`/${MOD}/${file}`));
      const head = await place.fetcher.fetch(ask(`/${MOD}/${file}`, [], { method: 'HEAD' }));
      expect(head.headers.toRaw()).to.deep.equal(whole.headers.toRaw());
      expect(await readText(head)).to.deep.equal([200, '']);
      whole.body.destroy();
    }
    const other = await place.fetcher.fetch(ask(`/${MOD}/@v/list`, [], { method: 'POST' }));
    expect(other.status).to.equal(405);
    other.body.destroy();
  });
});
