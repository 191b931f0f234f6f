import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { Answer } from '../support/http-client.ts';
import { type PPlace, TRUSTED_CLIENT } from './p-place.ts';
import { rawValues, type Site, xCache } from './site.ts';

interface Echo {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
}

/** What goes forward, what comes back, and what an error looks like: P14, P19, P21. */
export function pEdgeRows(place: () => PPlace): void {
  const site = (): Site => place().site;

  for (const [what, host, status, code] of [
    ['an unknown host', 'nobody.test', 421, 'misdirected'],
    ['an origin that refuses', 'closed.test', 502, 'upstream'],
    ['an origin that says nothing', 'silent.test', 504, 'timeout'],
  ] as const) {
    it(`P14: ${what} is ${status} with a JSON body`, async () => {
      const answer = await site().getAs(host, '/page');
      expect(answer.status).to.equal(status);
      expect(answer.headers.get('Content-Type')).to.equal('application/problem+json');
      expect(JSON.parse(answer.body.toString())).to.include({ status, code });
    });
  }

  it('P19: a compressed body goes to those who take it, as it came, and the plain one to others', async () => {
    const path = '/pressed';
    const plain = Buffer.from('again and again '.repeat(500));
    const pressed = gzipSync(plain);
    site().serve(path, ({ rawHeaders }) => {
      const takes = rawValues(rawHeaders, 'Accept-Encoding').join().includes('gzip');
      const vary = ['Vary', 'Accept-Encoding'] as const;
      if (!takes) return { headers: [vary], body: plain, etag: '"plain"' };
      return { headers: [vary, ['Content-Encoding', 'gzip']], body: pressed, etag: '"pressed"' };
    });
    const ask = async (headers: Record<string, string>): Promise<Answer> =>
      await site().get(path, { headers });
    for (const expected of ['MISS', 'HIT']) {
      const small = await ask({ 'accept-encoding': 'gzip' });
      expect(xCache(small)).to.equal(expected);
      expect(small.headers.get('Content-Encoding')).to.equal('gzip');
      expect(small.headers.get('Content-Length')).to.equal(String(pressed.length));
      expect(small.body.equals(pressed)).to.equal(true);
      expect(gunzipSync(small.body).equals(plain)).to.equal(true);
      const whole = await ask({});
      expect(xCache(whole)).to.equal(expected);
      expect(whole.headers.has('Content-Encoding')).to.equal(false);
      expect(whole.headers.get('Content-Length')).to.equal(String(plain.length));
      expect(whole.body.equals(plain)).to.equal(true);
      expect(whole.headers.get('Vary')).to.equal('Accept-Encoding');
    }
    expect(site().origin.counts(path).requests).to.equal(2);
  });

  const echo = async (
    host: string,
    headers: Record<string, string> = {},
    localAddress = '127.0.0.1',
  ): Promise<Echo> => {
    const url = `${site().node.url}/echo?echo&cc=no-store`;
    const call = request(url, { headers: { ...headers, host }, localAddress, agent: false }).end();
    const [answer] = (await once(call, 'response')) as [IncomingMessage];
    return JSON.parse(await text(answer)) as Echo;
  };
  const sent = {
    'X-Forwarded-For': '192.0.2.7',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'far.example',
    Forwarded: 'for=192.0.2.7;proto=https',
  };
  const one = ({ rawHeaders }: Echo, name: string): string | undefined => {
    const values = rawValues(rawHeaders, name);
    expect(values.length, name).to.be.lessThan(2);
    return values[0];
  };

  it('P21: the origin sees its own Host, or the public one with preserveHost', async () => {
    expect(one(await echo('127.0.0.1'), 'Host')).to.equal(new URL(site().origin.url).host);
    expect(one(await echo('public.test'), 'Host')).to.equal('public.test');
  });

  it('P21: forwarding fields of strangers are replaced', async () => {
    const seen = await echo('public.test', sent);
    expect(one(seen, 'X-Forwarded-For')).to.equal('127.0.0.1');
    expect(one(seen, 'X-Forwarded-Proto')).to.equal('http');
    expect(one(seen, 'X-Forwarded-Host')).to.equal('public.test');
    expect(one(seen, 'Forwarded')).to.equal('for=127.0.0.1;host=public.test;proto=http');
  });

  it('P21: to those of a trusted proxy ours are appended', async () => {
    const seen = await echo('public.test', sent, TRUSTED_CLIENT);
    expect(one(seen, 'X-Forwarded-For')).to.equal(`192.0.2.7, ${TRUSTED_CLIENT}`);
    expect(one(seen, 'X-Forwarded-Proto')).to.equal('https');
    expect(one(seen, 'X-Forwarded-Host')).to.equal('far.example');
    expect(one(seen, 'Forwarded')).to.match(
      /^for=192\.0\.2\.7;proto=https, for=127\.0\.0\.9;host=[^,]+;proto=\w+$/,
    );
  });

  it('P21: Via is added, and fields that Connection names are gone', async () => {
    const seen = await echo('127.0.0.1', {
      Via: '1.1 somebody',
      Connection: 'close, X-Of-The-Hop',
      'X-Of-The-Hop': 'yes',
      'Keep-Alive': 'timeout=5',
      TE: 'trailers',
      'X-End-To-End': 'yes',
    });
    expect(one(seen, 'Via')).to.match(/^1\.1 somebody, 1\.1 caje-[0-9a-f]{16}$/);
    for (const name of ['X-Of-The-Hop', 'Keep-Alive', 'TE']) {
      expect(one(seen, name), name).to.equal(undefined);
    }
    expect(one(seen, 'X-End-To-End')).to.equal('yes');
  });

  it('P21: a request that has the own name in Via is 508 and goes nowhere', async () => {
    const own = (one(await echo('127.0.0.1'), 'Via') ?? '').split(' ').at(-1) ?? '';
    const answer = await site().get('/looped', { headers: { via: `1.1 ${own}` } });
    expect(answer.status).to.equal(508);
    expect(JSON.parse(answer.body.toString())).to.include({ code: 'loop' });
    expect(site().origin.counts('/looped').requests).to.equal(0);
  });
}
