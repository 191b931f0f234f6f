import { expect } from 'chai';
import { InputPlace, type Seen, say } from './place.ts';

type Fields = Readonly<Record<string, string>>;

describe('what answers are kept under, through a node', () => {
  let place: InputPlace;

  before(async () => {
    place = await InputPlace.start({ config: { trustedProxies: ['127.0.0.2'] } });
  });
  after(async () => await place[Symbol.asyncDispose]());

  /** A request as bytes, so that nobody tidies its target or fields. */
  async function send(
    host: string,
    target: string,
    fields: Fields = {},
    method = 'GET',
  ): Promise<Seen> {
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    const framing = method === 'POST' ? 'Content-Length: 0\r\n' : '';
    const { text } = await place.sendRaw(
      `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${framing}${lines.join('')}\r\n`,
    );
    const [head = '', ...body] = text.split('\r\n\r\n');
    expect(head, `${host}${target}`).to.match(/^HTTP\/1\.1 200 /);
    return JSON.parse(body.join('\r\n\r\n')) as Seen;
  }

  /** Asks for each twice at once, then again; gives what each got first. Whoever is asked again gets what it got. */
  async function each<T>(all: readonly T[], ask: (one: T) => Promise<Seen>): Promise<Seen[]> {
    const first = await Promise.all(all.map(ask));
    const again = await Promise.all(all.map(ask));
    expect(again.map(({ number }) => number)).to.deep.equal(first.map(({ number }) => number));
    expect(new Set(first.map(({ number }) => number)).size).to.equal(all.length);
    return first;
  }

  it('H-31: another scheme, host, port, path or query is another entry, another method goes to the origin: 64 requests', async () => {
    const two = [0, 1] as const;
    const parts = two.flatMap((tls) =>
      two.flatMap((host) =>
        two.flatMap((port) =>
          two.flatMap((path) => two.map((query) => [tls, host, port, path, query] as const)),
        ),
      ),
    );
    const place2 = await InputPlace.start({ config: { trustedProxies: ['127.0.0.1'] } });
    try {
      const asked = parts.map(([tls, host, port, path, query]) => ({
        proto: tls ? 'https' : 'http',
        host: `${host ? 'a' : 'b'}.test${port ? ':81' : ''}`,
        target: `/31/${path ? 'x' : 'y'}${query ? '?q=1' : ''}`,
      }));
      const ask = async (one: (typeof asked)[number], method = 'GET'): Promise<Seen> =>
        await place2.echo(one.target, {
          method,
          headers: { host: one.host, 'x-forwarded-proto': one.proto },
        });
      const got = await each(asked, async (one) => await ask(one));
      const posted = await Promise.all(asked.map(async (one) => await ask(one, 'POST')));
      for (const [at, { proto, host, target }] of asked.entries()) {
        for (const seen of [got[at], posted[at]]) {
          expect(seen?.target).to.equal(target);
          expect(seen?.headers['host']).to.equal(host);
          expect(seen?.headers['x-forwarded-proto']).to.equal(proto);
        }
        expect(posted[at]?.method).to.equal('POST');
      }
      expect(place2.seen).to.have.lengthOf(64);
    } finally {
      await place2[Symbol.asyncDispose]();
    }
  });

  it('H-32: what one host answers is never shared with another: 10 hosts, 10 paths', async () => {
    const hosts = [
      ...['a.test', 'a.test.', 'a.test:81', 'aa.test', 'a.test.b'],
      ...['b.test', 'a-test', '127.0.0.1', '[::1]', 'xn--a.test'],
    ];
    const paths = [
      '/',
      '/a',
      '/a.test',
      '/a.test/',
      '/:81',
      '//a.test',
      '/a?a.test',
      '/?',
      '/@b.test',
      '/32',
    ];
    const asked = hosts.flatMap((host) => paths.map((path) => [host, path] as const));
    const got = await each(asked, async ([host, path]) => await send(host, path));
    for (const [at, [host, path]] of asked.entries()) {
      expect(got[at]?.headers['host']).to.equal(host);
      expect(got[at]?.target).to.equal(path);
    }
  });

  const vary: readonly (readonly [
    vary: string | readonly string[],
    one: Fields,
    other: Fields,
    shared: boolean,
  ])[] = [
    ['X-A', { 'X-A': '1' }, { 'x-a': '1' }, true],
    ['X-A', { 'X-A': '1' }, { 'X-A': '2' }, false],
    ['X-A', { 'X-A': '1' }, {}, false],
    ['X-A', {}, { 'X-A': '' }, false],
    ['x-b, X-A', { 'X-A': '1', 'X-B': '2' }, { 'X-B': '2', 'X-A': '1' }, true],
    [['X-A', 'X-B'], { 'X-A': '1', 'X-B': '2' }, { 'X-A': '1', 'X-B': '3' }, false],
    [['X-A', 'X-B'], { 'X-A': '1', 'X-B': '2' }, { 'X-A': '2', 'X-B': '1' }, false],
    ['X-A,,X-A', { 'X-A': '1' }, { 'X-A': '1', 'X-C': '9' }, true],
    ['*', {}, {}, false],
    [['X-A', '*'], { 'X-A': '1' }, { 'X-A': '1' }, false],
  ];
  it(`H-33: Vary decides who shares an answer, in several lines, any case and order: ${vary.length} pairs`, async () => {
    for (const [at, [names, one, other, shared]] of vary.entries()) {
      const path = `/33/${at}`;
      place.scripts.set(path, (seen, res) => say(res, seen, { Vary: [names].flat() }));
      const first = await send('a.test', path, one);
      const second = await send('a.test', path, other);
      expect(second.number === first.number, JSON.stringify([names, one, other])).to.equal(shared);
    }
  });

  const steering = [
    ...['X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Forwarded-Port'],
    ...['X-Forwarded-Server', 'X-Forwarded-Scheme', 'X-Forwarded-Prefix', 'X-Forwarded-Path'],
    ...['X-Forwarded-Ssl', 'X-Forwarded-By', 'X-Forwarded-Uri', 'X-Forwarded-Client-Cert'],
    ...['Forwarded', 'X-Real-IP', 'X-Client-IP', 'X-Cluster-Client-IP', 'True-Client-IP'],
    ...['CF-Connecting-IP', 'Fastly-Client-IP', 'X-Host', 'X-Original-URL', 'X-Original-Host'],
    ...['X-Original-URI', 'X-Rewrite-URL', 'X-Rewrite-URI', 'X-HTTP-Method-Override'],
    ...['X-HTTP-Method', 'X-Method-Override', 'Cookie', 'Authorization', 'Proxy-Authorization'],
    ...['Proxy-Connection', 'TE', 'Keep-Alive', 'X-HTTP-Host-Override', 'X-Forwarded', 'X-Scheme'],
    ...['X-Url-Scheme', 'Front-End-Https', 'X-Remote-Addr'],
  ];
  it(`H-34: no field by which a client steers an origin reaches another client: ${steering.length} fields`, async () => {
    const leaks: string[] = [];
    await Promise.all(
      steering.map(async (name, at) => {
        const path = `/34/${at}`;
        await send('a.test', path, { [name]: `canary-${at}` });
        const clean = await send('a.test', path);
        if (JSON.stringify(clean).includes('canary')) leaks.push(name);
      }),
    );
    expect(leaks).to.deep.equal([]);
  });

  it('H-34: an answer for one Origin is not shared with another', async () => {
    const path = '/34/origin';
    place.scripts.set(path, (seen, res) =>
      say(res, seen, { 'Access-Control-Allow-Origin': seen.headers['origin'] ?? 'none' }),
    );
    await send('a.test', path, { Origin: 'http://canary.test' });
    expect((await send('a.test', path)).headers['origin']).to.equal(undefined);
  });

  const forms = [
    '/a/../b',
    '/a/./b',
    '/b',
    '/a/%2e%2e/b',
    '/a/%2E%2E/b',
    '/a/.%2e/b',
    '/a//b',
    '//a/b',
  ];
  const more = [
    '/a/b',
    '/a/b/',
    '/a/b;x',
    '/a;x/b',
    '/a%2Fb',
    '/a%2fb',
    '/A/b',
    '/a/b.css',
    '/a/b%00',
    '/a/b%20',
  ];
  const queries = [
    '?',
    '?x=1',
    '?x=1&y=2',
    '?y=2&x=1',
    '?x=1&x=1',
    '?x=%31',
    '?x=',
    '?x',
    '?&x',
    '?x&',
    '?X=1',
    '?a/../b',
  ];
  it('H-35: every form of a path and a query is an entry of its own, and reaches the origin byte for byte: 80 pairs', async () => {
    const targets = [...forms, ...more].flatMap((path) =>
      ['', ...queries].map((query) => path + query),
    );
    const asked = targets.slice(0, 81);
    const got = await each(asked, async (target) => await send('forms.test', target));
    for (const [at, target] of asked.entries()) expect(got[at]?.target).to.equal(target);
  });
});
