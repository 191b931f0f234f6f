import { randomUUID } from 'node:crypto';
import { entryRows } from '../../criteria/node-files.ts';
import type { S3ProxyCall } from '../../support/s3-proxy.ts';
import { s3ServerMissing } from '../../support/s3-server.ts';
import { S3Site } from '../../support/s3-site.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause } from '../soak-site.ts';
import { tryCases } from '../try-cases.ts';

const MIB = 1024 ** 2;
const WAIT_MS = 60_000;
/** A call that has not come by then never will. */
const CALL_MS = 20_000;
/** Small enough for a copy of a few parts. */
const COPY_LIMIT = 6 * MIB;

/**
 * A body and how many calls publish it: as one object; with block digests before it; in parts, looked for, joined, copied and
 * tidied up; the same with a copy in parts and its mark.
 */
const BODIES: readonly (readonly [size: number, calls: number, copyLimit: number | undefined])[] = [
  [20 * MIB, 16, COPY_LIMIT],
  [20 * MIB, 9, undefined],
  [3 * MIB, 2, undefined],
  [10_000, 1, undefined],
];

interface Kill {
  readonly size: number;
  readonly copyLimit: number | undefined;
  /** Which call of the publication, from 1. */
  readonly nth: number;
  /** Whether the store has carried it out. */
  readonly isAfter: boolean;
}

/** Nodes that die while they publish to S3. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-33',
    title:
      'killed at any call of an upload to S3, a node leaves no object, row or part after its next start',
    quick: 8,
    full: 60,
    quickMs: 180_000,
    obstacle: async () => await Promise.resolve(s3ServerMissing()),
    run: async (run) => {
      const kills = spread(allKills(), run.cases);
      const sites = new Map<number | undefined, S3Site>();
      await using stack = new AsyncDisposableStack();
      return await tryCases(
        { ...run, cases: Math.max(run.cases, kills.length) },
        async (number, random) => {
          const kill = kills[number] ?? random.pick(kills);
          let s3 = sites.get(kill.copyLimit);
          if (s3 === undefined) {
            const env: Record<string, string> =
              kill.copyLimit === undefined
                ? {}
                : { CAJE_TEST_S3_COPY_LIMIT: String(kill.copyLimit) };
            const config = { log: { level: 'debug', access: false } };
            s3 = stack.use(await S3Site.start({ seed: run.seed, env, config }));
            sites.set(kill.copyLimit, s3);
          }
          await tryKill(s3, kill);
        },
      );
    },
  },
];

async function tryKill(s3: S3Site, { size, nth, isAfter }: Kill): Promise<void> {
  const { site, proxy } = s3;
  if (!site.node.isRunning) await site.node.restart();
  const key = `/${randomUUID()}?size=${size}`;
  let calls = 0;
  let at: S3ProxyCall | undefined;
  const killed = Promise.withResolvers<void>();
  const meet = async (call: S3ProxyCall): Promise<void> => {
    at = call;
    await site.node.kill9();
    killed.resolve();
  };
  // What health and the janitor do is not meant.
  await quiet(s3);
  const met = new WeakMap<S3ProxyCall, boolean>();
  proxy.rule = {
    before: async (call) => {
      met.set(call, ++calls === nth);
      if (met.get(call) === true && !isAfter) {
        await meet(call);
        return { hang: true };
      }
      return undefined;
    },
    after: async (call) => {
      if (met.get(call) === true && isAfter) await meet(call);
    },
  };
  const asked = site.ask(key, size);
  const late = setTimeout(killed.resolve, CALL_MS);
  await killed.promise;
  clearTimeout(late);
  await asked;
  proxy.rule = {};
  const what = `${isAfter ? 'after' : 'before'} call ${nth} of ${size}: ${at?.verb} ${at?.key}`;
  if (at === undefined) {
    await site.node.kill9();
    throw new Error(`${what}: only ${calls} calls came`);
  }
  const seen = site.node.log.length;
  await site.node.restart();
  await site.node.logged(
    (line) => line.msg === 'recovery is done' && site.node.log.indexOf(line) >= seen,
  );
  await untilClean(s3, what);
  const { cache } = await site.whole(key, size);
  if (cache === 'HIT') throw new Error(`${what}: there is a row`);
  await s3.kept(key, size);
}

/** Resolves once the bucket holds nothing but bodies that are answered as hits. */
async function untilClean(s3: S3Site, what: string): Promise<void> {
  const end = performance.now() + WAIT_MS;
  for (;;) {
    const left = await leftIn(s3);
    if (left.length === 0) return;
    if (performance.now() > end) throw new Error(`${what}: left ${left.join(', ')}`);
    await pause(100);
  }
}

async function leftIn(s3: S3Site): Promise<string[]> {
  const named = new Set(entryRows(s3.site.node, '').map(({ digest }) => digest));
  const left = (await s3.files()).filter((file) => {
    const digest = /^sha256\/..\/([0-9a-f]{64})(?:\.blocks)?$/.exec(file)?.[1];
    return digest === undefined || !named.has(digest);
  });
  return [...left, ...(await s3.server.openUploads(s3.bucket))];
}

async function quiet({ proxy }: S3Site): Promise<void> {
  for (let seen = -1; seen !== proxy.calls.length; ) {
    seen = proxy.calls.length;
    await pause(300);
  }
}

function allKills(): readonly Kill[] {
  return BODIES.flatMap(([size, calls, copyLimit]) =>
    Array.from({ length: calls }, (_, call) =>
      [false, true].map((isAfter) => ({ size, copyLimit, nth: call + 1, isAfter })),
    ).flat(),
  );
}

/** So many of them, from all over. */
function spread<T>(all: readonly T[], count: number): readonly T[] {
  const step = Math.max(1, all.length / count);
  return Array.from(
    { length: Math.min(count, all.length) },
    (_, index) => all[Math.floor(index * step)],
  ).filter((one) => one !== undefined);
}
