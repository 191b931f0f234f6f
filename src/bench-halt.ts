import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type BenchOrder, type BenchResult, benchResult } from './bench-schemas.ts';
import type { CallOptions } from './body.ts';
import { ProxyError } from './errors.ts';
import { workerEntry } from './sqlite/worker-entry.ts';

/** What is measured. */
export interface BenchOptions {
  readonly lock: BenchOrder['lock'];
  /** Processes that write. */
  readonly nodes: number;
  /** Writes of each. */
  readonly writes: number;
  /** Mounts, one for each process, with the API of its LiteFS; for `litefs` alone. */
  readonly mounts?: readonly { readonly folder: string; readonly api: string }[] | undefined;
  /** API of the primary, in which `{hostname}` stands for what LiteFS calls it. */
  readonly liteFsPrimary?: string | undefined;
}

/** What came of it; times in milliseconds, from asking for a write until it is durable. */
export interface BenchReport {
  readonly lock: BenchOrder['lock'];
  readonly nodes: number;
  /** Of all processes together, as the next ones. */
  readonly writes: number;
  readonly writesPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Times that the lock was not had in ten seconds; the write goes on waiting. */
  readonly timeouts: number;
  readonly failed: number;
}

const TOKEN = randomBytes(32).toString('hex');
/** Database on a mount; it is taken away at the end. */
const DATABASE = 'caje-bench-halt.db';
const READY_MS = 60_000;
/** Longest wait for one to end by itself. */
const END_MS = 10_000;

/**
 * Has processes write one manifest at once: on one file (`local`), each its own and shipped to a primary beside them (`peer`),
 * or each on its LiteFS mount (`litefs`). Everything made for it is gone at the end. Throws `unavailable` when a process ends early, which
 * all do when the signal fires.
 */
export async function benchHalt(
  options: BenchOptions,
  { signal }: CallOptions = {},
): Promise<BenchReport> {
  const { lock, nodes, writes } = options;
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'caje-bench-'));
  stack.defer(async () => await rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  if (lock === 'litefs') stack.defer(async () => await removeFrom(options));
  const base = { writes, token: '', primary: '' };
  let primary = '';
  if (lock === 'peer') {
    const own = await folderIn(folder, 'primary');
    const path = join(own, 'manifest.db');
    const order = { ...base, name: 'primary', folder: own, path, token: TOKEN } as const;
    const process = stack.use(await BenchProcess.start({ ...order, lock: 'local' }, signal));
    primary = process.url;
  }
  const writers: BenchProcess[] = [];
  for (let number = 1; number <= nodes; number++) {
    const name = `n${number}`;
    const own = await folderIn(folder, name);
    const order = {
      ...base,
      name,
      folder: own,
      lock,
      ...placeOf(options, number - 1, folder, own),
    };
    const token = lock === 'peer' ? TOKEN : '';
    writers.push(stack.use(await BenchProcess.start({ ...order, primary, token }, signal)));
  }
  const from = performance.now();
  const results = await Promise.all(writers.map(async (writer) => await writer.write()));
  return reportOf(options, results, performance.now() - from);
}

function placeOf(
  { lock, mounts = [], liteFsPrimary = '' }: BenchOptions,
  index: number,
  shared: string,
  own: string,
): Pick<BenchOrder, 'path' | 'litefs'> {
  if (lock === 'local') return { path: join(shared, 'manifest.db') };
  const mount = mounts[index];
  if (lock === 'peer' || mount === undefined) return { path: join(own, 'manifest.db') };
  const litefs = { api: mount.api, primary: liteFsPrimary };
  return { path: join(mount.folder, DATABASE), litefs };
}

async function folderIn(parent: string, name: string): Promise<string> {
  const path = join(parent, name);
  await mkdir(path);
  return path;
}

/** Only the primary may, and LiteFS takes it from the others. */
async function removeFrom({ mounts = [] }: BenchOptions): Promise<void> {
  for (const { folder } of mounts)
    await rm(join(folder, DATABASE), { force: true }).catch(() => {});
}

function reportOf(
  { lock, nodes }: BenchOptions,
  results: readonly BenchResult[],
  tookMs: number,
): BenchReport {
  const sorted = results.flatMap(({ latencies }) => latencies).sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const sum = (name: 'failed' | 'timeouts'): number =>
    results.reduce((total, result) => total + result[name], 0);
  return {
    ...{ lock, nodes, writes: sorted.length },
    writesPerSecond: (sorted.length * 1000) / tookMs,
    ...{ p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 },
    ...{ timeouts: sum('timeouts'), failed: sum('failed') },
  };
}

/** One process that writes. */
class BenchProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  #url = '';

  private constructor(child: ChildProcess, lines: AsyncIterator<string>) {
    this.#child = child;
    this.#lines = lines;
    this.#ended = once(child, 'exit');
  }

  /** Throws the signal's reason, also later by ending the process. */
  static async start(order: BenchOrder, signal: AbortSignal | undefined): Promise<BenchProcess> {
    signal?.throwIfAborted();
    const entry = fileURLToPath(workerEntry(new URL('./bench-writer.ts', import.meta.url)));
    const child = spawn(process.execPath, [...process.execArgv, entry, JSON.stringify(order)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // A Ctrl-C is told to this process alone, which ends the others in order.
      detached: true,
    });
    // One that was killed reads nothing any more.
    child.stdin.on('error', () => {});
    const stop = (): void => void child.kill('SIGKILL');
    signal?.addEventListener('abort', stop);
    child.once('exit', () => signal?.removeEventListener('abort', stop));
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const started = new BenchProcess(child, lines);
    const late = setTimeout(() => child.kill('SIGKILL'), READY_MS);
    try {
      started.#url = z.object({ url: z.string() }).parse(await started.#next()).url;
      return started;
    } catch (error) {
      await started[Symbol.asyncDispose]();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** Its peer listener; '' where nobody asks it. */
  get url(): string {
    return this.#url;
  }

  async write(): Promise<BenchResult> {
    this.#child.stdin?.write('\n');
    return benchResult.parse(await this.#next());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), END_MS);
    await this.#ended;
    clearTimeout(late);
  }

  async #next(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done !== true) return JSON.parse(value);
    throw new ProxyError('unavailable', 'bench-halt.process', 'a process of the bench ended early');
  }
}
