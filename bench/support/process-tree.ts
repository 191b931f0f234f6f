import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks per second in /proc: fixed at 100 on every Linux architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
const BYTES_PER_KIB = 1024;

interface ProcessStat {
  readonly parent: number;
  readonly ticks: number;
}

/**
 * CPU seconds (user and system) that a process, all its threads and all its descendants have used. Children that
 * ended count through the parent that waited for them. Throws when the process is gone.
 */
export function cpuSeconds(pid: number): number {
  let ticks = 0;
  for (const member of processTree(pid)) ticks += statOf(member)?.ticks ?? 0;
  return ticks / TICKS_PER_SECOND;
}

/** Resident bytes of a process and its descendants, now. Throws when the process is gone. */
export function residentBytes(pid: number): number {
  let bytes = 0;
  for (const member of processTree(pid)) {
    const kib = /^VmRSS:\s+(\d+) kB/m.exec(readOrEmpty(`/proc/${member}/status`))?.[1];
    bytes += Number(kib ?? 0) * BYTES_PER_KIB;
  }
  return bytes;
}

/** A process and its descendants. Throws when the process is gone. */
export function processTree(pid: number): number[] {
  if (statOf(pid) === undefined) throw new Error(`process ${pid} ended while it was measured`);
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const candidate = Number(name);
    const stat = Number.isInteger(candidate) ? statOf(candidate) : undefined;
    if (stat === undefined) continue;
    const siblings = children.get(stat.parent);
    if (siblings) siblings.push(candidate);
    else children.set(stat.parent, [candidate]);
  }
  const tree = [pid];
  for (const member of tree) tree.push(...(children.get(member) ?? []));
  return tree;
}

/** Fields 4 and 14 to 17 of proc(5) stat; undefined: no such process. */
function statOf(pid: number): ProcessStat | undefined {
  const text = readOrEmpty(`/proc/${pid}/stat`);
  if (text === '') return undefined;
  // The command's name stands in parentheses and may hold anything, so count from the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { parent: Number(fields[1]), ticks };
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
