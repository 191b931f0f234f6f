import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import type { ComponentContext, ComponentType, ServiceKey } from '../../src/component.ts';
import { ProxyError } from '../../src/errors.ts';
import { FETCH_LIMIT, FetchLimit } from '../../src/fetchers/fetch-limit.ts';
import type { Fetcher } from '../../src/fetchers/fetcher.ts';
import { createFetcherTypes } from '../../src/fetchers/fetcher-types.ts';
import type { UpstreamsFetcher } from '../../src/fetchers/upstreams-fetcher.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { startOrigin, type TestOrigin } from './origins.ts';
import { ask, readText, until } from './requests.ts';

describe('fetcher types', () => {
  const types = new Map(createFetcherTypes().map((type) => [type.type, type]));
  let folder: TempFolder;
  let origin: TestOrigin;
  let limit: FetchLimit;
  let seen: string[] = [];

  beforeEach(async () => {
    seen = [];
    folder = await tempFolder();
    limit = new FetchLimit({ concurrent: 2, clock: new SystemClock(), metrics: new Metrics() });
    origin = await startOrigin((request, response) => {
      seen.push(`${request.headers.authorization}`);
      response.writeHead(200, { 'Caje-Status': '200' }).end('ok');
    });
  });
  afterEach(async () => {
    await origin.close();
    await folder[Symbol.asyncDispose]();
  });

  const type = (name: string): ComponentType<unknown, Fetcher> => {
    const found = types.get(name);
    if (found === undefined) throw new Error(`no type ${name}`);
    return found;
  };
  const make = async <T extends Fetcher>(name: string, options: object): Promise<T> => {
    const context: ComponentContext = {
      name: 'mine',
      clock: new SystemClock(),
      log: silentLogger,
      metrics: new Metrics(),
      dataDir: folder.path,
      baseDir: folder.path,
      nodeId: 'caje-0000000000000000',
      component: async () => {
        throw new ProxyError('invalid', 'test', 'none');
      },
      service: <S>(key: ServiceKey<S>): S => {
        if ((key as ServiceKey<unknown>) !== FETCH_LIMIT)
          throw new ProxyError('internal', 'test', 'none');
        return limit as S;
      },
    };
    return (await type(name).create(type(name).options.parse(options), context)) as T;
  };
  const close = async (fetcher: Fetcher): Promise<void> => {
    await (fetcher as Partial<AsyncDisposable>)[Symbol.asyncDispose]?.();
  };

  it('are origin, upstreams, file, peer and go-vcs', () => {
    expect([...types.keys()]).to.deep.equal(['origin', 'upstreams', 'file', 'peer', 'go-vcs']);
  });

  it('make an origin with a secret from a file, under the shared limit', async () => {
    await writeFile(join(folder.path, 'token'), 's3cret\n');
    const auth = { bearer: { file: 'token' } };
    const fetcher = await make('origin', {
      url: origin.url,
      auth,
      maxSockets: 4,
      timeouts: { firstByte: '2s' },
    });
    const first = await fetcher.fetch(ask('/x'));
    expect([fetcher.name, limit.running]).to.deep.equal(['mine', 1]);
    expect(await readText(first)).to.deep.equal([200, 'ok']);
    expect(seen).to.deep.equal(['Bearer s3cret']);
    expect(limit.running).to.equal(0);
    await close(fetcher);
    await until(() => origin.open === 0);
  });

  it('make upstreams whose userinfo becomes credentials', async () => {
    const list = `${origin.url.replace('//', '//me:p%3Aw@')},direct`;
    const fetcher = await make<UpstreamsFetcher>('upstreams', { list });
    expect(fetcher.upstreams).to.deep.equal([`${origin.url}/`]);
    expect(await readText(await fetcher.fetch(ask('/m/@v/list')))).to.deep.equal([200, 'ok']);
    expect(seen).to.deep.equal([`Basic ${Buffer.from('me:p:w').toString('base64')}`]);
    await close(fetcher);
    await until(() => origin.open === 0);
  });

  it('make upstreams of folders', async () => {
    await writeFile(join(folder.path, 'list'), 'v1.0.0\n');
    const fetcher = await make<UpstreamsFetcher>('upstreams', { list: `file://${folder.path}` });
    expect(await readText(await fetcher.fetch(ask('/list')))).to.deep.equal([200, 'v1.0.0\n']);
  });

  it('make a folder, its path from the configuration’s own folder', async () => {
    await writeFile(join(folder.path, 'a.txt'), 'a');
    const fetcher = await make('file', { path: '.' });
    expect(await readText(await fetcher.fetch(ask('/a.txt')))).to.deep.equal([200, 'a']);
  });

  it('make a peer that knows its place', async () => {
    const fetcher = await make('peer', {
      url: origin.url,
      token: 'tok',
      fill: true,
      timeouts: { lookup: '1s' },
    });
    expect(await readText(await fetcher.fetch(ask('/x')))).to.deep.equal([200, 'ok']);
    expect(seen).to.deep.equal(['Bearer tok']);
    expect(fetcher).to.respondTo('inChain');
    await close(fetcher);
  });

  const refused: readonly (readonly [string, object, string])[] = [
    ['origin', {}, 'url'],
    ['origin', { url: 'ftp://x' }, 'url'],
    ['origin', { url: 'http://me:pw@x' }, 'url'],
    ['origin', { url: 'http://x', maxSockets: 0 }, 'maxSockets'],
    ['origin', { url: 'http://x', auth: {} }, 'auth'],
    ['origin', { url: 'http://x', timeouts: { lookup: '1s' } }, 'timeouts'],
    ['origin', { url: 'http://x', maxsockets: 4 }, 'maxsockets'],
    ['upstreams', {}, 'list'],
    ['upstreams', { list: 'ftp://x' }, 'list'],
    ['file', {}, 'path'],
    ['peer', { url: 'http://x' }, 'token'],
    ['peer', { url: 'http://x', token: '' }, 'token'],
  ];
  for (const [name, options, key] of refused) {
    it(`refuse ${name} ${JSON.stringify(options)}, naming ${key}`, () => {
      const parsed = type(name).options.safeParse(options);
      expect(parsed.success).to.equal(false);
      expect(JSON.stringify(parsed.error?.issues)).to.contain(key);
    });
  }

  it('name the ca file that cannot be used', async () => {
    const failed = async (ca: string): Promise<string> =>
      await make('origin', { url: 'https://x', ca }).then(
        () => '',
        (error: Error) => error.message,
      );
    expect(await failed('none.pem')).to.equal(`cannot read ca ${folder.path}/none.pem: ENOENT`);
    await writeFile(join(folder.path, 'not.pem'), 'text');
    expect(await failed('not.pem')).to.equal(`no PEM certificate in ca ${folder.path}/not.pem`);
  });
});
