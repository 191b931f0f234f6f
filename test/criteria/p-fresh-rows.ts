import { expect } from 'chai';
import { type Answer, type AskOptions, HttpClient } from '../support/http-client.ts';
import { eventually } from './eventually.ts';
import type { PPlace } from './p-place.ts';
import { rawValues, type Site, xCache } from './site.ts';

/** Freshness, revalidation and what a stored answer looks like: P5 to P8, P17, P22. */
export function pFreshRows(place: () => PPlace): void {
  const site = (): Site => place().site;
  /** Asks until the answer is no HIT any more: the entry went stale. */
  const whenStale = async (path: string, options?: AskOptions): Promise<Answer> =>
    await eventually(`${path} is stale`, async () => {
      const answer = await site().get(path, options);
      return xCache(answer) === 'HIT' ? undefined : answer;
    });
  const expectConfirmed = (answer: Answer, path: string): void => {
    expect([answer.status, xCache(answer)]).to.deep.equal([200, 'REVALIDATED']);
    expect(answer.body.equals(site().bytes(path, 1024))).to.equal(true);
    expect(answer.headers.get('Cache-Status')).to.match(/fwd-status=304/);
    const { requests } = site().origin.counts(path);
    expect(requests).to.equal(2);
    const [, second] = site().origin.seen.filter(({ key }) => key === path);
    expect(rawValues(second?.rawHeaders ?? [], 'If-None-Match')).to.deep.equal([
      answer.headers.get('ETag'),
    ]);
  };

  it('P5: a stale entry is confirmed with If-None-Match and answered whole, its Age begins anew', async () => {
    const path = '/confirmed?cc=max-age=2';
    await site().keep(path);
    const aged = await eventually('an age', async () => {
      const answer = await site().get(path);
      return age(answer) > 0 ? answer : undefined;
    });
    const answer = await whenStale(path);
    expectConfirmed(answer, path);
    expect(age(answer)).to.be.lessThan(age(aged) + 1);
    expect(xCache(await site().get(path))).to.equal('HIT');
  });

  it('P6: max-age=0 of a client confirms a fresh entry instead of fetching it anew', async () => {
    const path = '/reloaded';
    await site().keep(path);
    expectConfirmed(await site().get(path, { headers: { 'cache-control': 'max-age=0' } }), path);
  });

  it('P6: with honorClientReload off it is a HIT', async () => {
    const path = '/not-reloaded';
    const reload: AskOptions = { headers: { 'cache-control': 'max-age=0' } };
    await site().keep(path, { headers: { host: 'reload.test' } });
    expect(xCache(await site().getAs('reload.test', path, reload))).to.equal('HIT');
    expect(site().origin.counts(path).requests).to.equal(1);
  });

  it('P7: an answer that varies is kept once for each language', async () => {
    const path = '/varied';
    site().serve(path, ({ rawHeaders }) => ({
      headers: [['Vary', 'Accept-Language']],
      etag: false,
      body: `in ${rawValues(rawHeaders, 'Accept-Language').join()}`,
    }));
    const ask = async (language: string): Promise<readonly (string | undefined)[]> => {
      const answer = await site().get(path, { headers: { 'accept-language': language } });
      return [xCache(answer), answer.body.toString()];
    };
    expect([await ask('en'), await ask('de'), await ask('en'), await ask('de')]).to.deep.equal([
      ['MISS', 'in en'],
      ['MISS', 'in de'],
      ['HIT', 'in en'],
      ['HIT', 'in de'],
    ]);
    expect(site().origin.counts(path).requests).to.equal(2);
  });

  it('P8: a HIT keeps Date, its Age grows, and fields of a connection stay out', async () => {
    const path = '/inspected';
    const date = new Date(Date.now() - 10_000).toUTCString();
    site().serve(path, {
      headers: [
        ['Connection', 'keep-alive, X-Of-The-Hop'],
        ['X-Of-The-Hop', 'yes'],
        ['Keep-Alive', 'timeout=7'],
        ['TE', 'trailers'],
        ['Proxy-Authenticate', 'Basic realm="a"'],
        ['Proxy-Connection', 'keep-alive'],
        ['Date', date],
        ['X-End-To-End', 'yes'],
      ],
    });
    await site().keep(path);
    const first = await site().get(path);
    expect(xCache(first)).to.equal('HIT');
    const own = new Set(first.headers.toRaw().map((text) => text.toLowerCase()));
    for (const name of ['connection', 'keep-alive', 'te', 'x-of-the-hop', 'proxy-connection']) {
      expect([...own], name).to.not.include(name);
    }
    expect([...own].filter((text) => text.startsWith('proxy-'))).to.deep.equal([]);
    expect(first.headers.get('X-End-To-End')).to.equal('yes');
    expect(first.headers.get('Date')).to.equal(date);
    expect(age(first)).to.be.within(9, 30);
    const later = await eventually('a greater age', async () => {
      const answer = await site().get(path);
      return age(answer) > age(first) ? answer : undefined;
    });
    expect(later.headers.get('Date')).to.equal(date);
  });

  it('P17: stale-while-revalidate answers with the old body at once and fetches once behind it', async () => {
    const path = '/behind?cc=max-age=1,stale-while-revalidate=60';
    await site().keep(path);
    site().origin.bumpVersion(path);
    const gate = Promise.withResolvers<void>();
    site().serve('/behind', { delay: gate.promise });
    try {
      const stale = await whenStale(path);
      expect([stale.status, xCache(stale), stale.headers.get('X-Oracle-Version')]).to.deep.equal([
        200,
        'STALE',
        '1',
      ]);
      expect(xCache(await site().get(path))).to.equal('STALE');
      await site().origin.asked(2, path);
    } finally {
      gate.resolve();
    }
    await eventually('the new version', async () => {
      const answer = await site().get(path);
      return answer.headers.get('X-Oracle-Version') === '2';
    });
    expect(site().origin.counts(path).requests).to.equal(2);
  });

  it('P17: stale-if-error answers with the old body while the origin is down', async () => {
    const path = '/if-error?cc=max-age=1,stale-if-error=60';
    const { mortal } = place();
    const asMortal: AskOptions = { headers: { host: 'mortal.test' } };
    const fresh = await site().keep(path, asMortal);
    await mortal[Symbol.asyncDispose]();
    const stale = await whenStale(path, asMortal);
    expect([stale.status, xCache(stale)]).to.deep.equal([200, 'STALE']);
    expect(stale.body.equals(fresh.body)).to.equal(true);
  });

  it('P22: Cache-Status agrees with X-Cache on every kind of reply', async () => {
    const path = '/told';
    const short = '/told?cc=max-age=1,stale-while-revalidate=60';
    const kinds = new Map<string, string>();
    const note = (answer: Answer): void => {
      const status = answer.headers.get('Cache-Status') ?? '';
      expect(status, `X-Cache ${xCache(answer)}`).to.match(/^caje(;|$)/);
      kinds.set(xCache(answer) ?? '', status);
    };
    note(await site().keep(path));
    note(await site().get(path));
    note(await site().get(path, { headers: { 'cache-control': 'max-age=0' } }));
    note(await site().get(path, { method: 'POST', body: 'x' }));
    await site().keep(short);
    note(await whenStale(short));
    expect([...kinds.keys()].sort()).to.deep.equal([
      'BYPASS',
      'HIT',
      'MISS',
      'REVALIDATED',
      'STALE',
    ]);
    expect(kinds.get('HIT')).to.match(/^caje;hit(;|$)/);
    expect(kinds.get('STALE')).to.match(/^caje;hit;/);
    expect(kinds.get('MISS')).to.match(/^caje;fwd=uri-miss;fwd-status=200;.*stored/);
    expect(kinds.get('REVALIDATED')).to.match(/^caje;fwd=request;fwd-status=304/);
    expect(kinds.get('BYPASS')).to.match(/^caje;fwd=method;fwd-status=200/);
    for (const [kind, status] of kinds) {
      expect(/;hit(;|$)/.test(status), kind).to.equal(kind === 'HIT' || kind === 'STALE');
    }
  });

  it('P22: also an error of the node and an answer of the origin that is no success', async () => {
    await using client = new HttpClient();
    const refused = await site().getAs('closed.test', '/');
    expect([xCache(refused), refused.headers.get('Cache-Status')]).to.deep.equal([
      'MISS',
      'caje;fwd=miss;detail=upstream',
    ]);
    const missing = await client.get(`${site().node.url}/gone?status=404&cc=no-store`);
    expect([missing.status, xCache(missing)]).to.deep.equal([404, 'MISS']);
    expect(missing.headers.get('Cache-Status')).to.match(/fwd=uri-miss;fwd-status=404/);
  });
}

function age({ headers }: Answer): number {
  return Number(headers.get('Age') ?? 0);
}
