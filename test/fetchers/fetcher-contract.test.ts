import { mkdir, readdir, readlink, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { dirname, join } from 'node:path';
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
import {
  type FetcherPlace,
  fetcherContract,
  type HandlerFixture,
  httpFetcherContract,
} from '../contract/fetcher.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { startOrigin, startPeer, type TestOrigin } from './origins.ts';
import { base } from './requests.ts';

type Made = Fetcher & AsyncDisposable;

/** A fetcher in front of one origin; `via` may put a server of its own between. */
function over(
  make: (url: URL) => Made,
  via?: (url: string) => Promise<TestOrigin>,
): HandlerFixture {
  return {
    create: async (answer: RequestListener): Promise<FetcherPlace> => {
      const origin = await startOrigin(answer);
      const middle = await via?.(origin.url);
      const near = middle ?? origin;
      const fetcher = make(new URL(near.url));
      return {
        fetcher,
        held: () => near.open,
        peak: () => near.peak,
        close: async () => {
          await fetcher[Symbol.asyncDispose]();
          await middle?.close();
          await origin.close();
        },
      };
    },
  };
}

function files(fixture: HandlerFixture): Parameters<typeof fetcherContract>[1] {
  return {
    create: async (all) =>
      await fixture.create((request, response) => {
        const bytes = all[request.url ?? ''];
        if (bytes === undefined) response.writeHead(404).end('not here');
        else response.writeHead(200, { 'Content-Length': bytes.length }).end(bytes);
      }),
  };
}

const maxSockets = 4;
const origin = over((url) => new OriginFetcher({ ...base(), url, maxSockets }));
const limited = over((url) => {
  const { clock, metrics } = base();
  const inner = new OriginFetcher({ ...base(), url, maxSockets });
  const retried = withRetry(inner, { budget: new RetryBudget(clock), metrics });
  const limit = new FetchLimit({ concurrent: 3, clock, metrics });
  return {
    ...withLimit(retried, limit),
    [Symbol.asyncDispose]: async () => await inner[Symbol.asyncDispose](),
  };
});
const upstreams = over(
  (url) =>
    new UpstreamsFetcher({
      name: 'modules',
      list: parseGoproxyList(`${url.href},direct`),
      origin: 'the list',
      open: (entry) => new OriginFetcher({ ...base('modules'), url: entry.url, maxSockets }),
    }),
);
const chain = over((url) => {
  const inner = new OriginFetcher({ ...base(), url, maxSockets });
  const fetcher = new ChainFetcher([inner]);
  return Object.assign(fetcher, {
    [Symbol.asyncDispose]: async () => await inner[Symbol.asyncDispose](),
  });
});
const peer = over(
  (url) => new PeerFetcher({ ...base('near'), url, maxSockets, token: 'secret' }),
  async (url) => await startPeer(url, { token: 'secret' }),
);

for (const [name, fixture] of Object.entries({ origin, limited, upstreams, chain, peer })) {
  fetcherContract(name, files(fixture));
  httpFetcherContract(name, fixture);
}

fetcherContract('file', {
  create: async (all) => {
    const folder = await tempFolder();
    for (const [path, bytes] of Object.entries(all)) {
      await mkdir(dirname(join(folder.path, path)), { recursive: true });
      await writeFile(join(folder.path, path), bytes);
    }
    return {
      fetcher: new FileFetcher({ ...base('folder'), path: folder.path }),
      held: async () => await openBelow(folder.path),
      close: async () => await folder[Symbol.asyncDispose](),
    };
  },
});

async function openBelow(folder: string): Promise<number> {
  const targets = await Promise.all(
    (await readdir('/proc/self/fd')).map(
      async (fd) => await readlink(join('/proc/self/fd', fd)).catch(() => ''),
    ),
  );
  return targets.filter((target) => target.startsWith(folder)).length;
}
