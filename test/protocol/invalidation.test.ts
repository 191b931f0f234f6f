import { setImmediate as tick } from 'node:timers/promises';
import { expect } from 'chai';
import type { HeaderLine } from '../../src/headers.ts';
import { gate, openPull, type PullPlace } from './pull-place.ts';

const HOST = 'http://www.example.com';
const OK: HeaderLine = ['Cache-Control', 'max-age=3600'];

describe('invalidation, RFC 9111 §4.4', () => {
  let place: PullPlace;
  beforeEach(async () => {
    place = await openPull();
    place.behave = ({ method }) => ({
      headers: method === 'GET' ? [OK, ['Vary', 'X-Kind']] : [OK],
      size: 100,
      // One that variants share would have a request for one answered by another.
      etag: false,
    });
  });
  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  async function phase(target: string, kind = ''): Promise<string> {
    return (await place.getSettled(target, { headers: [['X-Kind', kind]] })).report.phase;
  }

  async function answers(method: string, status: number, headers: HeaderLine[] = []) {
    const before = place.behave;
    place.behave = (request, number) =>
      request.method === 'GET' ? before(request, number) : { status, headers, size: 0 };
    await place.getSettled('/x', { method });
    place.behave = before;
  }

  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'MKCOL', 'M-SEARCH']) {
    it(`H-39: ${method} is never kept and takes every variant of its target`, async () => {
      for (const kind of ['a', 'b', 'c']) await phase('/x', kind);
      await answers(method, 200, [OK]);
      await answers(method, 303, [OK]);
      expect(place.origin.seen.filter((seen) => seen.method === method)).to.have.length(2);
      for (const kind of ['a', 'b', 'c']) expect(await phase('/x', kind)).to.equal('miss');
    });
  }

  it('H-39: safe methods, and answers that are no success, take nothing', async () => {
    await phase('/x');
    for (const method of ['OPTIONS', 'PROPFIND', 'SEARCH']) await answers(method, 200);
    for (const status of [400, 404, 500, 503]) await answers('POST', status, [['Location', '/x']]);
    expect(await phase('/x')).to.equal('hit');
  });

  it('H-39: a HEAD is answered from the GET', async () => {
    await phase('/x');
    const { report, headers } = await place.get('/x', {
      method: 'HEAD',
      headers: [['X-Kind', '']],
    });
    expect([report.phase, headers.get('vary')]).to.deep.equal(['hit', 'X-Kind']);
    expect(place.origin.counts('/x').requests).to.equal(1);
  });

  for (const field of ['Location', 'Content-Location']) {
    it(`H-39: ${field} takes what it names on the same origin, and nothing elsewhere`, async () => {
      const namespace = place.namespace;
      for (const target of ['/y', '/z']) await phase(target);
      await answers('PUT', 201, [[field, '/y']]);
      expect(await phase('/y')).to.equal('miss');
      await answers('PUT', 201, [[field, `${HOST}/z`]]);
      expect(await phase('/z')).to.equal('miss');
      for (const other of [
        'http://other.example.com/z',
        'http://www.example.com:81/z',
        '//other/z',
      ])
        await answers('PUT', 201, [[field, other]]);
      expect(await phase('/z')).to.equal('hit');
      const rows = await place.journal();
      const taken = rows.filter(({ op }) => op === 'purge').map(({ key }) => key);
      expect([...new Set(taken)]).to.deep.equal([`${HOST}/y`, `${HOST}/z`]);
      expect(rows.every((row) => row.namespace === namespace)).to.equal(true);
    });
  }

  it('does not keep a fill that began before, though nothing else of it is kept', async () => {
    const head = gate();
    place.behave = (request, number) => ({
      headers: [OK],
      size: 100,
      ...(request.method === 'GET' && number === 1 && { delay: head.opened }),
    });
    const started = place.get('/x');
    await place.origin.asked(1, '/x');
    place.origin.bumpVersion('/x');
    await place.get('/x', { method: 'POST' });
    while (place.manifest.health().pending > 0) await tick();
    await place.get('/x');
    head.open();
    await started;
    await place.settled();
    const check = place.origin.check('/x', { versions: [2] });
    const last = await place.get('/x');
    check.write(last.body);
    expect([last.report.phase, check.end().version]).to.deep.equal(['hit', 2]);
  });

  it('does not keep a fill whose body was on its way', async () => {
    const rest = gate();
    place.behave = ({ method }, number) => ({
      headers: [OK],
      size: 5_000,
      ...(method === 'GET' && number === 1 && { pause: { at: 2_000, until: rest.opened } }),
    });
    const response = await place.ask('/x');
    const body = response.content?.open();
    await place.get('/x', { method: 'POST' });
    rest.open();
    body?.resume();
    await place.settled();
    expect(await place.entries('/x')).to.deep.equal([]);
  });

  it('writes nothing where nothing of it is kept or on its way', async () => {
    for (let i = 0; i < 3; i++) await answers('POST', 201, [['Location', '/new']]);
    expect(await place.journal()).to.deep.equal([]);
    expect(place.metrics.value('purges_total')).to.equal(0);
    expect(await phase('/x')).to.equal('miss');
    expect(await phase('/x')).to.equal('hit');
    await answers('POST', 201, [['Location', '/new']]);
    expect((await place.journal()).map(({ op }) => op)).to.deep.equal(['put', 'purge', 'delete']);
  });

  it('takes what is held in memory alone', async () => {
    place.behave = () => ({ status: 404, size: 10 });
    await phase('/x');
    expect(await phase('/x')).to.equal('hit');
    await answers('PUT', 201);
    expect(await phase('/x')).to.equal('miss');
  });

  it('H-40: a purge by key takes all of its variants and leaves the other keys', async () => {
    const kinds = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const all = (target: string) => Promise.all(kinds.map((kind) => phase(target, kind)));
    for (const target of ['/x', '/y']) await all(target);
    const value = place.keyOf('/x');
    const purge = { kind: 'key', value, namespace: place.namespace, soft: false } as const;
    expect((await place.purger.purge({ ...purge, actor: 'test' })).entries).to.equal(8);
    expect(await all('/x')).to.deep.equal(kinds.map(() => 'miss'));
    expect(await all('/y')).to.deep.equal(kinds.map(() => 'hit'));
  });
});
