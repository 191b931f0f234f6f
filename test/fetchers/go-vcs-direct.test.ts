import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import type { ComponentKind, ServiceKey } from '../../src/component.ts';
import { FETCH_LIMIT, FetchLimit } from '../../src/fetchers/fetch-limit.ts';
import { upstreamsType } from '../../src/fetchers/fetcher-types.ts';
import { OriginFetcher } from '../../src/fetchers/origin-fetcher.ts';
import type { UpstreamsFetcher } from '../../src/fetchers/upstreams-fetcher.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { startOrigin, type TestOrigin } from './origins.ts';
import { ask, base, failure, readText } from './requests.ts';

describe('direct in the list of upstreams', () => {
  let proxy: TestOrigin;
  let git: TestOrigin;
  let direct: OriginFetcher;
  let made: UpstreamsFetcher | undefined;
  let status = 200;
  let asked = 0;

  before(async () => {
    proxy = await startOrigin((_, response) => response.writeHead(status).end('proxy'));
    git = await startOrigin((_, response) => {
      asked += 1;
      response.end('git');
    });
    direct = new OriginFetcher({ ...base('private'), url: new URL(git.url) });
  });
  beforeEach(() => {
    status = 200;
    asked = 0;
  });
  afterEach(async () => {
    await made?.[Symbol.asyncDispose]();
    made = undefined;
  });
  after(async () => {
    await direct[Symbol.asyncDispose]();
    await git.close();
    await proxy.close();
  });

  /** A fetcher as the configuration makes it; `named` is its `direct:`. */
  const upstreams = async (list: string, named?: string): Promise<UpstreamsFetcher> => {
    const { clock, metrics } = base();
    const limit = new FetchLimit({ concurrent: 4, clock, metrics });
    const options = upstreamsType.options.parse({ list, ...(named && { direct: named }) });
    expect(upstreamsType.references?.(options) ?? []).to.deep.equal(
      named === undefined ? [] : [{ kind: 'fetcher', name: named }],
    );
    made = await upstreamsType.create(options, {
      name: 'modules',
      clock: new SystemClock(),
      log: silentLogger,
      metrics: new Metrics(),
      dataDir: '/nowhere',
      baseDir: '/nowhere',
      nodeId: 'caje-0000000000000000',
      component: async <T>(kind: ComponentKind, name: string) => {
        expect([kind, name]).to.deep.equal(['fetcher', 'private']);
        return direct as T;
      },
      service: <S>(key: ServiceKey<S>): S => {
        expect(key as ServiceKey<unknown>).to.equal(FETCH_LIMIT);
        return limit as S;
      },
    });
    return made;
  };
  const got = async (fetcher: UpstreamsFetcher): Promise<readonly [number, string]> =>
    await readText(await fetcher.fetch(ask('/m/@v/list')));

  it('is the fetcher that is named, asked after 404 and 410 alone', async () => {
    const fetcher = await upstreams(`${proxy.url},direct`, 'private');
    expect(fetcher.upstreams).to.deep.equal([`${proxy.url}/`, 'private']);
    expect(fetcher.notes).to.deep.equal([]);
    expect([await got(fetcher), asked]).to.deep.equal([[200, 'proxy'], 0]);
    for (status of [403, 500]) {
      expect([await got(fetcher), asked]).to.deep.equal([[status, 'proxy'], 0]);
    }
    for (status of [404, 410]) expect(await got(fetcher)).to.deep.equal([200, 'git']);
    expect(asked).to.equal(2);
  });

  it('is asked after any failure behind |, and nothing behind it is', async () => {
    const fetcher = await upstreams(`${proxy.url}|direct,${proxy.url}`, 'private');
    status = 500;
    expect(await got(fetcher)).to.deep.equal([200, 'git']);
  });

  it('is enough for a list', async () => {
    const fetcher = await upstreams('direct', 'private');
    expect([fetcher.usable, await got(fetcher)]).to.deep.equal([true, [200, 'git']]);
  });

  it('is left out with a note when nothing is named, and not asked when the list has it not', async () => {
    const without = await upstreams('direct');
    expect(without.notes.join()).to.include('direct');
    expect(without.usable).to.equal(false);
    await failure(got(without), 'unavailable');
    const other = await upstreams(`${proxy.url},off`, 'private');
    status = 404;
    expect([await got(other), asked]).to.deep.equal([[404, 'proxy'], 0]);
  });

  it('stays open when the list is closed: it belongs to itself', async () => {
    const fetcher = await upstreams('direct', 'private');
    await fetcher[Symbol.asyncDispose]();
    expect(await readText(await direct.fetch(ask('/x')))).to.deep.equal([200, 'git']);
  });
});
