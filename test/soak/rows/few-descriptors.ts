import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { patience } from '../../support/patience.ts';
import type { SoakRow } from '../soak-row.ts';
import { type Got, SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const RUNNING = 40;
const CLIENTS = 200;
const ALONE = 5;
const AFTER = 20;
/** What the node may open at most from then on, less than it has open. */
const LIMIT = 64;
const RATE = 100_000;
/** Three seconds long. */
const RUNNING_SIZE = 3 * RATE;
const SIZE = 50_000;
const REFUSED_MS = 100;

/** Descriptors that run out. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-16',
    title:
      'with fewer descriptors than are open no running answer is cut, the surplus is refused at once, and all is well after',
    quick: 1,
    full: 20,
    obstacle: limitObstacle,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const { pid } = site.node;
      const result = await tryCases(run, async (number) => {
        const begun: Promise<unknown>[] = [];
        const running = Array.from({ length: RUNNING }, async (_, client) => {
          const { promise, resolve } = Promise.withResolvers<void>();
          const key = `/${number}/running/${client}?size=${RUNNING_SIZE}&rate=${RATE}`;
          const got = site.ask(key, RUNNING_SIZE, { arrived: () => resolve() });
          begun.push(Promise.race([promise, got]));
          return await got;
        });
        await Promise.all(begun);
        const before = (await readdir(`/proc/${pid}/fd`)).length;
        if (before <= LIMIT) throw new Error(`only ${before} descriptors are open`);
        const usual = await limit(pid, `${LIMIT}:`);
        const surplus = await Promise.all(
          Array.from(
            { length: CLIENTS },
            async (_, client) => await site.ask(`/${number}/surplus/${client}?size=${SIZE}`, SIZE),
          ),
        );
        const refused = surplus.filter(({ kind }) => kind !== 'whole').length;
        // One by one: of many at once the last would wait for this process.
        let latest = 0;
        for (let client = 0; client < ALONE; client++) {
          const from = performance.now();
          const { kind } = await site.ask(`/${number}/alone/${client}?size=${SIZE}`, SIZE);
          if (kind !== 'whole') latest = Math.max(latest, performance.now() - from);
        }
        run.log(`${refused} of ${CLIENTS} refused; alone within ${Math.round(latest)} ms`);
        const gots = await Promise.all(running);
        await limit(pid, usual);
        allWhole('running', gots);
        if (refused === 0) throw new Error('nobody met the limit');
        if (latest > REFUSED_MS * patience()) throw new Error(`refused only after ${latest} ms`);
        allWhole(
          'after',
          await Promise.all(
            Array.from(
              { length: AFTER },
              async (_, client) => await site.ask(`/${number}/${client}?size=${SIZE}`, SIZE),
            ),
          ),
        );
        if (site.node.pid !== pid) throw new Error('the node is another');
      });
      return await alsoTry(result, run, async () => {
        await site.finish();
      });
    },
  },
];

function allWhole(what: string, gots: readonly Got[]): void {
  const others = gots.filter(({ kind }) => kind !== 'whole');
  const [first] = others;
  if (first === undefined) return;
  const why = first.kind === 'broken' ? String(first.error) : JSON.stringify(first);
  throw new Error(`${what}: ${others.length} of ${gots.length} are not whole: ${why}`);
}

/** Why a limit cannot be lowered here. Absent: it can. */
async function limitObstacle(): Promise<string | undefined> {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: 'pipe' });
  try {
    await once(child, 'spawn');
    await limit(child.pid ?? 0, `${LIMIT}:`);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    child.kill('SIGKILL');
  }
}

/** Sets how many descriptors a process may have, as `soft:hard`; gives what it was before. */
async function limit(pid: number, limits: string): Promise<string> {
  const before = await prlimit(pid, '--raw', '--noheadings', '--output=SOFT', '--nofile');
  await prlimit(pid, `--nofile=${limits}`);
  return `${before.trim()}:`;
}

async function prlimit(pid: number, ...args: readonly string[]): Promise<string> {
  const child = spawn('prlimit', ['--pid', String(pid), ...args], { stdio: 'pipe' });
  const [out, said, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  if (code !== 0) throw new Error(`prlimit: ${said.trim()}`);
  return out;
}
