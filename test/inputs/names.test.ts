import { join } from 'node:path';
import { expect } from 'chai';
import { callControl } from '../../src/http/control-client.ts';
import type { CutAnswer } from '../support/http-client.ts';
import { askTwice, startGoPlace, strangeFiles } from './name-cases.ts';
import { type InputPlace, type Seen, say } from './place.ts';

describe('names of files and modules, through a node', function () {
  this.timeout(60_000);
  let place: InputPlace;

  before(async () => {
    place = await startGoPlace();
  });
  after(async () => await place[Symbol.asyncDispose]());

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
    const statuses = await Promise.all(
      targets.map(async (target) => await askTwice(place, target)),
    );
    expect(statuses.filter((status) => Number.isNaN(status) || status >= 500)).to.deep.equal([]);
    expect(await strangeFiles(place)).to.deep.equal([]);
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
