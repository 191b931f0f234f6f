import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** Longest time until a server says that it listens. */
const READY_MS = 60_000;
/** Time between the request to stop and the kill. */
const STOP_MS = 20_000;
const KEPT_LINES = 20;

/** A server under measurement. Disposing stops it. */
export interface Server extends AsyncDisposable {
  readonly pid: number;
  /** Without a slash at the end. */
  readonly url: string;
}

/** What to start and how to know that it is ready. */
export interface StartOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  /** Gives the URL when a line of output (both streams) says it. Absent: `url` is known and is polled for. */
  readonly urlIn?: ((line: string) => string | undefined) | undefined;
  readonly url?: string | undefined;
}

/** Starts a program and waits until it listens. Throws with its last lines when it ends before. */
export async function startProcess(options: StartOptions): Promise<Server> {
  const child = spawn(options.command, options.args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const last: string[] = [];
  const announced = Promise.withResolvers<string>();
  for (const stream of [child.stdout, child.stderr] as Readable[]) {
    createInterface({ input: stream }).on('line', (line) => {
      last.push(line);
      if (last.length > KEPT_LINES) last.shift();
      const url = options.urlIn?.(line);
      if (url !== undefined) announced.resolve(url);
    });
  }
  const ended = new Promise<never>((_resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      const said = last.join('\n');
      reject(new Error(`${options.command} ended early (${code ?? signal}):\n${said}`));
    });
  });
  ended.catch(() => {});
  const stop = async (): Promise<void> => await stopProcess(child);
  try {
    const late = AbortSignal.timeout(READY_MS);
    const timeout = once(late, 'abort').then(() => {
      throw new Error(`${options.command} did not listen within ${READY_MS} ms`);
    });
    const ready = options.url === undefined ? announced.promise : answers(options.url, late);
    const url = await Promise.race([ready, ended, timeout]);
    return { pid: child.pid as number, url, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function answers(url: string, signal: AbortSignal): Promise<string> {
  while (!signal.aborted) {
    try {
      const response = await fetch(url, { method: 'HEAD', signal });
      await response.body?.cancel();
      return url;
    } catch {
      await delay(20);
    }
  }
  return url;
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await gone;
  clearTimeout(kill);
}
