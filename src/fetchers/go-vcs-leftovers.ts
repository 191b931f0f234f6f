import { readdir, readlink, rm } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { isProcessAlive } from '../process-identity.ts';

/**
 * Removes the folders below `root` whose process is gone, named by `processIdentity`, and ends what still runs in them:
 * a process that is killed takes its go and git commands with it no more than its folders. Gives the number of folders.
 */
export async function removeLeftovers(root: string): Promise<number> {
  const dead = (await readdir(root).catch(() => [])).filter((one) => !isProcessAlive(one));
  for (const one of dead) {
    const folder = join(root, one);
    for (const pid of await processesIn(folder)) endProcess(pid);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
  return dead.length;
}

/** Each go and git command works in a folder of its job. Where the system has no /proc none is found. */
async function processesIn(folder: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(pid)) continue;
    const cwd = await readlink(join('/proc', pid, 'cwd')).catch(() => '');
    if (cwd.startsWith(folder + sep)) found.push(Number(pid));
  }
  return found;
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
