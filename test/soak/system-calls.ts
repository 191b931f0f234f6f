import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { tempFolder } from '../support/temp-folder.ts';

/** Calls by which a store changes what lies on disk. */
const STORE_CALLS = [
  'openat',
  'write',
  'writev',
  'pwrite64',
  'pwritev',
  'fsync',
  'fdatasync',
  'ftruncate',
  'rename',
  'renameat',
  'renameat2',
  'mkdir',
  'mkdirat',
  'unlink',
  'unlinkat',
  'close',
  'chmod',
  'fchmod',
  'fchmodat',
] as const;

/** A system call of one thread: the same point in another run of the same work. */
export interface CallPoint {
  /** Place of the thread among those of the process, by age. */
  readonly thread: number;
  readonly call: string;
  /** From 1: the n-th of these calls by this thread since tracing began. */
  readonly number: number;
}

/** Watches a process from outside, until it is disposed of or the process ends. */
export interface Tracer extends AsyncDisposable {
  /** Lines of the trace; complete once disposed of. */
  readonly lines: () => Promise<readonly string[]>;
}

/** Why no process can be traced here. Absent: it can. */
export async function traceObstacle(): Promise<string | undefined> {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: 'pipe' });
  try {
    await once(child, 'spawn');
    const tracer = await trace(child.pid ?? 0, ['-e', 'trace=fsync']);
    await tracer[Symbol.asyncDispose]();
    return undefined;
  } catch (error) {
    return `strace cannot attach to a process: ${error instanceof Error ? error.message : error}`;
  } finally {
    child.kill('SIGKILL');
  }
}

/** Every call by which a process changes files below a folder while `work` goes on, in order. */
export async function storeCalls(
  pid: number,
  folder: string,
  work: () => Promise<void>,
): Promise<readonly CallPoint[]> {
  const threads = await threadsOf(pid);
  const tracer = await trace(pid, ['-f', '-y', '-s', '0', '-e', `trace=${STORE_CALLS.join(',')}`]);
  try {
    await work();
  } finally {
    await tracer[Symbol.asyncDispose]();
  }
  const seen = new Map<string, number>();
  const points: CallPoint[] = [];
  for (const line of await tracer.lines()) {
    const [, tid, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (tid === undefined || call === undefined) continue;
    const number = (seen.get(`${tid} ${call}`) ?? 0) + 1;
    seen.set(`${tid} ${call}`, number);
    const thread = threads.indexOf(Number(tid));
    const isRead = call === 'openat' && !line.includes('O_CREAT');
    if (thread >= 0 && line.includes(folder) && !isRead) points.push({ thread, call, number });
  }
  return points;
}

/** A call that was seen, and when: places in the order of all that begins and ends. */
export interface SeenCall {
  readonly call: string;
  /** What it was called with, as strace shows it: descriptors with their paths. */
  readonly args: string;
  readonly begin: number;
  readonly end: number;
}

/**
 * Calls of these kinds, in the order in which they began, that a process makes below a folder while `work` goes on. Each takes
 * `slowMs` longer than it would: who does not wait for one is then seen to begin the next before its end.
 */
export async function seenCalls(
  pid: number,
  folder: string,
  calls: readonly string[],
  work: () => Promise<void>,
  slowMs = 0,
): Promise<readonly SeenCall[]> {
  const names = calls.join(',');
  const slow = slowMs > 0 ? ['-e', `inject=${names}:delay_exit=${slowMs}ms`] : [];
  const tracer = await trace(pid, ['-f', '-y', '-s', '0', '-e', `trace=${names}`, ...slow]);
  try {
    await work();
  } finally {
    await tracer[Symbol.asyncDispose]();
  }
  const seen: SeenCall[] = [];
  const open = new Map<string, Omit<SeenCall, 'end'>>();
  for (const [place, line] of (await tracer.lines()).entries()) {
    const [, thread = '', call = '', args = ''] = /^(\d+) +(\w+)\((.*)/.exec(line) ?? [];
    const [, resumed = ''] = /^(\d+) +<\.\.\. \w+ resumed>/.exec(line) ?? [];
    const begun = call === '' ? open.get(resumed) : { call, args, begin: place };
    if (line.includes('<unfinished ...>') && begun) open.set(thread, begun);
    else if (begun?.args.includes(folder)) seen.push({ ...begun, end: place });
  }
  return seen.sort((a, b) => a.begin - b.begin);
}

/** From now on SIGKILL hits the process as it enters this call. */
export async function killAt(pid: number, { thread, call, number }: CallPoint): Promise<Tracer> {
  const tid = (await threadsOf(pid))[thread];
  if (tid === undefined) throw new Error(`the process has no thread ${thread}`);
  const inject = `inject=${call}:signal=KILL:when=${number}`;
  return await trace(tid, ['-e', `trace=${call}`, '-e', inject]);
}

/** From now on this call, made by its thread, fails with an error such as `EIO` and does nothing. Lines are that call's and those of all syncs. */
export async function failAt(
  pid: number,
  { thread, call, number }: CallPoint,
  error: string,
): Promise<Tracer> {
  const tid = (await threadsOf(pid))[thread];
  if (tid === undefined) throw new Error(`the process has no thread ${thread}`);
  const inject = `inject=${call}:error=${error}:when=${number}`;
  const traced = `trace=${call},fsync,fdatasync`;
  return await trace(tid, ['-y', '-s', '0', '-e', traced, '-e', inject]);
}

/** Ids of the threads of a process, oldest first. */
async function threadsOf(pid: number): Promise<number[]> {
  const names = await readdir(`/proc/${pid}/task`);
  return names.map(Number).sort((a, b) => a - b);
}

async function trace(id: number, options: readonly string[]): Promise<Tracer> {
  const folder = await tempFolder();
  const file = join(folder.path, 'trace');
  const child = spawn('strace', ['-o', file, ...options, '-p', String(id)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let lines: readonly string[] = [];
  try {
    await attached(child);
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
  return {
    lines: async () => await Promise.resolve(lines),
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const gone = once(child, 'close');
        child.kill('SIGINT');
        await gone;
      }
      lines = (await readFile(file, 'utf8').catch(() => '')).split('\n');
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function attached(child: ChildProcess): Promise<void> {
  if (child.stderr === null) throw new Error('strace has no output');
  const said: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  createInterface(child.stderr).on('line', (line) => {
    said.push(line);
    if (line.includes(' attached')) resolve();
  });
  child.once('error', reject);
  child.once('close', () => reject(new Error(said.join('; ') || 'strace ended at once')));
  await promise;
}
