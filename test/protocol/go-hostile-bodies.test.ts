import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { GoRegistry, type GoReply } from '../support/go-registry.ts';
import { goZip } from '../support/go-zip.ts';
import { type CutAnswer, HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';

const MIB = 1024 * 1024;
/** P13: bytes that a node may take beyond what it has when idle, whatever the body's size. */
const GROWTH = 150 * MIB;
const SUMDB = 'sums.example.org';
const HTML = '<!DOCTYPE html>\n<html><body>Please log in to this network.</body></html>\n';
const AT = '/example.com';

/** Bodies that a registry may send with 200 and that the client has to judge: path and bytes. */
const ODD_BODIES: readonly (readonly [title: string, path: string, body: string | Buffer])[] = [
  ['a list of control bytes', 'a/@v/list', Buffer.from(Array.from({ length: 256 }, (_, at) => at))],
  ['a list with CRLF', 'b/@v/list', 'v1.0.0\r\nv1.1.0\r\n'],
  ['a list without a newline', 'c/@v/list', 'v1.0.0'],
  ['a list of newlines', 'd/@v/list', '\n'.repeat(5000)],
  ['a list of one line', 'e/@v/list', `v1.0.0-${'a'.repeat(5 * MIB)}`],
  ['a list in UTF-16', 'f/@v/list', Buffer.from('\uFEFFv1.0.0\nv1.1.0\n', 'utf16le')],
  ['a list of paths', 'g/@v/list', '../../../etc/passwd\nv1.0.0/../v2\n$(id)\n%0a\n'],
  ['a list that is a page', 'h/@v/list', HTML],
  ['cut JSON', 'i/@v/v1.0.0.info', '{"Version":"v1.0.0","Ti'],
  ['JSON of another version', 'j/@v/v1.0.0.info', '{"Version":"v1.0.1"}'],
  ['JSON without a version', 'k/@v/v1.0.0.info', '{}'],
  ['JSON of other types', 'l/@v/v1.0.0.info', '{"Version":1,"Time":[]}'],
  ['a JSON array', 'm/@latest', '["v1.0.0"]'],
  ['deep JSON', 'n/@latest', '['.repeat(MIB)],
  ['JSON with a name twice', 'o/@latest', '{"Version":"v1.0.0","Version":"v9.0.0"}'],
  ['a page for @latest', 'p/@latest', HTML],
  ['a branch that is no version', 'q/@v/main.info', '{"Version":"main"}'],
  ['an empty answer for a branch', 'r/@v/main.info', ''],
  ['a go.mod of another module', 's/@v/v1.0.0.mod', 'module example.com/other\n'],
  ['a go.mod that is a page', 't/@v/v1.0.0.mod', HTML],
  ['a go.mod of 20 MiB', 'u/@v/v1.0.0.mod', Buffer.alloc(20 * MIB, '// \n')],
  ['an empty go.mod', 'v/@v/v1.0.0.mod', ''],
  ['a zip that is a page', 'w/@v/v1.0.0.zip', HTML],
  ['an empty zip', 'x/@v/v1.0.0.zip', ''],
];

/** The same for databases, whose signatures are the client's to check. */
const ODD_NOTES: readonly (readonly [title: string, path: string, body: string])[] = [
  ['an unsigned tree', 'latest', 'go.sum database tree\n1\nAAAA\n'],
  [
    'a lookup with a wrong signature',
    'lookup/example.com/a@v1.0.0',
    '1\nx\n\ntree\n\n\u2014 x y\n',
  ],
  ['a lookup that is a page', 'lookup/example.com/b@v1.0.0', HTML],
  ['a tile that is too short', 'tile/8/0/001', 'short'],
];

describe('Go modules: bodies of a hostile upstream', function () {
  this.timeout(60_000);

  let registry: GoRegistry;
  let node: NodeProcess;
  let client: HttpClient;

  before(async () => {
    client = new HttpClient();
    registry = await GoRegistry.start();
    node = await NodeProcess.start({
      config: {
        storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [
          {
            ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
            sumdb: [{ name: SUMDB }],
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
  const expectSame = async (path: string, reply: GoReply, headers = {}): Promise<void> => {
    registry.put(path, reply);
    const expected = Buffer.from(reply.body as string | Buffer);
    for (const cache of ['first', 'second']) {
      const answer = await get(path);
      expect([answer.status, answer.error], cache).to.deep.equal([200, undefined]);
      expect(answer.body.equals(expected), cache).to.equal(true);
      for (const [name, value] of Object.entries(headers))
        expect(answer.headers.get(name), cache).to.equal(value);
    }
    // What never changes may be looked at, and put aside; lists and queries are the client's to judge.
    if (/\/(?:list|@latest|main\.info)$/.test(path))
      expect(registry.requests.filter((one) => one === path)).to.have.lengthOf(1);
  };

  for (const [title, path, body] of ODD_BODIES)
    it(`passes on ${title}, byte for byte`, async () => {
      await expectSame(`${AT}/${path}`, { body });
    });

  for (const [title, path, body] of ODD_NOTES)
    it(`passes on ${title}, byte for byte`, async () => {
      await expectSame(`/sumdb/${SUMDB}/${path}`, { body });
    });

  it('takes off a coding that nobody asked for, and keeps what was in it', async () => {
    const zip = goZip('hostile.example.com/coded', 'v1.0.0', { 'go.mod': 'module x\n' });
    const files: readonly (readonly [string, Buffer])[] = [
      ['list', Buffer.from('v1.0.0\n')],
      ['v1.0.0.info', Buffer.from('{"Version":"v1.0.0"}')],
      ['v1.0.0.mod', Buffer.from('module x\n')],
      ['v1.0.0.zip', zip],
    ];
    for (const [file, plain] of files) {
      const path = `/hostile.example.com/coded/@v/${file}`;
      registry.put(path, { body: gzipSync(plain), headers: { 'Content-Encoding': 'gzip' } });
      for (const cache of ['first', 'second']) {
        const { body, headers, status } = await get(path);
        expect([status, headers.get('content-encoding')], cache).to.deep.equal([200, undefined]);
        expect(body.equals(plain), `${file} ${cache}`).to.equal(true);
      }
      expect(registry.requests.filter((one) => one === path)).to.have.lengthOf(1);
    }
    const cut = '/hostile.example.com/coded/@v/v1.1.0.mod';
    registry.put(cut, {
      body: gzipSync('x').subarray(0, 15),
      headers: { 'Content-Encoding': 'gzip' },
    });
    const broken = await get(cut);
    expect(broken.status !== 200 || broken.error !== undefined).to.equal(true);
    const odd = '/hostile.example.com/coded/@v/v1.2.0.mod';
    registry.put(odd, { body: 'x', headers: { 'Content-Encoding': 'rot13' } });
    expect((await get(odd)).status).to.equal(502);
  });

  it('takes nothing of an upstream’s fields but what tells of the bytes', async () => {
    const headers = {
      ...{ 'Set-Cookie': 'a=1', 'Cache-Control': 'no-store', Expires: '0', Vary: '*' },
      ...{ 'X-Cache': 'lies', Link: '</x>', 'Clear-Site-Data': '"*"', 'Alt-Svc': 'h2=":1"' },
      ...{ 'Access-Control-Allow-Origin': '*', Refresh: '0;url=/' },
    };
    const path = `${AT}/fields/@v/v1.0.0.mod`;
    await expectSame(path, { body: 'module example.com/fields\n', headers });
    const kept = (await get(path)).headers;
    for (const name of Object.keys(headers))
      if (name !== 'Cache-Control' && name !== 'X-Cache')
        expect(kept.get(name), name).to.equal(undefined);
    expect(kept.get('Cache-Control')).to.equal('public, max-age=31536000, immutable');
    expect(kept.get('X-Cache')).to.not.equal('lies');
  });

  it('passes on a list of a million lines', async () => {
    const lines = Array.from({ length: 1_000_000 }, (_, at) => `v1.0.${at}\n`).join('');
    await expectSame(`${AT}/million/@v/list`, { body: lines });
  });

  for (const [title, path] of [
    ['list', `${AT}/large/@v/list`],
    ['lookup', `/sumdb/${SUMDB}/lookup/example.com/large@v1.0.0`],
  ] as const)
    it(`streams a ${title} of 100 MiB to four clients in bounded memory`, async () => {
      const piece = Buffer.alloc(MIB, 'v1.0.0-a.b.c.d\n');
      const size = 100 * MIB;
      const idle = node.memory().rss;
      registry.put(path, {
        size,
        body: function* () {
          for (let sent = 0; sent < size; sent += MIB) yield piece;
        },
      });
      const digest = async (): Promise<string> => {
        const { body } = await client.stream(`${node.url}/go${path}`);
        const hash = createHash('sha256');
        for await (const chunk of body) hash.update(chunk as Buffer);
        return hash.digest('hex');
      };
      const cold = await Promise.all([digest(), digest(), digest(), digest()]);
      const warm = await digest();

      expect(new Set([...cold, warm]).size).to.equal(1);
      expect(registry.requests.filter((one) => one === path)).to.have.lengthOf(1);
      expect(node.memory().peak - idle).to.be.below(GROWTH);
    });

  it('hands a redirect on with its target, and keeps none', async () => {
    const location = 'https://files.example.org/v1.0.0.zip?signed=yes';
    for (const status of [301, 302, 303, 307, 308]) {
      const path = `${AT}/moved${status}/@v/v1.0.0.zip`;
      registry.put(path, { status, body: '', headers: { Location: location } });
      for (const _ of ['first', 'second']) {
        const answer = await get(path);
        expect([answer.status, answer.headers.get('Location')]).to.deep.equal([status, location]);
        expect(answer.headers.get('Cache-Control')).to.equal('no-store');
      }
      expect(registry.asked(path)).to.equal(2);
    }
  });
});
