import { createHash } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { ProxyError } from '../../src/errors.ts';
import type { Fetched, FetchRequest } from '../../src/fetchers/fetcher.ts';
import { PeerFetcher } from '../../src/fetchers/peer-fetcher.ts';
import { HeaderList } from '../../src/headers.ts';
import { Metrics } from '../../src/metrics.ts';
import type { Protocol } from '../../src/protocol/protocol.ts';
import { bytesContent, EDGE_NODE, respond, streamContent } from '../support/edge.ts';
import { PEER_TOKEN, startPeer } from '../support/peer-edge.ts';

const BODY = 'the body';
const DIGEST = createHash('sha256').update(BODY).digest('hex');

interface Asked {
  readonly fill?: boolean;
  readonly token?: string;
  readonly method?: string;
  readonly headers?: HeaderList;
}

async function through(
  handle: Protocol['handle'],
  asked: Asked,
  use: (got: Fetched) => Promise<void>,
): Promise<void> {
  await using peer = await startPeer(handle);
  const { fill = false, token = PEER_TOKEN, method = 'GET', headers = HeaderList.empty } = asked;
  await using fetcher = new PeerFetcher({
    name: 'near',
    url: new URL(peer.url),
    clock: new SystemClock(),
    metrics: new Metrics(),
    token,
    fill,
  });
  const request: FetchRequest = {
    method,
    path: '/a',
    publicUrl: 'http://www.example.com/a',
    headers,
  };
  await use(await fetcher.fetch(request));
}

describe('a peer fetcher and a peer listener', () => {
  const kept: Protocol['handle'] = async () =>
    respond({
      headers: new HeaderList([
        ['ETag', '"1"'],
        ['Age', '5'],
      ]),
      selectable: true,
      content: bytesContent(BODY, { digest: DIGEST }),
    });

  it('agree on a kept body and its digest', async () => {
    await through(kept, {}, async (got) => {
      expect(await text(got.body)).to.equal(BODY);
      expect(got.status).to.equal(200);
      expect(got.headers.get('ETag')).to.equal('"1"');
      expect(await got.promisedDigest).to.equal(DIGEST);
    });
  });

  it('agree on a body that is still being filled', async () => {
    const body = new PassThrough();
    const sealed = Promise.withResolvers<string>();
    const filling: Protocol['handle'] = async () =>
      respond({
        report: { phase: 'miss' },
        content: streamContent(() => body, { size: BODY.length, sealedDigest: sealed.promise }),
      });
    await through(filling, { fill: true }, async (got) => {
      body.end(BODY);
      sealed.resolve(DIGEST);
      expect(await text(got.body)).to.equal(BODY);
      expect(await got.promisedDigest).to.equal(DIGEST);
    });
  });

  it('agree on a condition, a range and HEAD', async () => {
    await through(kept, { headers: new HeaderList([['If-None-Match', '"1"']]) }, async (got) => {
      expect(got.status).to.equal(304);
      got.body.destroy();
    });
    await through(kept, { headers: new HeaderList([['Range', 'bytes=4-5']]) }, async (got) => {
      expect(got.status).to.equal(206);
      expect(got.headers.get('Content-Range')).to.equal('bytes 4-5/8');
      expect(await text(got.body)).to.equal('bo');
    });
    await through(kept, { method: 'HEAD' }, async (got) => {
      expect(got.status).to.equal(200);
      expect(await text(got.body)).to.equal('');
    });
  });

  it('agree on a miss', async () => {
    const nothing: Protocol['handle'] = async () => {
      throw new ProxyError('timeout', 'test', 'not kept');
    };
    await through(nothing, {}, async (got) => {
      expect(got.miss).to.equal(true);
    });
  });

  const failures: readonly (readonly [string, Asked, string])[] = [
    ['a loop', { headers: new HeaderList([['CDN-Loop', EDGE_NODE]]) }, 'loop'],
    ['a wrong token', { token: 'another-token-0123' }, 'upstream'],
  ];
  for (const [name, asked, kind] of failures) {
    it(`agree on ${name}`, async () => {
      const failure: unknown = await through(kept, asked, async () => {}).catch(
        (error: unknown) => error,
      );
      expect(failure).to.be.instanceOf(ProxyError).with.property('kind', kind);
    });
  }
});
