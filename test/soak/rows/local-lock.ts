import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { SystemClock } from '../../../src/clock.ts';
import { localLock } from '../../../src/manifest/local-lock.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import type { SoakRow } from '../soak-row.ts';

const adder = fileURLToPath(new URL('../../manifest/lock-adder.ts', import.meta.url));
const WRITERS = 4;
/** Longest until the lock is had after its holder was killed: 100 ms, and what a machine adds on which four others want it too. */
const NEXT_MS = 2_000;

/** The lock of one machine among processes. */
export const rows: readonly SoakRow[] = [
  {
    id: 'T-13',
    title:
      'four processes lose no step of 5,000 each under the local lock, and a killed one leaves it free',
    quick: 40,
    full: 20_000,
    run: async (run) => {
      await using folder = await tempFolder();
      const path = join(folder.path, 'manifest.db');
      await writeFile(`${path}.count`, '0');
      const add = (times: number, step: number): ReturnType<typeof spawn> =>
        spawn(
          process.execPath,
          ['--conditions=caje-source', adder, path, String(times), String(step)],
          { stdio: ['ignore', 'pipe', 'inherit'] },
        );
      const steps = Math.ceil(run.cases / WRITERS);
      // One more takes the lock all the time and never ends by itself.
      const victim = add(Number.MAX_SAFE_INTEGER, 0);
      const adders = Array.from({ length: WRITERS }, () => add(steps, 1));
      const said = adders.map(async ({ stdout }) => (stdout ? await text(stdout) : ''));
      await once(victim.stdout ?? victim, 'data');
      victim.kill('SIGKILL');
      await once(victim, 'exit');
      const killed = performance.now();
      await using lock = localLock(path, { clock: new SystemClock() });
      await (await lock.acquire())[Symbol.asyncDispose]();
      const ms = Math.round(performance.now() - killed);
      run.log(`the next one had it after ${ms} ms`);
      await Promise.all(said);
      const passed = Number(await readFile(`${path}.count`, 'utf8'));
      return { passed: ms <= NEXT_MS ? passed : 0, cases: WRITERS * steps };
    },
  },
];
