import { expect } from 'chai';
import { GoRegistry, type GoReply } from '../support/go-registry.ts';
import { formOf } from '../support/go-sumdb-double.ts';
import { goZip } from '../support/go-zip.ts';
import { type CutAnswer, HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { rawExchange, statuses } from '../support/raw-http.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { ODD_PATHS } from './go-odd-paths.ts';

/** Milliseconds that the node waits for a head, or for more of a body. */
const PATIENCE = '500ms';
const WHOLE = seededBytes(120_000);
/** Databases and modules are numbered: each test has its own. */
const NUMBERS = Array.from({ length: 60 }, (_, number) => number);

/** Everything that a node asks an upstream for. */
const KINDS: Readonly<Record<string, (number: number) => string>> = {
  list: (number) => `/example.com/m${number}/@v/list`,
  latest: (number) => `/example.com/m${number}/@latest`,
  info: (number) => `/example.com/m${number}/@v/v1.0.0.info`,
  query: (number) => `/example.com/m${number}/@v/main.info`,
  mod: (number) => `/example.com/m${number}/@v/v1.0.0.mod`,
  zip: (number) => `/example.com/m${number}/@v/v1.0.0.zip`,
  tree: (number) => `/sumdb/sums.example.org/n${number}/latest`,
  lookup: (number) => `/sumdb/sums.example.org/n${number}/lookup/example.com/m@v1.0.0`,
  tile: (number) => `/sumdb/sums.example.org/n${number}/tile/8/0/001`,
};

const FAULTS: Readonly<Record<string, GoReply>> = {
  'status 500': { status: 500, body: 'not found: no, broken\n' },
  'status 502': { status: 502, body: 'Bad Gateway\n' },
  'status 503': { status: 503, body: 'later\n', headers: { 'Retry-After': '1' } },
  'status 504': { status: 504, body: '' },
  'status 599': { status: 599, body: 'odd\n' },
  'a reset instead of an answer': { silent: 'reset', body: '' },
  'no answer in time': { silent: 'stall', body: '' },
  'no HTTP': { raw: '\x00\x01 404 not found\r\n\r\n', body: '' },
  'no fields': { raw: 'HTTP/1.1 200 OK\r\nno colon here\r\n\r\nv1.0.0\n', body: '' },
  'two lengths': {
    raw: 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 9\r\n\r\nv1.0.0\n',
    body: '',
  },
  'a head without end': { raw: `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(200_000)}`, body: '' },
  'a body reset midway': { body: WHOLE, cutAfter: 60_000 },
  'a body closed midway': { body: WHOLE, cutAfter: 60_000, after: 'close' },
  'a body that stands still': { body: WHOLE, cutAfter: 60_000, after: 'stall' },
  'a chunked body reset midway': { body: WHOLE, cutAfter: 60_000, chunked: true },
  'a chunked body closed midway': { body: WHOLE, cutAfter: 60_000, chunked: true, after: 'close' },
  'no byte of the body': { body: WHOLE, cutAfter: 0, after: 'close' },
  'a body longer than announced': {
    raw: 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nv1.0.0\n',
    body: '',
  },
};

/** What a path has when all is well; zips, records and tiles must have their form. */
function wholeOf(path: string): Buffer {
  if (path.startsWith('/sumdb/')) return formOf(path);
  const [, module, version] = /^\/(.*)\/@v\/(.*)\.zip$/.exec(path) ?? [];
  if (path.endsWith('/v1.0.0.info'))
    return Buffer.from(JSON.stringify({ Version: 'v1.0.0', More: 'x'.repeat(WHOLE.length) }));
  if (module === undefined || version === undefined) return WHOLE;
  const plain = (text: string): string =>
    text.replace(/!([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return goZip(plain(module), plain(version), { 'go.mod': '', 'data.bin': WHOLE });
}

describe('Go modules from a hostile upstream', function () {
  this.timeout(30_000);

  let registry: GoRegistry;
  let node: NodeProcess;
  let client: HttpClient;
  const numbers = NUMBERS.values();
  const nextNumber = (): number => {
    const { value } = numbers.next();
    if (value === undefined) throw new Error('NUMBERS is too short');
    return value;
  };

  before(async () => {
    client = new HttpClient();
    registry = await GoRegistry.start();
    const timeouts = { firstByte: PATIENCE, idle: PATIENCE };
    node = await NodeProcess.start({
      config: {
        storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
        fetchers: { modules: { type: 'upstreams', list: registry.url, timeouts } },
        rules: [
          {
            ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
            sumdb: NUMBERS.map((number) => ({ name: `sums.example.org/n${number}` })),
          },
        ],
      },
    });
  });

  after(async () => {
    await node?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    await client?.[Symbol.asyncDispose]();
  });

  const get = async (path: string): Promise<CutAnswer> =>
    await client.getCut(`${node.url}/go${path}`);
  /** One check for every kind of file, all at once. */
  const forEachKind = async (check: (path: string) => Promise<void>): Promise<void> => {
    const number = nextNumber();
    const checks = Object.values(KINDS).map(async (path) => await check(path(number)));
    const failed = (await Promise.allSettled(checks)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  };

  for (const [title, fault] of Object.entries(FAULTS)) {
    it(`${title}: an error and no absence, kept nowhere, asked anew`, async () => {
      await forEachKind(async (path) => {
        registry.put(path, fault);
        const failed = await get(path);
        if (failed.error === undefined) expect(failed.status, path).to.be.within(500, 599);
        else expect([failed.status, failed.body.length < WHOLE.length]).to.deep.equal([200, true]);

        const whole = wholeOf(path);
        registry.put(path, whole);
        for (const _ of ['fetched', 'kept']) {
          const { status, body } = await get(path);
          expect([status, body.equals(whole)], path).to.deep.equal([200, true]);
          registry.put(path, fault);
        }
      });
    });
  }

  for (const status of [400, 401, 403, 404, 410, 418, 429, 451]) {
    it(`status ${status} and its words are relayed`, async () => {
      const body = `no: ${status}\n\tdétails\r\n\n${'line\n'.repeat(2000)}`;
      const absent = status === 404 || status === 410;
      await forEachKind(async (path) => {
        registry.put(path, { status, body });
        for (const _ of ['first', 'second']) {
          const answer = await get(path);
          expect([answer.status, answer.body.toString()], path).to.deep.equal([status, body]);
        }
        const times = registry.requests.filter((one) => one === path).length;
        expect(times, 'only an absence is kept').to.equal(absent ? 1 : 2);
        const control = (await get(path)).headers.get('cache-control');
        expect(control, path).to.match(absent ? /^public, max-age=\d{1,2}$/ : /^no-store$/);
      });
    });
  }

  for (const status of [201, 202, 203, 204, 206, 226, 299, 300, 304]) {
    it(`status ${status} is no success: it stays what it is, or an error, and is not kept`, async () => {
      await forEachKind(async (path) => {
        registry.put(path, { status, body: status === 204 || status === 304 ? '' : 'v1.0.0\n' });
        const answer = await get(path);
        expect([status, 502], path).to.include(answer.status);
        registry.put(path, WHOLE);
        expect((await get(path)).body.equals(WHOLE), path).to.equal(true);
      });
    });
  }

  it('H-63: paths that no registry has are 404 without a word to the upstream', async () => {
    const before = registry.requests.length;
    const port = Number(new URL(node.url).port);
    for (const path of ODD_PATHS) {
      const request = `GET /go${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`;
      const { text } = await rawExchange(port, request);
      expect(statuses(text), path).to.deep.equal([404]);
    }
    expect(ODD_PATHS).to.have.length.at.least(60);
    expect(registry.requests.slice(before)).to.deep.equal([]);
  });

  it('H-66: other databases are 404 without a word to the upstream', async () => {
    const before = registry.requests.length;
    const names = ['sums.example.org', 'other.example.org/n1', 'sums.example.org/n1x', 'n1'];
    for (const name of names)
      for (const rest of ['supported', 'latest', 'lookup/example.com/m@v1.0.0', 'tile/8/0/001'])
        expect((await get(`/sumdb/${name}/${rest}`)).status, name).to.equal(404);
    for (const rest of [
      '',
      'supported/',
      'Latest',
      'lookup/',
      'tile/8/0/1',
      'nothing',
      '../n2/latest',
    ])
      expect((await get(`/sumdb/sums.example.org/n1/${rest}`)).status, rest).to.equal(404);
    expect(registry.requests.slice(before)).to.deep.equal([]);
  });

  it('H-67: two modules that differ in case only are two, also after a restart', async () => {
    const letters = [...'abcdefghijklmnopqrstuvwxy'];
    const paths = letters.flatMap((letter) =>
      ['mod', 'zip'].flatMap((kind) => [
        `/example.com/${letter}pair/@v/v1.0.0-${letter}.${kind}`,
        `/example.com/!${letter}pair/@v/v1.0.0-!${letter}.${kind}`,
      ]),
    );
    const expected = paths.map((path) =>
      path.endsWith('.zip') ? wholeOf(path) : Buffer.from(`this is ${path}\n`),
    );
    for (const [at, path] of paths.entries()) registry.put(path, expected[at] ?? '');
    const expectAll = async (): Promise<void> => {
      const answers = await Promise.all(paths.map(get));
      for (const [at, { body }] of answers.entries())
        expect(body.equals(expected[at] ?? Buffer.alloc(0)), paths[at]).to.equal(true);
    };

    await expectAll();
    await node.stop();
    await node.restart();
    await expectAll();
    for (const path of paths) expect(registry.asked(path), path).to.equal(1);
  });
});
