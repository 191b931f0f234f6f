import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { callControl } from '../../src/http/control-client.ts';
import type { CutAnswer } from '../support/http-client.ts';
import { InputPlace, type Seen, say } from './place.ts';

/** What a node makes by itself, whatever is asked. */
const OWN =
  /^(?:caje\.yaml|data|data\/(?:control\.sock|[a-z-]+\.(?:db|json)(?:[.-][a-z]+)?|node-id|spool|blobs|go-vcs|blobs\/(?:staging|quarantine|tmp|rows.*)))$/;
/** What it makes for requests: digests below the store, numbers and random names in the spool. */
const NAMED =
  /^data\/(?:blobs\/[0-9a-f]{2}(?:\/[0-9a-f]{64})?|blobs\/(?:staging|tmp)\/[0-9a-f.-]+|spool\/[0-9a-f.-]+(?:\/[0-9a-f.-]+)?)$/;

describe('names of files and modules, through a node', function () {
  this.timeout(60_000);
  let place: InputPlace;

  before(async () => {
    place = await InputPlace.start({
      rules: [{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' }],
      config: ({ echoUrl }) => ({
        fetchers: {
          echo: { type: 'origin', url: echoUrl },
          raw: { type: 'origin', url: echoUrl },
          modules: { type: 'upstreams', list: echoUrl },
        },
      }),
    });
  });
  after(async () => await place[Symbol.asyncDispose]());

  /** Every file and folder that the node made, but those of its own that no request names. */
  async function made(): Promise<string[]> {
    const root = place.folder.path;
    const all = await readdir(root, { recursive: true, withFileTypes: true });
    const paths = all.map((one) => relative(root, join(one.parentPath, one.name)));
    return paths.filter((path) => !OWN.test(path));
  }

  /** Asks for a target as it is written, twice, so that it may be kept and read again. */
  async function send(target: string): Promise<number> {
    let status = 0;
    for (let turn = 0; turn < 2; turn++) {
      const { text } = await place.sendRaw(
        `GET ${target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`,
      );
      status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
    }
    return status;
  }

  const big = Buffer.alloc(70_000, 'x');

  it('H-61: every file that is made for a request has a digest as its name: 150 addresses', async () => {
    const name = fc.string({
      unit: fc.constantFrom('a', '/', '.', '%', '2', 'f', 'e', '~', '&', '=', '-', '*', '|', ':'),
    });
    await fc.assert(
      fc.asyncProperty(name, async (path) => {
        const target = `/61/${path}`;
        // Large enough for a file of its own.
        place.scripts.set(target, (_, res) => {
          res.writeHead(200, { 'Cache-Control': 'max-age=600', 'Content-Length': big.length });
          res.end(big);
        });
        const status = await send(target);
        expect([200, 400], target).to.include(status);
        for (const file of await made()) expect(file).to.match(NAMED);
      }),
      { numRuns: 150 },
    );
  });

  const evil = [
    '..',
    '%2e%2e',
    '%252e%252e',
    '..%2f',
    '..%5c',
    '..\\',
    '.%00.',
    '%00',
    '...',
    '~',
    'CON',
    'nul',
    'aux.txt',
    '-rf',
    '$(id)',
    '`id`',
    ';id',
    '|id',
  ];
  const around = [
    '/%s',
    '/%s/%s/etc/passwd',
    '/a/%s/b',
    '/a/%s',
    '//%s',
    '/%s//',
    '/?%s',
    '/a?x=%s/%s',
    '/go/%s/@v/list',
    '/go/a.test/%s/@v/v1.0.0.zip',
    '/go/a.test/m/@v/%s.info',
  ];
  it(`H-62: no address makes the node open or make a file outside its store: ${evil.length * around.length} addresses`, async () => {
    const targets = evil.flatMap((one) => around.map((form) => form.replaceAll('%s', one)));
    targets.push(`/${'a'.repeat(4_096)}`, `/${'../'.repeat(1_300)}etc/passwd`);
    const statuses = await Promise.all(targets.map(send));
    expect(statuses.filter((status) => Number.isNaN(status) || status >= 500)).to.deep.equal([]);
    for (const file of await made()) expect(file).to.match(NAMED);
  });

  const MODULES = 20;
  it('H-64: a version of a module never changes, whatever the upstream has by now: 200 answers', async () => {
    const first = new Map<string, string>();
    const paths = Array.from({ length: MODULES }, (_, at) => `/a.test/m${at}/@v/v1.0.0.mod`);
    for (const path of paths) {
      place.scripts.set(path, ({ number }, res) => {
        const body = `module a.test/${path.split('/')[2]}\n// ${number}\n`;
        res.writeHead(200, { 'Content-Length': body.length });
        res.end(body);
      });
    }
    const socket = join(place.folder.path, 'data', 'control.sock');
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all(paths.map(async (path) => await place.ask(`/go${path}`)));
      for (const [at, { status, body, error }] of answers.entries()) {
        const path = paths[at] ?? '';
        const isWhole = status === 200 && error === undefined;
        if (!isWhole) continue;
        first.set(path, first.get(path) ?? String(body));
        expect(String(body), path).to.equal(first.get(path));
      }
      if (round === 0) await place.kept('.mod', MODULES);
      // Everything is asked for anew.
      await callControl(socket, 'purge', { kind: 'rule', value: 'go', soft: true });
    }
    expect(first.size).to.equal(MODULES);
    expect(place.asked(paths[0] ?? '')).to.equal(10);
    const alarms = place.log.lines.filter(({ message }) => message.includes('must never change'));
    expect(alarms).to.have.lengthOf(9 * MODULES);
  });

  it('H-65: lists and the latest version are asked for again within a minute: 20 answers', async () => {
    const files = Array.from({ length: 10 }, (_, at) => [
      `/a.test/n${at}/@v/list`,
      `/a.test/n${at}/@latest`,
    ]).flat();
    for (const path of files) {
      const info = { Version: 'v1.0.0', Time: '2020-01-01T00:00:00Z' };
      const body = path.endsWith('list') ? 'v1.0.0\n' : JSON.stringify(info);
      place.scripts.set(path, (_, res) => {
        res.writeHead(200, { 'Content-Length': body.length, 'Cache-Control': 'max-age=86400' });
        res.end(body);
      });
      const answer = await place.ask(`/go${path}`);
      expect(answer.status, path).to.equal(200);
      await place.ask(`/go${path}`);
      expect(maxAgeOf(answer), path).to.be.at.most(60);
    }
    await place.kept('/@v/list', files.length / 2);
    await place.kept('/@latest', files.length / 2);
    const socket = join(place.folder.path, 'data', 'control.sock');
    const rows = (await callControl(socket, 'ls', { rule: 'go' })) as readonly {
      readonly key: string;
      readonly freshSeconds: number;
    }[];
    const lists = rows.filter(({ key }) => /n\d\/@/.test(key));
    expect(lists).to.have.lengthOf(files.length);
    for (const { key, freshSeconds } of lists) expect(freshSeconds, key).to.be.at.most(60);
  });

  const faults: readonly (readonly [
    what: string,
    script: (seen: Seen, res: Parameters<typeof say>[0]) => void,
  ])[] = [
    ...[500, 501, 502, 503, 504, 401, 403, 407, 429, 408].map(
      (status) =>
        [
          `status ${status}`,
          (seen: Seen, res: Parameters<typeof say>[0]) => say(res, seen, {}, status),
        ] as const,
    ),
    ['a connection that is reset', (_, res) => void res.socket?.resetAndDestroy()],
    [
      'half a body',
      (_, res) => {
        res.writeHead(200, { 'Content-Length': 100 });
        res.write('half', () => res.destroy());
      },
    ],
  ];
  it(`H-52: a failure of the upstream is never an absence: ${faults.length} faults`, async () => {
    for (const [at, [what, script]] of faults.entries()) {
      const path = `/a.test/f${at}/@v/v1.0.0.mod`;
      place.scripts.set(path, script);
      for (let turn = 0; turn < 2; turn++) {
        const { status, error } = await place.ask(`/go${path}`);
        expect([404, 410], what).to.not.include(status);
        if (status === 200) expect(error, what).to.not.equal(undefined);
      }
      place.scripts.set(path, (_, res) => {
        const body = `module a.test/f${at}\n`;
        res.writeHead(200, { 'Content-Length': body.length });
        res.end(body);
      });
      expect((await place.ask(`/go${path}`)).status, `${what}, then there`).to.equal(200);
    }
  });
});

function maxAgeOf({ headers }: CutAnswer): number {
  return Number(/max-age=(\d+)/.exec(headers.get('Cache-Control') ?? '')?.[1] ?? 0);
}
