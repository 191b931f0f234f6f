import { createHash } from 'node:crypto';
import { startOrigin, type TestOrigin } from '../fetchers/origins.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { Site } from './site.ts';
import type { Storage } from './storages.ts';

/** Where the P rows run: one node on one kind of storage, and the origins around it. */
export interface PPlace extends AsyncDisposable {
  readonly site: Site;
  readonly storage: Storage;
  /** SHA-256 of every body that the origin of `uploads.test` got. */
  readonly uploads: readonly string[];
  /** Origin of `mortal.test`, which a row may end. */
  readonly mortal: OracleOrigin;
}

/** Address whose forwarding fields the node believes. */
export const TRUSTED_CLIENT: string = '127.0.0.9';

/** Starts the node on a storage. The place owns it and what it needs, not the storage. */
export async function startPPlace(storage: Storage): Promise<PPlace> {
  const stack = new AsyncDisposableStack();
  try {
    const uploads: string[] = [];
    const taker = await startTaker(uploads);
    stack.defer(async () => await taker.close());
    const mortal = stack.use(await OracleOrigin.start());
    const closed = await closedAddress();
    const silent = await startOrigin(() => {});
    stack.defer(async () => await silent.close());
    const rule = (name: string, more: object = {}): Record<string, unknown> => ({
      name,
      host: `${name}.test`,
      fetch: name,
      ...more,
    });
    const site = await Site.start({
      storage: storage.options,
      others: storage.others,
      rules: [
        rule('uploads'),
        rule('mortal'),
        rule('closed'),
        rule('silent'),
        rule('reload', { fetch: 'site', honorClientReload: false }),
        rule('public', { fetch: 'site', preserveHost: true }),
      ],
      fetchers: {
        uploads: { type: 'origin', url: taker.url },
        mortal: { type: 'origin', url: mortal.url },
        closed: { type: 'origin', url: closed },
        silent: { type: 'origin', url: silent.url, timeouts: { firstByte: '300ms' } },
      },
      config: { trustedProxies: [TRUSTED_CLIENT] },
    });
    stack.use(site);
    const owned = stack.move();
    return {
      site,
      storage,
      uploads,
      mortal,
      [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function startTaker(uploads: string[]): Promise<TestOrigin> {
  return await startOrigin((request, response) => {
    const hash = createHash('sha256');
    request.on('data', (chunk: Buffer) => hash.update(chunk));
    request.on('end', () => {
      uploads.push(hash.digest('hex'));
      response.writeHead(200, { 'Cache-Control': 'max-age=60' }).end('taken');
    });
  });
}

/** An address of this machine where nobody listens. */
async function closedAddress(): Promise<string> {
  const origin = await startOrigin(() => {});
  await origin.close();
  return origin.url;
}
