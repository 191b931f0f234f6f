import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { codeOf, messageOf, ProxyError } from '../errors.ts';
import { formatDuration } from '../values.ts';
import { givenUp } from './http-errors.ts';

/** A program to run to its end. */
export interface Command extends CallOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** All that it sees of an environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Milliseconds until it is ended by force. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** How a program ended by itself. */
export interface CommandResult {
  /** Absent: a signal ended it. */
  readonly code: number | undefined;
  readonly stdout: string;
  /** Its end, where there was much of it. */
  readonly stderr: string;
}

const OP = 'go-vcs-command.run';
/** Versions of a module with very many tags; more is no answer of the go command. */
const STDOUT_BYTES = 16 * 1024 * 1024;
const STDERR_BYTES = 64 * 1024;
/** Between asking the processes to end and ending them. Milliseconds. */
const GRACE_MS = 500;
const GONE_POLL_MS = 5;

/**
 * Runs a program in a process group of its own, of which nothing is left when this settles. Throws `timeout` when it took too
 * long, the signal's reason, `unavailable` when there is no such program, `upstream` when it wrote more than anyone reads.
 */
export async function runCommand(command: Command): Promise<CommandResult> {
  const { program, args, cwd, env, timeoutMs, clock, signal } = command;
  if (signal?.aborted === true) throw givenUp(signal.reason);
  const child = spawn(program, args, {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stdout: Buffer[] = [];
  let stderr: Buffer = Buffer.alloc(0);
  let written = 0;
  let stopped: ProxyError | undefined;
  const ended = new AbortController();
  const stop = (why: ProxyError): void => {
    if (stopped !== undefined || ended.signal.aborted) return;
    stopped = why;
    signalGroup(child, 'SIGTERM');
    delay(GRACE_MS, undefined, { signal: ended.signal }).then(
      () => signalGroup(child, 'SIGKILL'),
      () => {},
    );
  };
  child.stdout.on('data', (chunk: Buffer) => {
    written += chunk.length;
    if (written > STDOUT_BYTES) stop(new ProxyError('upstream', OP, `${program} wrote too much`));
    else stdout.push(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = Buffer.concat([stderr, chunk]).subarray(-STDERR_BYTES);
  });
  const onAbort = (): void => stop(givenUp(signal?.reason));
  signal?.addEventListener('abort', onAbort, { once: true });
  clock.sleep(timeoutMs, { signal: ended.signal }).then(
    () =>
      stop(
        new ProxyError('timeout', OP, `${program} did not end within ${formatDuration(timeoutMs)}`),
      ),
    () => {},
  );
  try {
    const code = await exitOf(child, program);
    if (stopped === undefined)
      return { code, stdout: Buffer.concat(stdout).toString(), stderr: stderr.toString() };
  } finally {
    ended.abort();
    signal?.removeEventListener('abort', onAbort);
  }
  await groupGone(child);
  throw stopped;
}

async function exitOf(child: ChildProcess, program: string): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      const missing = codeOf(cause) === 'ENOENT';
      const why = missing ? 'there is no such program: install it' : messageOf(cause);
      reject(new ProxyError('unavailable', OP, `${program} cannot be run: ${why}`, { cause }));
    });
    // What the program itself started and left behind must not outlive it.
    child.once('exit', () => signalGroup(child, 'SIGKILL'));
    child.once('close', (code) => resolve(code ?? undefined));
  });
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals | 0): boolean {
  if (pid === undefined) return false;
  try {
    return process.kill(-pid, signal);
  } catch {
    // ESRCH: all of them are gone.
    return false;
  }
}

// Only the group's leader is our child; the others are reaped elsewhere, a moment later.
async function groupGone(child: ChildProcess): Promise<void> {
  for (let waited = 0; waited < GRACE_MS && signalGroup(child, 0); waited += GONE_POLL_MS) {
    await delay(GONE_POLL_MS);
  }
}
