import { readFileSync } from 'node:fs';

/**
 * `<pid>-<start time in clock ticks since boot>-<boot>`: names a process so that a later one with the same pid, on this boot or
 * another, is told apart.
 */
export function processIdentity(): string {
  return `${process.pid}-${startTime(process.pid) ?? Math.trunc(performance.timeOrigin)}-${boot}`;
}

/** Whether the process of that name still runs on this machine. Text of another shape: not alive. */
export function isProcessAlive(identity: string): boolean {
  const match = /^(\d{1,10})-(\d+)-([0-9a-f]+)$/.exec(identity);
  if (!match || match[3] !== boot) return false;
  const pid = Number(match[1]);
  const started = startTime(pid);
  if (started !== undefined) return started === match[2];
  if (hasProc) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

const boot = bootId();

const hasProc = startTime(process.pid) !== undefined;

// proc_pid_stat(5): the command may hold spaces and parentheses, so fields are counted from its last ')'.
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

// random(4): another one at each boot. '0' where the system has none.
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8);
  } catch {
    return '0';
  }
}
