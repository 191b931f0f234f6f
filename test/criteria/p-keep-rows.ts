import { createHash, randomBytes } from 'node:crypto';
import { expect } from 'chai';
import type { Answer } from '../support/http-client.ts';
import { eventually } from './eventually.ts';
import { entryRows, keptBodies } from './node-files.ts';
import type { PPlace } from './p-place.ts';
import { type Site, xCache } from './site.ts';

/** What is kept and what is not: P1 to P4, P15, P16, P18, P20. */
export function pKeepRows(place: () => PPlace): void {
  const site = (): Site => place().site;
  const twice = async (path: string): Promise<readonly (string | undefined)[]> => [
    xCache(await site().get(path)),
    xCache(await site().get(path)),
  ];
  const expectNothingKept = async (path: string, bodies: readonly Buffer[]): Promise<void> => {
    expect(entryRows(site().node, path)).to.deep.equal([]);
    const kept = await keptBodies(site().node);
    for (const body of bodies) expect(kept).to.not.include(sha256(body));
  };

  it('P1: a page is fetched once, and its second answer is a HIT with the same bytes', async () => {
    const path = '/fast?delay=100&size=5000';
    const first = await site().get(path);
    const second = await site().get(path);
    expect([first, second].map(xCache)).to.deep.equal(['MISS', 'HIT']);
    expect(first.body.equals(site().bytes(path, 5000))).to.equal(true);
    expect(second.body.equals(first.body)).to.equal(true);
    expect(site().origin.counts(path).requests).to.equal(1);
    const rows = await eventually('a row', () => found(entryRows(site().node, path)));
    expect(rows).to.have.length(1);
    expect(rows[0]).to.include({ digest: sha256(first.body), size: 5000, rule: 'site' });
  });

  it('P2: without Cache-Control nothing is kept, with Last-Modified or without', async () => {
    const dated = 'header=Last-Modified:Mon, 02 Mar 2020 10:00:00 GMT';
    for (const path of ['/plain?omit=Cache-Control', `/plain?omit=Cache-Control&${dated}`].map(
      encodeURI,
    )) {
      expect(await twice(path), path).to.not.include('HIT');
      expect(site().origin.counts(path).requests, path).to.equal(2);
      await expectNothingKept(path, [site().bytes(path, 1024)]);
    }
  });

  it('P3: no-store, private and a no-cache that nothing can confirm are never kept', async () => {
    for (const path of ['no-store', 'private', 'no-cache&etag=none'].map(
      (cc) => `/never?cc=${cc}`,
    )) {
      expect(await twice(path), path).to.not.include('HIT');
      expect(site().origin.counts(path).requests, path).to.equal(2);
      await expectNothingKept(path, [site().bytes(path, 1024)]);
    }
  });

  it('P3: a no-cache with a validator is kept and confirmed at every use', async () => {
    const path = '/each-time?cc=no-cache';
    expect(xCache(await site().keep(path))).to.equal('MISS');
    expect(xCache(await site().get(path))).to.equal('REVALIDATED');
    expect(site().origin.counts(path).requests).to.equal(2);
  });

  it('P3: s-maxage counts before max-age', async () => {
    const path = '/shared?cc=s-maxage=1,max-age=60';
    expect(await twice(path)).to.deep.equal(['MISS', 'HIT']);
    await eventually('a request to the origin', async () => {
      await site().get(path);
      return site().origin.counts(path).requests > 1;
    });
  });

  it('P4: a POST passes through each time, whole, and nothing is kept of it', async () => {
    const sent = randomBytes(10_000_000);
    for (const _ of [1, 2]) {
      const answer = await site().getAs('uploads.test', '/taker', { method: 'POST', body: sent });
      expect([answer.status, xCache(answer)]).to.deep.equal([200, 'BYPASS']);
    }
    expect(place().uploads).to.deep.equal([sha256(sent), sha256(sent)]);
    await expectNothingKept('/taker', [sent, Buffer.from('taken')]);
  });

  it('P4: a POST that succeeds drops the stored GET of its URL, one that fails does not', async () => {
    const path = '/changed';
    site().serve(path, ({ method }, number) => ({
      status: method === 'POST' && number === 2 ? 400 : undefined,
    }));
    expect(xCache(await site().get(path))).to.equal('MISS');
    expect((await site().get(path, { method: 'POST', body: 'x' })).status).to.equal(400);
    expect(xCache(await site().get(path))).to.equal('HIT');
    expect((await site().get(path, { method: 'POST', body: 'x' })).status).to.equal(200);
    expect(xCache(await site().get(path))).to.equal('MISS');
  });

  it('P15: HEAD of a stored GET is a HIT with the same fields, no body, and no request', async () => {
    const path = '/head?size=3000';
    await site().keep(path);
    const get = await site().get(path);
    const head = await site().get(path, { method: 'HEAD' });
    expect([head.status, xCache(head), head.body.length]).to.deep.equal([200, 'HIT', 0]);
    expect(steadyFields(head)).to.deep.equal(steadyFields(get));
    expect(head.headers.get('Content-Length')).to.equal('3000');
    expect(site().origin.counts(path).requests).to.equal(1);
  });

  it('P16: a range of something stored is cut out of it', async () => {
    const path = '/ranged?size=3000000';
    await site().keep(path);
    const ranges: readonly (readonly [string, number, number])[] = [
      ['bytes=0-9', 0, 10],
      ['bytes=1048570-1048580', 1_048_570, 1_048_581],
      ['bytes=-5', 2_999_995, 3_000_000],
      ['bytes=2999000-', 2_999_000, 3_000_000],
    ];
    for (const [range, from, to] of ranges) {
      const answer = await site().get(path, { headers: { range } });
      expect([answer.status, xCache(answer)], range).to.deep.equal([206, 'HIT']);
      expect(answer.headers.get('Content-Range')).to.equal(`bytes ${from}-${to - 1}/3000000`);
      expect(answer.body.equals(site().bytes(path, 3_000_000).subarray(from, to))).to.equal(true);
    }
    expect(site().origin.counts(path).requests).to.equal(1);
  });

  it('P16: a range of something not stored is passed on, and its 206 is kept as a part', async () => {
    const path = '/part?ranges&size=50000';
    const body = site().bytes(path, 50_000);
    const expectPart = async (from: number, to: number, cache: string): Promise<void> => {
      const answer = await site().get(path, { headers: { range: `bytes=${from}-${to}` } });
      expect([answer.status, xCache(answer)]).to.deep.equal([206, cache]);
      expect(answer.headers.get('Content-Range')).to.equal(`bytes ${from}-${to}/50000`);
      expect(answer.body.equals(body.subarray(from, to + 1))).to.equal(true);
    };
    await expectPart(100, 199, 'MISS');
    await eventually('the row of the part', () => entryRows(site().node, path)[0]);
    await expectPart(100, 199, 'HIT');
    await expectPart(120, 129, 'HIT');
    expect(site().origin.counts(path).requests).to.equal(1);
    // The whole is fetched but for what is there.
    const whole = await site().get(path);
    expect([whole.status, whole.body.equals(body)]).to.deep.equal([200, true]);
  });

  it('P18: a redirect is handed to the client, its target is not fetched', async () => {
    const path = `/moved?status=302&cc=no-store&header=${encodeURIComponent('Location:/target')}`;
    const answer = await site().get(path);
    expect([answer.status, answer.headers.get('Location')]).to.deep.equal([302, '/target']);
    expect(site().origin.counts(path).requests).to.equal(1);
    expect(site().origin.counts('/target').requests).to.equal(0);
  });

  it('P20: only-if-cached is 504 for what is not kept, without a request, and a HIT for what is', async () => {
    const path = '/only';
    const headers = { 'cache-control': 'only-if-cached' };
    expect((await site().get(path, { headers })).status).to.equal(504);
    expect(site().origin.counts(path).requests).to.equal(0);
    await site().keep(path);
    expect(xCache(await site().get(path, { headers }))).to.equal('HIT');
    expect(site().origin.counts(path).requests).to.equal(1);
  });
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function found<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

/** The fields of an answer but those that time and the request change. */
function steadyFields({ headers }: Answer): Record<string, string | string[]> {
  return headers
    .without('Age', 'X-Request-Id', 'Cache-Status', 'Date', 'Keep-Alive', 'Connection')
    .toRecord();
}
