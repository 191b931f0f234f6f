import { randomUUID } from 'node:crypto';
import type { S3Fault, S3ProxyCall, S3Verb } from '../../support/s3-proxy.ts';
import { s3ServerMissing } from '../../support/s3-server.ts';
import { S3Site } from '../../support/s3-site.ts';
import type { SoakRow, SoakRun } from '../soak-row.ts';
import { pause } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const MIB = 1024 ** 2;
const SMALL = 10_000;
const LARGE = 9 * MIB + 1;
const OPERATIONS = ['put', 'get', 'head', 'begin', 'part', 'complete', 'copy', 'delete'] as const;
const MAX_TRIES = 3;
const WAIT_MS = 20_000;
/** Longer than any wait between two tries. */
const QUIET_MS = 400;

const obstacle = async (): Promise<string | undefined> => await Promise.resolve(s3ServerMissing());

/** Stores in S3 that fail, lie or refuse. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-31',
    title:
      'a call that S3 fails is tried three times at most, by chance apart, and clients get their bodies',
    quick: 8,
    full: 80,
    obstacle,
    run: async (run) => {
      await using s3 = await S3Site.start({ seed: run.seed });
      const waits: number[] = [];
      const result = await tryCases(run, async (number) => {
        waits.push(...(await failCall(s3, number)));
      });
      return await alsoTry(result, run, async () => {
        if (waits.length > 2 && new Set(waits.map(Math.round)).size < 2)
          throw new Error(`always waited the same: ${waits.join(', ')}`);
        await Promise.resolve();
      });
    },
  },
  {
    id: 'F-34',
    title:
      'joining parts that is answered with 200 and an error is a failure, and its body is not kept',
    quick: 2,
    full: 20,
    obstacle,
    run: async (run) => {
      await using s3 = await S3Site.start({ seed: run.seed });
      return await tryCases(run, async (number) => {
        const failed = new Set<string>();
        const published = s3.proxy.count('copy');
        s3.proxy.rule = {
          before: ({ verb, key: staged }) => {
            if (verb !== 'complete') return undefined;
            failed.add(staged);
            return { status: 200, code: number % 2 === 0 ? 'InternalError' : 'SlowDown' };
          },
        };
        let key = '';
        for (let body = 0; failed.size === 0; body++) {
          key = `/${number}/${body}?size=${LARGE}`;
          if (body > 20) throw new Error('no upload was joined');
          await s3.site.whole(key, LARGE);
          await pause(QUIET_MS);
        }
        await until('the end of the upload', () =>
          [...failed].every((staged) => s3.proxy.count('abort', staged) > 0),
        );
        if (s3.proxy.count('copy') > published) throw new Error('was published');
        s3.proxy.rule = {};
        await s3.kept(key, LARGE);
        await untilClean(s3);
      });
    },
  },
  {
    id: 'F-35',
    title: 'less, other or changed bytes from S3 never end as a clean answer',
    quick: 10,
    full: 100,
    obstacle,
    run: async (run) => {
      await using s3 = await S3Site.start({ seed: run.seed });
      return await tryCases(run, async (number, random) => {
        const size = [SMALL, 3 * MIB, 20 * MIB][number % 3] ?? SMALL;
        const key = `/${number}?size=${size}`;
        await s3.kept(key, size);
        const faults: S3Fault[] = [
          { cutAfter: random.integer(0, size - 1) },
          { flip: random.integer(0, Math.min(size, 4 * MIB) - 1) },
          { replace: { 'content-range': `bytes 1-${size}/${size + 1}` } },
          { body: Buffer.alloc(Math.min(size, 4 * MIB), 7) },
          { cutAfter: 0 },
        ];
        const fault = faults[number % faults.length];
        const lasts = number % 2 === 0;
        let met = 0;
        s3.proxy.rule = {
          before: ({ verb }) => (verb === 'get' && (lasts || met++ === 0) ? fault : undefined),
        };
        // Throws for a wrong byte and for a short body that ends cleanly.
        const got = await s3.site.ask(key, size);
        if (got.kind === 'refused') throw new Error(`status ${got.status}`);
        s3.proxy.rule = {};
        await s3.kept(key, size);
      });
    },
  },
  {
    id: 'F-36',
    title:
      'S3 that refuses, or lost an object, is passed by, named in readyz and a counter, and used again',
    quick: 8,
    full: 90,
    obstacle,
    run: async (run) => await refuse(run),
  },
];

/** Lets the k-th call of an operation fail, once or for good. Gives the milliseconds between its tries. */
async function failCall(s3: S3Site, number: number): Promise<number[]> {
  const verb: S3Verb = OPERATIONS[number % OPERATIONS.length] ?? 'put';
  const status = Math.floor(number / OPERATIONS.length) % 2 === 0 ? 500 : 503;
  const nth = Math.floor(number / (2 * OPERATIONS.length)) + 1;
  const isOnce = (number + Math.floor(number / OPERATIONS.length)) % 2 === 1;
  const size = verb === 'put' || verb === 'get' ? SMALL : LARGE;
  const seen = new Set<string>();
  const tries: S3ProxyCall[] = [];
  s3.proxy.rule = {
    before: (call) => {
      if (call.verb !== verb) return undefined;
      seen.add(call.invocation);
      if ([...seen].indexOf(call.invocation) !== nth - 1) return undefined;
      tries.push(call);
      return isOnce && tries.length > 1 ? undefined : { status };
    },
  };
  const name = `${number}/${randomUUID()}`;
  const what = `${verb} ${nth}, ${status}${isOnce ? ' once' : ''}`;
  for (let body = 0; tries.length === 0; body++) {
    if (body > 2 * nth) throw new Error(`${what}: never came`);
    const key = `/${name}/${body}?size=${size}`;
    const end = performance.now() + WAIT_MS;
    while (tries.length === 0) {
      const { cache } = await s3.site.whole(key, size);
      // While it is being put, a hit is read from the spool: only later ones ask the store.
      if (cache === 'HIT' && verb !== 'get') break;
      if (performance.now() > end) throw new Error(`${what}: ${key} is not kept`);
      await pause(20);
    }
  }
  await quiet(s3);
  if (tries.length > MAX_TRIES) throw new Error(`${what}: ${tries.length} tries`);
  if (isOnce && tries.length !== 2 && verb !== 'get')
    throw new Error(`${what}: ${tries.length} tries`);
  s3.proxy.rule = {};
  await s3.kept(`/${name}/after?size=${size}`, size);
  await untilClean(s3);
  return tries.slice(1).map(({ at }, index) => at - (tries[index]?.at ?? 0));
}

async function refuse(run: SoakRun): ReturnType<SoakRow['run']> {
  const kinds: readonly (readonly [string, RegExp, S3Fault | undefined])[] = [
    ['expired', /expired/, { status: 400, code: 'ExpiredToken' }],
    ['clock', /clock/, { status: 403, code: 'RequestTimeTooSkewed' }],
    [
      'region',
      /set region to "eu-west-9"/,
      { status: 301, code: 'PermanentRedirect', headers: { 'x-amz-bucket-region': 'eu-west-9' } },
    ],
    ['missing', /^$/, undefined],
  ];
  await using s3 = await S3Site.start({ seed: run.seed });
  const { site, proxy } = s3;
  return await tryCases(run, async (number) => {
    const [kind, problem, fault] = kinds[number % kinds.length] ?? ['', /^$/, undefined];
    const size = Math.floor(number / kinds.length) % 2 === 0 ? SMALL : 3 * MIB;
    const [key, other] = [`/${number}?size=${size}`, `/${number}/other?size=${size}`];
    const counter = fault === undefined ? 'missing_blobs_total' : `store_failures_total{${kind}}`;
    await s3.kept(key, size);
    const before = (await site.node.counters())[counter] ?? 0;
    if (fault === undefined) await removeBody(s3, key);
    else proxy.rule = { before: () => fault };
    const got = await site.whole(key, size);
    if (got.cache === 'HIT') throw new Error(`${kind}: a HIT without the store`);
    await site.whole(other, size);
    await site.counted(counter, before + 1);
    if (fault !== undefined) {
      const ready = await site.client.stream(`${site.node.url}/_caje/readyz`);
      const said = (await ready.body.toArray()).join('');
      if (
        ready.status !== 503 ||
        !problem.test(JSON.stringify(JSON.parse(said)).replaceAll('\\"', '"'))
      )
        throw new Error(`${kind}: readyz says ${ready.status} ${said}`);
    }
    proxy.rule = {};
    await s3.kept(key, size);
    await s3.kept(other, size);
  });
}

async function removeBody({ site, proxy, server, bucket }: S3Site, key: string): Promise<void> {
  const from = proxy.calls.length;
  const { promise, resolve } = Promise.withResolvers<string>();
  proxy.rule = {
    before: (call) => {
      if (call.verb === 'get' || call.verb === 'head') resolve(call.key);
      return undefined;
    },
  };
  await site.whole(key, Number(new URLSearchParams(key.split('?')[1]).get('size')));
  if (proxy.calls.length === from) throw new Error(`${key}: was not read from the store`);
  const body = await promise;
  proxy.rule = {};
  await server.removeObject(bucket, body);
}

/** Resolves once nothing is left of uploads. Throws when something is after 20 s. */
async function untilClean(s3: S3Site): Promise<void> {
  const end = performance.now() + WAIT_MS;
  for (;;) {
    const left = (await s3.files()).filter((file) => !file.startsWith('sha256/'));
    if (left.length === 0) return;
    if (performance.now() > end) throw new Error(`left in the bucket: ${left.join(', ')}`);
    await pause(20);
  }
}

/** Resolves once no call has come for a moment. */
async function quiet({ proxy }: S3Site): Promise<void> {
  for (let seen = -1; seen !== proxy.calls.length; ) {
    seen = proxy.calls.length;
    await pause(QUIET_MS);
  }
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const end = performance.now() + WAIT_MS;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`${what} did not come`);
    await pause(10);
  }
}
