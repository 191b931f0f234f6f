import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { InputPlace, RAW_HOST, type Seen, say } from './place.ts';

type Fields = Readonly<Record<string, string>>;

const USERS = 20;

describe('what may be shared, through a node', () => {
  let place: InputPlace;

  before(async () => {
    place = await InputPlace.start({
      rules: [
        { name: 'ignore', host: 'ignore.test', cookies: 'ignore' },
        { name: 'rfc', host: 'rfc.test', freshness: 'rfc' },
      ],
    });
  });
  after(async () => await place[Symbol.asyncDispose]());

  const fieldsOf =
    (more: Fields): ((seen: Seen, res: Parameters<typeof say>[0]) => void) =>
    (seen, res) =>
      say(res, seen, more);

  /** Whether a second request of this kind was answered with what the first one got. */
  async function isShared(path: string, one: Fields, other: Fields = one): Promise<boolean> {
    const first = await place.echo(path, { headers: one });
    return (await place.echo(path, { headers: other })).number === first.number;
  }

  it('H-41: an answer to a request with credentials is for whoever sent it: 20 users', async () => {
    for (const host of ['a.test', 'rfc.test']) {
      const path = `/41/${host}`;
      const users = Array.from({ length: USERS / 2 }, (_, user) => `Bearer ${user}`);
      for (const authorization of users) {
        const seen = await place.echo(path, { headers: { host, authorization } });
        expect(seen.headers['authorization']).to.equal(authorization);
      }
      const clean = await place.echo(path, { headers: { host } });
      expect(clean.headers['authorization']).to.equal(undefined);
    }
  });

  const leave: readonly (readonly [cacheControl: string, shared: boolean])[] = [
    ['max-age=600', false],
    ['max-age=600, public', true],
    ['s-maxage=600', true],
    ['max-age=600, must-revalidate', true],
  ];
  it('H-41: in profile rfc public, s-maxage and must-revalidate give leave to share it, in strict nothing does', async () => {
    for (const [cc, shared] of leave) {
      for (const host of ['rfc.test', 'a.test']) {
        const path = `/41/${host}/${encodeURIComponent(cc)}`;
        place.scripts.set(path, fieldsOf({ 'Cache-Control': cc }));
        const first = { host, authorization: 'Basic YTpi' };
        expect(await isShared(path, first, { host }), `${host} ${cc}`).to.equal(
          shared && host === 'rfc.test',
        );
      }
    }
  });

  it('H-42: an answer to a request with cookies is for whoever sent it, but where the rule ignores them: 20 users', async () => {
    for (const host of ['a.test', 'rfc.test']) {
      for (let user = 0; user < USERS; user++) {
        const cookie = `user=${user}`;
        const seen = await place.echo('/42', { headers: { host, cookie } });
        expect(seen.headers['cookie']).to.equal(cookie);
      }
      expect((await place.echo('/42', { headers: { host } })).headers['cookie']).to.equal(
        undefined,
      );
    }
    const host = 'ignore.test';
    expect(await isShared('/42', { host, cookie: 'user=1' }, { host, cookie: 'user=2' })).to.equal(
      true,
    );
  });

  it('H-43: an answer with Set-Cookie is not kept: 20 clients, 20 cookies', async () => {
    place.scripts.set('/43', (seen, res) =>
      say(res, seen, { 'Set-Cookie': `id=${seen.number}`, 'Cache-Control': 'public, max-age=600' }),
    );
    const asked = Array.from({ length: USERS }, async () => {
      const { headers } = await place.ask('/43', { headers: { host: 'a.test' } });
      return headers.get('Set-Cookie');
    });
    expect(new Set(await Promise.all(asked)).size).to.equal(USERS);
  });

  const answers: readonly (readonly [fields: Fields, shared: boolean])[] = [
    [{ 'Cache-Control': 'private' }, false],
    [{ 'Cache-Control': 'private, max-age=600' }, false],
    [{ 'Cache-Control': 'PRIVATE, max-age=600' }, false],
    [{ 'Cache-Control': 'max-age=600, private' }, false],
    [{ 'Cache-Control': 'no-store' }, false],
    [{ 'Cache-Control': 'No-Store, max-age=600' }, false],
    [{ 'Cache-Control': 'max-age=600, no-store' }, false],
    [{ 'Cache-Control': 'no-cache, max-age=600' }, false],
    [{ 'Cache-Control': 'no-cache' }, false],
    [{ 'Cache-Control': 'no-cache="x-a", max-age=0' }, false],
    [{ 'Cache-Control': 'max-age=0' }, false],
    [{ 'Cache-Control': 's-maxage=0, max-age=600' }, false],
    [{ 'Cache-Control': 'max-age=600' }, true],
    [{ 'Cache-Control': 'public, max-age=600' }, true],
  ];
  it(`H-44: private, no-store and no-cache of an answer are obeyed: ${answers.length} answers`, async () => {
    for (const [at, [fields, shared]] of answers.entries()) {
      place.scripts.set(`/44/${at}`, fieldsOf(fields));
      expect(await isShared(`/44/${at}`, {}), JSON.stringify(fields)).to.equal(shared);
    }
  });

  it('H-44: no-store, no-cache and only-if-cached of a request are obeyed: 6 requests', async () => {
    const ask = async (cc: string, path: string): Promise<number> =>
      (await place.ask(path, { headers: { 'cache-control': cc } })).status;
    expect(await ask('only-if-cached', '/44/none')).to.equal(504);
    expect(await ask('only-if-cached, max-age=600', '/44/none')).to.equal(504);
    expect(place.asked('/44/none')).to.equal(0);
    expect(await isShared('/44/store', { 'cache-control': 'no-store' }, {})).to.equal(false);
    expect(await isShared('/44/cached', {})).to.equal(true);
    await place.kept('/44/cached');
    expect(await ask('only-if-cached', '/44/cached')).to.equal(200);
    expect(await isShared('/44/cached', { 'cache-control': 'no-cache' })).to.equal(false);
    expect(await isShared('/44/cached', { pragma: 'no-cache' })).to.equal(false);
  });

  const provoking: readonly Fields[] = [
    ...['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'].map((name) => ({
      [name]: 'DELETE',
    })),
    ...['X-Original-URL', 'X-Rewrite-URL'].map((name) => ({ [name]: '/admin' })),
    ...[
      'bytes=99999999-',
      'bytes=9-1',
      'bytes=a-b',
      'lines=1-2',
      `bytes=${'0-0,'.repeat(300)}1-1`,
    ].map((range) => ({ Range: range })),
    { 'X-Long': 'x'.repeat(12_000) },
    { Accept: 'x'.repeat(8_000) },
    { 'X-Odd': '\x80\xff' },
    { Cookie: 'a=\x80' },
    { Authorization: 'Nobody' },
    { 'If-Match': '"none"' },
    { 'If-Unmodified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT' },
    { 'X-Forwarded-Host': 'bad host' },
    { Origin: 'null' },
    { 'Content-Type': 'x/y' },
  ];
  it(`H-48: an error that one client provokes is not served to another: ${provoking.length} triggers`, async () => {
    for (const [at, fields] of provoking.entries()) {
      const path = `/48/${at}`;
      const [name = '', value = ''] = Object.entries(fields)[0] ?? [];
      place.scripts.set(path, (seen, res) => {
        const isBad = seen.headers[name.toLowerCase()] === value;
        say(res, seen, {}, isBad ? (at < 10 ? 404 : 400) : 200);
      });
      const { text } = await place.sendRaw(
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${name}: ${value}\r\n\r\n`,
      );
      const clean = await place.ask(path, { headers: { host: '127.0.0.1' } });
      const provoked = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
      expect([name, clean.status], `it got ${provoked}`).to.deep.equal([name, 200]);
    }
  });

  it('H-53: the credentials of clients are in no log line, key or file, and reach no other host: 200 canaries', async () => {
    const carriers = ['Authorization', 'Cookie', 'Proxy-Authorization', 'X-Api-Key'];
    place.rawScripts.set('/53/raw', 'HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n');
    for (let number = 0; number < 200; number++) {
      const name = carriers[number % carriers.length] ?? '';
      const path = number % 2 === 0 ? `/53/${number}` : '/53/raw';
      const host = number % 2 === 0 ? 'a.test' : RAW_HOST;
      await place.ask(path, { headers: { host, [name]: `canary53-${number}` } });
    }
    expect(JSON.stringify(place.log.lines)).to.not.include('canary53');
    const files = await readdir(place.folder.path, { recursive: true, withFileTypes: true });
    for (const file of files.filter((one) => one.isFile())) {
      const bytes = await readFile(join(file.parentPath, file.name)).catch(() => Buffer.alloc(0));
      expect(bytes.includes('canary53'), file.name).to.equal(false);
    }
  });
});
