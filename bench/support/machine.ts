import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const GIB = 2 ** 30;

/** What a result is worth nothing without. */
export interface Machine {
  readonly date: string;
  readonly commit: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
  readonly nginx: string;
  /** Of the last minute, before the run: more than a few tenths means that others use the machine too. */
  readonly load: number;
}

/** This machine, now. */
export function describeMachine(): Machine {
  const all = cpus();
  return {
    date: new Date().toISOString(),
    commit: commit(),
    cores: all.length,
    cpu: all[0]?.model ?? 'unknown',
    memoryGib: Math.round(totalmem() / GIB),
    kernel: release(),
    node: process.version,
    nginx: firstLine('sh', ['-c', 'PATH=$PATH:/usr/sbin nginx -v 2>&1']),
    load: loadavg()[0] ?? 0,
  };
}

/** The machine in one line. */
export function machineLine(machine: Machine): string {
  const { date, commit, cores, cpu, memoryGib, kernel, node, nginx, load } = machine;
  return `${date}, commit ${commit}, ${cores} cores ${cpu}, ${memoryGib} GiB, Linux ${kernel}, node ${node}, ${nginx}, load ${load.toFixed(1)}`;
}

function commit(): string {
  const hash = firstLine('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD']);
  const changed = firstLine('git', ['-C', ROOT, 'status', '--porcelain', '--', 'src']) !== '';
  return changed ? `${hash} with changes in src` : hash;
}

function firstLine(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8' }).split('\n')[0] ?? '';
  } catch {
    return 'unknown';
  }
}
