import { setTimeout as delay } from 'node:timers/promises';
import { cpuSeconds } from './process-tree.ts';

const LOOK_EVERY_MS = 250;
const QUIET_LOOKS = 4;
/** Two ticks of the kernel's clock per look: what an idle server may use, also one that is being profiled. */
const QUIET_SECONDS = 0.021;
const LONGEST_MS = 60_000;

/** Waits until a server has done what it does behind its answers: until it has used no CPU for a second. */
export async function settle(pid: number): Promise<void> {
  const startedAt = performance.now();
  let quiet = 0;
  for (let used = cpuSeconds(pid); quiet < QUIET_LOOKS; ) {
    if (performance.now() - startedAt > LONGEST_MS) throw new Error('the server does not settle');
    await delay(LOOK_EVERY_MS);
    const now = cpuSeconds(pid);
    quiet = now - used <= QUIET_SECONDS ? quiet + 1 : 0;
    used = now;
  }
}

/** CPU seconds that a server's process tree used for a piece of work, until it has settled. */
export async function cpuSecondsFor(pid: number, work: () => Promise<void>): Promise<number> {
  const before = cpuSeconds(pid);
  await work();
  await settle(pid);
  return cpuSeconds(pid) - before;
}
