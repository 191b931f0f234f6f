import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { goproxyPath } from '../../src/gomod/goproxy-path.ts';
import type { PutChange } from '../../src/manifest/manifest.ts';
import type { SqliteManifest } from '../../src/manifest/sqlite-manifest.ts';
import { answerKept } from '../../src/protocol/go-catalog.ts';
import { KeptModules } from '../../src/protocol/kept-modules.ts';
import type { ProtocolResponse } from '../../src/protocol/protocol.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { openIn, put, remove } from '../support/manifest-fixtures.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

interface Catalog {
  readonly modules: readonly { readonly module: string; readonly version: string }[];
  readonly next: string;
}

interface Line {
  readonly Path: string;
  readonly Version: string;
  readonly Timestamp: string;
}

function keptKey(name: string): string {
  const [module = '', version = ''] = name.split('@');
  return goproxyPath(module, 'zip', version);
}

function keep(name: string): PutChange {
  return put(keptKey(name), 0, { namespace: 'go', h1: 'h1:x=' });
}

function forget(name: string): ReturnType<typeof remove> {
  return { ...remove(keptKey(name)), namespace: 'go' };
}

function named({ Path, Version }: Line): string {
  return `${Path}@${Version}`;
}

describe('what of the Go modules is kept', () => {
  let folder: TempFolder;
  let clock: FakeClock;
  let manifest: SqliteManifest;
  let kept: KeptModules;
  beforeEach(async () => {
    folder = await tempFolder();
    clock = new FakeClock();
    manifest = await openIn(folder.path, { clock });
    kept = new KeptModules(manifest, 'go');
  });
  afterEach(async () => {
    await manifest[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  async function ask(target: string, method = 'GET'): Promise<ProtocolResponse> {
    const answer = await answerKept({ method, target }, kept);
    if (answer === undefined) throw new Error(`${target} is not answered`);
    return answer;
  }

  async function bodyOf({ content }: ProtocolResponse): Promise<string> {
    return content === undefined ? '' : await text(content.open());
  }

  async function catalog(query: string): Promise<Catalog> {
    const answer = await ask(`/catalog${query}`);
    expect(answer.status).to.equal(200);
    return JSON.parse(await bodyOf(answer)) as Catalog;
  }

  async function index(query: string): Promise<Line[]> {
    const answer = await ask(`/index${query}`);
    expect(answer.status).to.equal(200);
    const body = await bodyOf(answer);
    expect(body).to.match(/^(?:[^\n]+\n)*$/);
    return body
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  }

  async function commit(...names: string[]): Promise<void> {
    await manifest.commit(names.map(keep));
  }

  it('answers those two paths to GET and HEAD and nothing else', async () => {
    for (const target of ['/', '/catalog/', '/catalogue', '/index.html', '/x/catalog', '/Index'])
      expect(await answerKept({ method: 'GET', target }, kept), target).to.equal(undefined);
    expect(await answerKept({ method: 'POST', target: '/index' }, kept)).to.equal(undefined);
    for (const target of ['/catalog', '/index', '/catalog?', '/index?x=y&include=all']) {
      const [get, head] = [await ask(target), await ask(target, 'HEAD')];
      expect(head.status).to.equal(200);
      expect(head.content?.size).to.equal(get.content?.size);
      expect(get.headers.get('content-type')).to.equal('application/json; charset=utf-8');
      expect(get.headers.get('cache-control')).to.equal('no-store');
      expect(get.selectable).to.equal(false);
    }
  });

  it('B16: gives every kept version with its plain name', async () => {
    await commit('github.com/BurntSushi/TOML@v1.0.0', 'example.com/x@v1.0.0-RC1');
    await manifest.commit([put('example.com/x/@v/v1.0.0.mod', 0, { namespace: 'go' })]);
    expect(await catalog('')).to.deep.equal({
      modules: [
        { module: 'example.com/x', version: 'v1.0.0-RC1' },
        { module: 'github.com/BurntSushi/TOML', version: 'v1.0.0' },
      ],
      next: '',
    });
  });

  it('says of an empty store that it is empty', async () => {
    expect(await catalog('')).to.deep.equal({ modules: [], next: '' });
    expect(await index('')).to.deep.equal([]);
  });

  it('B16: pages through every version once while versions come and go', async () => {
    const stays = Array.from({ length: 60 }, (_, i) => `example.com/m${i % 7}/v2@v2.${i}.0`);
    await commit(...stays);
    const found: string[] = [];
    let token = '';
    let round = 0;
    do {
      const page = await catalog(`?pagesize=7&token=${encodeURIComponent(token)}`);
      expect(page.modules.length).to.be.at.most(7);
      found.push(...page.modules.map(({ module, version }) => `${module}@${version}`));
      token = page.next;
      // One comes and one goes on either side of where the page ended.
      await commit(`example.com/a${round}@v1.0.0`, `example.com/z${round}@v1.0.0`);
      if (round > 0) {
        await manifest.commit([
          forget(`example.com/a${round - 1}@v1.0.0`),
          forget(`example.com/z${round - 1}@v1.0.0`),
        ]);
      }
      round += 1;
    } while (token !== '');
    expect(found).to.deep.equal([...new Set(found)]);
    expect(stays.filter((name) => !found.includes(name))).to.deep.equal([]);
  });

  it('goes on where a page ended though that version is gone', async () => {
    await commit('example.com/a@v1.0.0', 'example.com/b@v1.0.0', 'example.com/c@v1.0.0');
    const { next } = await catalog('?pagesize=2');
    await manifest.commit([forget('example.com/b@v1.0.0')]);
    const { modules } = await catalog(`?pagesize=2&token=${next}`);
    expect(modules.map(({ module }) => module)).to.deep.equal(['example.com/c']);
  });

  it('gives 1,000 a page unless asked, and 10,000 at most', async () => {
    const names = Array.from({ length: 10_001 }, (_, i) => `example.com/x@v1.${i}.0`);
    for (let from = 0; from < names.length; from += 5000)
      await commit(...names.slice(from, from + 5000));
    expect((await catalog('')).modules).to.have.length(1000);
    expect((await catalog('?pagesize=&token=')).modules).to.have.length(1000);
    expect((await catalog('?pagesize=2500')).modules).to.have.length(2500);
    const most = await catalog('?pagesize=99999999999999999999');
    expect(most.modules).to.have.length(10_000);
    expect((await catalog(`?token=${most.next}`)).modules).to.have.length(1);
    expect(await index('?limit=99999999999999999999')).to.have.length(2000);
    expect(await index('')).to.have.length(2000);
  }).timeout(20_000);

  const refused: readonly [target: string, word: string][] = [
    ['/catalog?pagesize=0', 'pagesize'],
    ['/catalog?pagesize=-1', 'pagesize'],
    ['/catalog?pagesize=1.5', 'pagesize'],
    ['/catalog?pagesize=1e3', 'pagesize'],
    ['/catalog?pagesize=many', 'pagesize'],
    ['/catalog?token=nonsense', 'token'],
    ['/catalog?token=WyJ3ZWIiLCJhIiwiIl0', 'token'],
    ['/catalog?token=%00', 'token'],
    ['/index?limit=0', 'limit'],
    ['/index?limit=-5', 'limit'],
    ['/index?limit=0x10', 'limit'],
    ['/index?limit=ten', 'limit'],
    ['/index?since=yesterday', 'since'],
    ['/index?since=2024-01-01', 'since'],
    ['/index?since=2024-01-01T00:00:00', 'since'],
    ['/index?since=2024-01-01T00:00:00+01:00', 'since'],
    ['/index?since=2024-02-30T00:00:00Z', 'since'],
    ['/index?since=2024-13-01T00:00:00Z', 'since'],
    ['/index?since=2024-01-01T24:00:00Z', 'since'],
    ['/index?since=2024-01-01T00:60:00Z', 'since'],
    ['/index?since=2024-01-01T00:00:00.Z', 'since'],
    ['/index?since=2024-01-01T00:00:00Zx', 'since'],
    ['/index?since=1700000000', 'since'],
  ];
  for (const [target, word] of refused) {
    it(`refuses ${target}`, async () => {
      const answer = await ask(target);
      expect(answer.status).to.equal(400);
      expect(answer.headers.get('content-type')).to.equal('text/plain; charset=utf-8');
      expect(answer.headers.get('cache-control')).to.equal('no-store');
      expect(await bodyOf(answer)).to.match(new RegExp(`^bad request: ${word} .*\\n$`));
    });
  }

  it('B17: gives kept versions in the order in which they came, each with its time', async () => {
    const names = ['example.com/z@v1.0.0', 'github.com/A/b@v1.0.0', 'example.com/a@v1.0.0'];
    const times: string[] = [];
    for (const name of names) {
      clock.advance(1000);
      times.push(new Date(clock.now()).toISOString());
      await commit(name);
    }
    await manifest.commit([
      put('example.com/a/@v/v1.0.0.mod', 0, { namespace: 'go', h1: 'h1:x=' }),
    ]);
    const lines = await index('');
    expect(lines.map(named)).to.deep.equal(names);
    expect(lines.map(({ Timestamp }) => Timestamp)).to.deep.equal(times);
    expect((await index(`?since=${times[1]}`)).map(named)).to.deep.equal(names.slice(1));
    expect((await index(`?since=${times[1]}&limit=1`)).map(named)).to.deep.equal([names[1]]);
  });

  it('understands each way to write a moment, and includes it', async () => {
    await commit('example.com/a@v1.0.0');
    const at = clock.now();
    const iso = new Date(at).toISOString();
    const atNoon = new Date(at + 5.5 * 3_600_000).toISOString().replace('Z', '+05:30');
    const west = new Date(at - 3_600_000).toISOString().replace('Z', '-01:00');
    const after = iso.replace('Z', '000001Z');
    for (const since of [iso, iso.toLowerCase(), iso.replace('Z', '000000Z'), atNoon, west])
      expect(await index(`?since=${encodeURIComponent(since)}`), since).to.have.length(1);
    expect(await index('?since=1970-01-01T00:00:00Z')).to.have.length(1);
    expect(await index('?since=0000-01-01T00:00:00Z')).to.have.length(1);
    expect(await index('?since=')).to.have.length(1);
    expect(await index(`?since=${after}`)).to.deep.equal([]);
    expect(await index('?since=9999-12-31T23:59:59.999Z')).to.deep.equal([]);
  });

  for (const limit of [2, 7, 50]) {
    it(`goes on by the last Timestamp without a gap, ${limit} lines at a time, though the clock stands still`, async () => {
      const names = Array.from({ length: 40 }, (_, i) => `example.com/x@v1.${(i * 17) % 40}.0`);
      await commit(...names.slice(0, 30));
      const found = new Set<string>();
      let since = '';
      for (let asked = 0; asked < 60 && found.size < names.length; asked++) {
        const lines = await index(`?limit=${limit}&since=${since}`);
        for (const line of lines) found.add(named(line));
        since = lines.at(-1)?.Timestamp ?? since;
        if (asked === 3) await commit(...names.slice(30));
      }
      expect([...found]).to.deep.equal(names);
    });
  }

  it('gives one line at a time to whoever asks a nanosecond after the last', async () => {
    const names = ['example.com/c@v1.0.0', 'example.com/b@v1.0.0', 'example.com/a@v1.0.0'];
    await commit(...names);
    const found: string[] = [];
    let since = '';
    for (;;) {
      const [line] = await index(`?limit=1&since=${since}`);
      if (line === undefined) break;
      found.push(named(line));
      since = line.Timestamp.replace('Z', '000001Z');
    }
    expect(found).to.deep.equal(names);
  });

  it('fails rather than show an empty store when the manifest cannot be read', async () => {
    await commit('example.com/a@v1.0.0');
    await manifest[Symbol.asyncDispose]();
    for (const target of ['/catalog', '/index']) {
      const error = await ask(target).catch((thrown: Error) => thrown);
      expect(error).to.be.instanceOf(Error).and.to.include({ kind: 'unavailable' });
    }
    manifest = await openIn(folder.path);
  });
});
