import { kindOf } from '../../../src/errors.ts';
import { digestOf } from '../../../src/storage/digest.ts';
import type { S3Backend } from '../../../src/storage/s3-backend.ts';
import { incomingOf } from '../../support/incoming.ts';
import { patience } from '../../support/patience.ts';
import type { Random } from '../../support/random.ts';
import { openBucket } from '../../support/s3-bucket.ts';
import { deafAddress } from '../../support/s3-deaf.ts';
import { S3Proxy, type S3Verb } from '../../support/s3-proxy.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../../support/s3-server.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import type { SoakRow } from '../soak-row.ts';
import { tryCases } from '../try-cases.ts';

const MIB = 1024 ** 2;
const LIMITS = { connectMs: 500, answerMs: 700, idleMs: 900, copyMs: 1_100 };
/** How much later than its limit a call may end. */
const GRACE_MS = 1_000;
const SMALL = seededBytes(10_000, 'small');
const LARGE = seededBytes(9 * MIB, 'large');
const LANES = 3;

/** What is called, which of its calls goes unanswered, and how long that one may take. */
const CALLS: readonly (readonly [
  verb: S3Verb,
  limitMs: number,
  call: (backend: S3Backend) => Promise<unknown>,
])[] = [
  ['head', LIMITS.answerMs, async (backend) => await backend.stat(digestOf(SMALL))],
  ['get', LIMITS.answerMs, async (backend) => await backend.open(digestOf(SMALL))],
  ['put', LIMITS.idleMs, async (backend) => await backend.put(incomingOf(Buffer.from('new')))],
  ['begin', LIMITS.answerMs, async (backend) => await backend.put(incomingOf(LARGE))],
  ['part', LIMITS.idleMs, async (backend) => await backend.put(incomingOf(LARGE))],
  ['complete', LIMITS.copyMs, async (backend) => await backend.put(incomingOf(LARGE))],
  ['copy', LIMITS.copyMs, async (backend) => await backend.put(incomingOf(LARGE))],
  ['delete', LIMITS.answerMs, async (backend) => await backend.delete(digestOf(SMALL))],
  ['list', LIMITS.answerMs, async (backend) => await Array.fromAsync(backend.list())],
  ['uploads', LIMITS.answerMs, async (backend) => await backend.recover()],
];

/** Stores in S3 that say nothing. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-32',
    title:
      'a connection, answer or byte of S3 that never comes is given up within its limit and a second',
    quick: 9,
    full: 30,
    obstacle: async () => await Promise.resolve(s3ServerMissing()),
    run: async (run) => {
      await using server = await startS3Server();
      await using deaf = await deafAddress();
      return await tryCases({ ...run, lanes: LANES }, async (number, random) => {
        const call = Math.floor(number / 3) + (run.cases < 30 ? random.integer(0, 9) : 0);
        if (number % 3 === 0) await noConnection(server, deaf.url, call);
        else if (number % 3 === 1) await noAnswer(server, call);
        else await noMore(server, random);
      });
    },
  },
];

async function noConnection(server: S3Server, endpoint: string, number: number): Promise<void> {
  await using bucket = await openBucket(server, { endpoint, limits: LIMITS });
  const [verb, , call] = CALLS[number % CALLS.length] ?? CALLS[0] ?? [];
  await within(`connection for ${verb}`, LIMITS.connectMs, call?.(bucket.backend), () => undefined);
}

async function noAnswer(server: S3Server, number: number): Promise<void> {
  const [hung, limitMs, call] = CALLS[number % CALLS.length] ?? CALLS[0] ?? [];
  await using proxy = await S3Proxy.start(server.endpoint);
  await using bucket = await openBucket(server, { endpoint: proxy.url, limits: LIMITS });
  await bucket.backend.put(incomingOf(SMALL));
  let at: number | undefined;
  proxy.rule = {
    before: ({ verb, at: came }) => {
      if (verb !== hung) return undefined;
      at ??= came;
      return { hang: true };
    },
  };
  await within(`answer to ${hung}`, limitMs ?? 0, call?.(bucket.backend), () => at);
}

async function noMore(server: S3Server, random: Random): Promise<void> {
  await using proxy = await S3Proxy.start(server.endpoint);
  await using bucket = await openBucket(server, { endpoint: proxy.url, limits: LIMITS });
  const bytes = seededBytes(random.integer(1, 20) * MIB + random.integer(0, 1000));
  const { digest } = await bucket.backend.put(incomingOf(bytes));
  // Less than a block: more than that would be taken up again, and come to its end.
  const stallAfter = random.integer(0, MIB - 1);
  let spared = bytes.length > 9 * MIB ? random.integer(0, 1) : 0;
  proxy.rule = {
    before: ({ verb }) => (verb === 'get' && spared-- <= 0 ? { stallAfter } : undefined),
  };
  let at = performance.now();
  const read = async (): Promise<void> => {
    const opened = await bucket.backend.open(digest);
    for await (const _ of opened?.body ?? []) at = performance.now();
  };
  await within(`rest after ${stallAfter} of ${bytes.length}`, LIMITS.idleMs, read(), () => at);
}

/** Throws unless the call fails as one that the store does not answer, in time and not before it waited. */
async function within(
  what: string,
  limitMs: number,
  call: Promise<unknown> | undefined,
  since: () => number | undefined,
): Promise<void> {
  const from = performance.now();
  const failure: unknown = await Promise.resolve(call).then(
    () => undefined,
    (error: unknown) => error,
  );
  const ms = Math.round(performance.now() - (since() ?? from));
  if (failure === undefined) throw new Error(`${what}: was not missed`);
  if (kindOf(failure) !== 'unavailable') throw new Error(`${what}: ${String(failure)}`);
  if (ms > limitMs + GRACE_MS * patience()) throw new Error(`${what}: given up after ${ms} ms`);
  if (ms < limitMs / 2) throw new Error(`${what}: given up after only ${ms} ms`);
}
