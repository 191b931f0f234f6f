import { readFileSync } from 'node:fs';

/** Share of a process's descriptors that connections may take: files, upstreams and databases need the rest. */
const CONNECTION_SHARE = 0.8;

/** The most connections a node takes: as configured, but no more than 80 % of the descriptors that it may open. */
export function connectionLimit(
  configured: number,
  limits: string | undefined = readLimits(),
): number {
  const soft = /^Max open files\s+(\d+)/m.exec(limits ?? '')?.[1];
  if (soft === undefined) return configured;
  return Math.min(configured, Math.floor(Number(soft) * CONNECTION_SHARE));
}

// proc_pid_limits(5); absent where the system has no /proc.
function readLimits(): string | undefined {
  try {
    return readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return undefined;
  }
}
