import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { ChainFetcher } from '../../src/fetchers/chain-fetcher.ts';
import { FetchLimit } from '../../src/fetchers/fetch-limit.ts';
import type { Fetcher } from '../../src/fetchers/fetcher.ts';
import { FileFetcher } from '../../src/fetchers/file-fetcher.ts';
import { parseGoproxyList } from '../../src/fetchers/goproxy-list.ts';
import { OriginFetcher } from '../../src/fetchers/origin-fetcher.ts';
import { PeerFetcher } from '../../src/fetchers/peer-fetcher.ts';
import { UpstreamsFetcher } from '../../src/fetchers/upstreams-fetcher.ts';
import { withLimit } from '../../src/fetchers/with-limit.ts';
import { RetryBudget, withRetry } from '../../src/fetchers/with-retry.ts';
import { ask, base } from './requests.ts';

const clock = new SystemClock();
const open: AsyncDisposable[] = [];

function origin(url: string): OriginFetcher {
  const basic = { user: 'caje', password: 'secret-of-the-node' };
  const fetcher = new OriginFetcher({ ...base('site'), url: new URL(url), auth: { basic } });
  open.push(fetcher);
  return fetcher;
}

function peer(): PeerFetcher {
  const url = new URL('http://127.0.0.1:1');
  const fetcher = new PeerFetcher({ ...base('near'), url, token: 't' });
  open.push(fetcher);
  return fetcher;
}

async function located(fetcher: Fetcher, path: string): Promise<string | undefined> {
  return (await fetcher.locate?.(ask(path)))?.href;
}

describe('where a client can get the same by itself', () => {
  afterEach(async () => {
    for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
  });

  it('is the address at the origin, below its path, without credentials', async () => {
    const site = origin('http://user:pass@127.0.0.1:8081/base/');
    expect(await located(site, '/a/%21b.zip?x=1')).to.equal(
      'http://127.0.0.1:8081/base/a/%21b.zip?x=1',
    );
  });

  it('passes through limits and retries', async () => {
    const { metrics } = base('site');
    const limit = new FetchLimit({ concurrent: 1, clock, metrics });
    const retry = { budget: new RetryBudget(clock), metrics };
    const wrapped = withLimit(withRetry(origin('http://127.0.0.1:8081'), retry), limit);
    expect(await located(wrapped, '/a')).to.equal('http://127.0.0.1:8081/a');
  });

  it('is the first place of a chain that has one; a peer and a folder have none', async () => {
    const folder = new FileFetcher({ ...base('folder'), path: '/nowhere' });
    const chain = new ChainFetcher([peer(), folder, origin('http://127.0.0.1:8082')]);
    expect(await located(chain, '/a')).to.equal('http://127.0.0.1:8082/a');
    expect(await located(new ChainFetcher([peer(), folder]), '/a')).to.equal(undefined);
  });

  it('is the first upstream of a list that is no folder', async () => {
    const upstreams = new UpstreamsFetcher({
      name: 'modules',
      origin: 'the list',
      list: parseGoproxyList('file:///srv/modules,http://127.0.0.1:8083/go,http://127.0.0.1:8084'),
      open: ({ url }) =>
        url.protocol === 'file:'
          ? new FileFetcher({ ...base('folder'), path: url.pathname })
          : origin(url.href),
    });
    expect(await located(upstreams, '/m/@v/list')).to.equal('http://127.0.0.1:8083/go/m/@v/list');
  });
});
