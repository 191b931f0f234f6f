import type { RequestListener } from 'node:http';
import { Readable } from 'node:stream';
import { expect } from 'chai';
import { ChainFetcher, type ChainOptions } from '../../src/fetchers/chain-fetcher.ts';
import type { Fetcher } from '../../src/fetchers/fetcher.ts';
import { OriginFetcher } from '../../src/fetchers/origin-fetcher.ts';
import { PeerFetcher } from '../../src/fetchers/peer-fetcher.ts';
import { patience } from '../support/patience.ts';
import { startOrigin, type TestOrigin } from './origins.ts';
import { ask, base, failure, readText, until } from './requests.ts';

describe('ChainFetcher', () => {
  const open: (TestOrigin | (Fetcher & AsyncDisposable))[] = [];
  let asked: string[] = [];

  beforeEach(() => {
    asked = [];
  });
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) {
      await ('close' in one ? one.close() : one[Symbol.asyncDispose]());
    }
  });

  const at = async (name: string, answer: RequestListener): Promise<string> => {
    const origin = await startOrigin((request, response) => {
      const { 'cache-control': control, 'caje-fill': fill } = request.headers;
      asked.push([name, control, fill && 'fill'].filter(Boolean).join(' '));
      answer(request, response);
    });
    open.push(origin);
    return origin.url;
  };
  const site = async (name: string, answer: RequestListener): Promise<OriginFetcher> => {
    const fetcher = new OriginFetcher({ ...base(name), url: new URL(await at(name, answer)) });
    open.push(fetcher);
    return fetcher;
  };
  const peer = async (answer: RequestListener, fill?: boolean): Promise<PeerFetcher> => {
    const url = new URL(await at('peer', answer));
    const fetcher = new PeerFetcher({ ...base('peer'), url, token: 't', fill, lookupMs: 150 });
    open.push(fetcher);
    return fetcher;
  };
  const says =
    (status: number, text: string): RequestListener =>
    (_, response) =>
      response.writeHead(status).end(text);
  const peerSays =
    (status: number, text: string): RequestListener =>
    (_, response) =>
      response.writeHead(200, { 'Caje-Status': String(status) }).end(text);
  const peerMisses: RequestListener = (_, response) =>
    response.writeHead(504, { 'Caje-Miss': '1' }).end('not here');
  const dies: RequestListener = (request) => request.socket.destroy();
  const answerOf = async (
    fetchers: readonly Fetcher[],
    options?: ChainOptions,
  ): Promise<readonly [number, string]> =>
    await readText(await new ChainFetcher(fetchers, options).fetch(ask('/x')));

  for (const status of [404, 410]) {
    it(`asks the next one on ${status}`, async () => {
      const chain = [await site('a', says(status, 'no')), await site('b', says(200, 'yes'))];
      expect(await answerOf(chain)).to.deep.equal([200, 'yes']);
      expect(asked).to.deep.equal(['a', 'b']);
    });
  }

  for (const status of [200, 204, 302, 400, 403, 429, 500, 503]) {
    it(`keeps ${status} of an origin`, async () => {
      const chain = [await site('a', says(status, '')), await site('b', says(200, 'yes'))];
      expect((await answerOf(chain))[0]).to.equal(status);
      expect(asked).to.deep.equal(['a']);
    });
  }

  it('gives the last answer, whatever it is', async () => {
    const chain = [await site('a', says(404, 'a')), await site('b', says(410, 'b'))];
    expect(await answerOf(chain)).to.deep.equal([410, 'b']);
  });

  it('throws what an origin fails with', async () => {
    const chain = [await site('a', dies), await site('b', says(200, 'yes'))];
    await failure(answerOf(chain), 'upstream');
    expect(asked).to.deep.equal(['a']);
  });

  it('asks the next one on any failure with fallthrough: any', async () => {
    const chain = [await site('a', dies), await site('b', says(200, 'yes'))];
    expect(await answerOf(chain, { fallthrough: 'any' })).to.deep.equal([200, 'yes']);
  });

  it('does not go on when the caller has given up', async () => {
    const giveUp = new AbortController();
    const chain = new ChainFetcher(
      [await site('a', () => giveUp.abort()), await site('b', says(200, 'yes'))],
      { fallthrough: 'any' },
    );
    await failure(chain.fetch(ask('/x'), { signal: giveUp.signal }), 'aborted');
    expect(asked).to.deep.equal(['a']);
  });

  it('F7: a peer that has nothing is asked only-if-cached, then the origin once', async () => {
    const chain = [await peer(peerMisses), await site('origin', says(200, 'yes'))];
    expect(await answerOf(chain)).to.deep.equal([200, 'yes']);
    expect(asked).to.deep.equal(['peer only-if-cached', 'origin']);
  });

  const failures: Readonly<Record<string, RequestListener>> = {
    'is reset': dies,
    'is silent': () => {},
    'answers 500': says(500, 'broken'),
    'refuses the token': says(401, 'no'),
    'says that there is a loop': says(508, 'loop'),
    'is no caje node': says(200, 'hello'),
    'has a stored 404': peerSays(404, 'no'),
    'has a stored 502': peerSays(502, 'bad'),
  };
  for (const [what, answer] of Object.entries(failures)) {
    it(`F7, F-49: the origin answers within 500 ms when the peer ${what}`, async () => {
      const chain = [await peer(answer), await site('origin', says(200, 'yes'))];
      const began = performance.now();
      expect(await answerOf(chain)).to.deep.equal([200, 'yes']);
      expect(performance.now() - began).to.be.lessThan(500 * patience());
      expect(asked.at(-1)).to.equal('origin');
    });
  }

  it('F7: the origin answers when the peer is down', async () => {
    const gone = await peer(says(200, ''));
    await (open.shift() as TestOrigin).close();
    expect(await answerOf([gone, await site('origin', says(200, 'yes'))])).to.deep.equal([
      200,
      'yes',
    ]);
  });

  it('F10: a loop that a peer reports is an error where no other fetcher follows', async () => {
    await failure(answerOf([await peer(says(508, 'loop'))]), 'loop');
  });

  it('asks the last peer to fill', async () => {
    await answerOf([await peer(peerMisses), await peer(peerSays(200, 'yes'))]);
    expect(asked).to.deep.equal(['peer only-if-cached', 'peer fill']);
  });

  it('lets `fill` of a peer overrule its place', async () => {
    await answerOf([await peer(peerMisses, true), await peer(peerMisses, false)]);
    expect(asked).to.deep.equal(['peer fill', 'peer only-if-cached']);
  });

  it('gives a miss where only peers stand that do not fill', async () => {
    const fetched = await new ChainFetcher([await peer(peerMisses, false)]).fetch(ask('/x'));
    expect(fetched.miss).to.equal(true);
  });

  it('sends what may not be repeated to the first origin alone', async () => {
    const chain = new ChainFetcher([
      await peer(peerMisses),
      await site('a', says(404, 'no')),
      await site('b', says(200, 'yes')),
    ]);
    const body = Readable.from([Buffer.from('x')]);
    const fetched = await chain.fetch(ask('/x', [], { method: 'POST', body }));
    expect(await readText(fetched)).to.deep.equal([404, 'no']);
    expect(asked).to.deep.equal(['a']);
  });

  it('says what is missing when only peers could take a POST', async () => {
    const chain = new ChainFetcher([await peer(peerMisses)]);
    await failure(chain.fetch(ask('/x', [], { method: 'POST' })), 'unsupported');
  });

  it('lets go of the bodies that it passes over', async () => {
    const endless: RequestListener = (_, response) => {
      response.writeHead(404);
      const more = (): void => void (response.destroyed || response.write('x'.repeat(4096), more));
      more();
    };
    const chain = [await site('a', endless), await site('b', says(200, 'yes'))];
    await answerOf(chain);
    const first = open.find((one) => 'peak' in one) as TestOrigin;
    await until(() => first.open === 0);
  });

  it('keeps the connection of a short 404 for the next request', async () => {
    const chain = new ChainFetcher([
      await site('a', says(404, 'no')),
      await site('b', says(200, 'yes')),
    ]);
    for (let i = 0; i < 5; i += 1) await readText(await chain.fetch(ask('/x')));
    expect((open.find((one) => 'peak' in one) as TestOrigin).accepted).to.equal(1);
  });

  it('refuses to be empty', () => {
    expect(() => new ChainFetcher([])).to.throw('at least one fetcher');
  });
});
