import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TestAuthority } from '../../support/certificates.ts';
import { patience } from '../../support/patience.ts';
import type { Random } from '../../support/random.ts';
import { RawOrigin } from '../../support/raw-origin.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import type { SoakRow } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

/** Time limits of the origin under test; undici looks at its clocks twice a second. */
const LIMITS = { connect: '400ms', firstByte: '600ms', idle: '600ms' };
const LIMIT_MS = 600;
const SLACK_MS = 2_000;
const SIZE = 100_000;
const WAITERS = 3;
const LANES = 4;
const HEAD = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n';

/** Origins that stand still, cannot be reached, fail, or say another digest than they send. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-42',
    title:
      'an origin that stands still costs its limit: all who wait are told, and nothing is kept',
    quick: 8,
    full: 80,
    run: async (run) => {
      await using raw = await RawOrigin.start(standStill);
      await using site = await startSite(run.seed, raw.url);
      const result = await tryCases({ ...run, lanes: LANES }, async (number) => {
        const way = WAYS[number % WAYS.length] ?? 'silent';
        const path = `/raw/${way}/${number}`;
        const from = performance.now();
        const asks = Array.from({ length: WAITERS }, async () => await ended(site, path));
        for (const end of await Promise.all(asks))
          if (end !== 504 && end !== 'cut') throw new Error(`${path}: ended with ${end}`);
        const ms = Math.round(performance.now() - from);
        if (ms > 2 * LIMIT_MS + SLACK_MS * patience()) throw new Error(`${path}: took ${ms} ms`);
        const asked = raw.asked(path);
        if (asked > 2) throw new Error(`${path}: asked ${asked} times by ${WAITERS}`);
        if ((await ended(site, path)) === 200) throw new Error(`${path}: was kept`);
        if (raw.asked(path) === asked) throw new Error(`${path}: the next was not asked for`);
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
  {
    id: 'F-44',
    title:
      'an origin that cannot be reached is 502 or 504 in its limit, never asked in plain text instead',
    quick: 5,
    full: 40,
    run: async (run) => {
      await using folder = await tempFolder();
      await using strange = await startTls(folder.path);
      await using mute = await RawOrigin.start(() => undefined);
      await using site = await startSite(run.seed, mute.url, {
        refused: 'http://127.0.0.1:1',
        unknown: 'http://no-such-host.invalid',
        strange: strange.url,
        plain: mute.url.replace('http:', 'https:'),
        named: strange.url.replace('127.0.0.1', 'localhost'),
      });
      const result = await tryCases({ ...run, lanes: LANES }, async (number) => {
        const place = UNREACHABLE[number % UNREACHABLE.length] ?? 'refused';
        const from = performance.now();
        const end = await ended(site, `/${place}/${number}`);
        if (end !== 502 && end !== 504) throw new Error(`${place}: ended with ${end}`);
        const ms = Math.round(performance.now() - from);
        if (ms > 2 * LIMIT_MS + SLACK_MS * patience()) throw new Error(`${place}: took ${ms} ms`);
      });
      return await alsoTry(result, run, async () => {
        if (strange.requests() > 0)
          throw new Error('a request went to a host that nobody vouches for');
        await site.finish();
      });
    },
  },
  {
    id: 'F-45',
    title:
      'an answer of 5xx is not kept; only what changes nothing is asked once more, and only before the first byte',
    quick: 6,
    full: 60,
    run: async (run) => {
      await using raw = await RawOrigin.start(resetSecond);
      await using site = await startSite(run.seed, raw.url);
      const result = await tryCases({ ...run, lanes: 1 }, async (number, random) => {
        await (number % 2 === 0 ? failing(site, number, random) : dying(site, raw, number, random));
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
  {
    id: 'F-47',
    title: 'a body that is not what its Content-Digest says is not kept',
    quick: 6,
    full: 50,
    run: async (run) => {
      await using site = await startSite(run.seed, 'http://127.0.0.1:1');
      const result = await tryCases({ ...run, lanes: LANES }, async (number, random) => {
        await digested(site, number, random);
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
];

const WAYS = ['silent', 'in-head', 'after-head', 'in-body'] as const;
const UNREACHABLE = ['refused', 'unknown', 'strange', 'plain', 'named'] as const;

/** Says as much as the path asks for, and nothing more. */
function standStill(socket: { write(text: string): unknown }, path: string): void {
  if (path.includes('/in-head/')) socket.write('HTTP/1.1 200 OK\r\nCache-Con');
  if (path.includes('/after-head/')) socket.write(`${HEAD}Content-Length: ${SIZE}\r\n\r\n`);
  if (path.includes('/in-body/'))
    socket.write(`${HEAD}Content-Length: ${SIZE}\r\n\r\n${'x'.repeat(1000)}`);
}

/** Answers the first request of a connection and resets it at the second, before a byte. */
function resetSecond(
  socket: { write(text: string): unknown; resetAndDestroy(): unknown },
  path: string,
  number: number,
): void {
  if (path.endsWith('/dies') && number > 1) socket.resetAndDestroy();
  else socket.write('HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok');
}

async function failing(site: SoakSite, number: number, random: Random): Promise<void> {
  const status = random.pick([500, 501, 502, 503, 504, 599]);
  const key = `/fails/${number}`;
  site.serve(key, (_, request) =>
    request === 1
      ? { status, headers: [['Cache-Control', 'max-age=60']], size: 500 }
      : { size: SIZE },
  );
  const first = await site.ask(key, SIZE);
  if (first.kind !== 'refused' || first.status !== status)
    throw new Error(`${key}: ${first.kind}, expected ${status}`);
  const { requests } = site.origin.counts(key);
  if (requests !== 1) throw new Error(`${key}: ${requests} requests for a ${status}`);
  const next = await site.whole(key, SIZE);
  if (next.cache !== 'MISS') throw new Error(`${key}: ${next.cache} after a ${status}`);
}

async function dying(
  site: SoakSite,
  raw: RawOrigin,
  number: number,
  random: Random,
): Promise<void> {
  const method = random.pick(['GET', 'HEAD', 'POST', 'PUT', 'DELETE']);
  // A connection that has answered is there to be used again.
  await site.client.get(`${site.node.url}/raw/${number}/warm`);
  const path = `/raw/${number}/dies`;
  const answer = await site.client.get(site.node.url + path, { method });
  const safe = method === 'GET' || method === 'HEAD';
  const asked = raw.asked(path);
  if (safe && (answer.status !== 200 || asked !== 2))
    throw new Error(`${method}: ${answer.status} after ${asked} requests`);
  if (!safe && (answer.status !== 502 || asked !== 1))
    throw new Error(`${method}: ${answer.status} after ${asked} requests`);
}

async function digested(site: SoakSite, number: number, random: Random): Promise<void> {
  const key = `/digest/${number}`;
  const body = Buffer.from(
    `body ${number} ${random.integer(0, 1e9)}`.repeat(random.integer(1, 9000)),
  );
  const isTrue = number % 3 === 0;
  const said = createHash('sha256')
    .update(isTrue ? body : `${number}`)
    .digest('base64');
  site.serve(key, () => ({ body, headers: [['Content-Digest', `sha-256=:${said}:`]] }));
  const ask = async (): Promise<string | null> => {
    const answer = await site.client.get(site.node.url + key);
    if (!answer.body.equals(body)) throw new Error(`${key}: other bytes`);
    return answer.headers.get('X-Cache') ?? null;
  };
  await ask();
  if (isTrue) await site.recorded(key);
  const next = await ask();
  if (isTrue !== (next === 'HIT')) throw new Error(`${key}: ${next}, digest ${isTrue}`);
}

/** The status of an answer that came whole; `cut` for one that broke off. */
async function ended(site: SoakSite, path: string): Promise<number | 'cut'> {
  try {
    return (await site.client.get(site.node.url + path)).status;
  } catch {
    return 'cut';
  }
}

async function startSite(
  seed: number,
  raw: string,
  others: Readonly<Record<string, string>> = {},
): Promise<SoakSite> {
  const places = { raw, ...others };
  const rules = Object.keys(places).map((name) => ({
    ...{ name, path: `/${name}/*`, protocol: 'http', fetch: [name], stash: 'keep' },
  }));
  const fetchers = Object.fromEntries(
    Object.entries(places).map(([name, url]) => [name, { type: 'origin', url, timeouts: LIMITS }]),
  );
  return await SoakSite.start({
    seed,
    config: (usual) => ({
      ...usual,
      fetchers: { ...usual.fetchers, ...fetchers },
      rules: [...rules, ...usual.rules],
    }),
  });
}

/** A server whose certificate nobody vouches for, and how many requests came through. */
async function startTls(
  folder: string,
): Promise<{ readonly url: string; requests(): number } & AsyncDisposable> {
  const authority = await TestAuthority.create(folder);
  const { cert, key } = await authority.sign('strange');
  let requests = 0;
  const server: Server = createServer(
    { cert: await readFile(cert), key: await readFile(key) },
    (_, response) => {
      requests += 1;
      response.end('ok');
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: () => requests,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.closeAllConnections();
      server.close();
      await closed;
    },
  };
}
