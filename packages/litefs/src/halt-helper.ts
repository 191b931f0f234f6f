import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { HelperGoneError } from './lock-error.ts';
import { assertPlatform } from './platform.ts';

/** How a helper is started. */
export interface HaltHelperOptions {
  /** `wait`: as LiteFS has it, refused after its own 10 s. `poll`: at once or `EAGAIN`, for any other file system. */
  readonly mode: 'wait' | 'poll';
  /** Program and arguments to run instead, for tests. It gets the lock file and the mode as further arguments. */
  readonly command?: readonly string[] | undefined;
}

/** LiteFS lets a wait for HALT end after 10 s; a helper that is still there a second later hangs. */
const KILL_MS = 11_000;
/** Longest that closing waits for the helper. */
const CLOSE_MS = 3000;

interface Waiter {
  resolve(errno: number): void;
  reject(error: Error): void;
}

/**
 * A process of its own that holds the lock of one file: a child that this process starts, or the death of this process,
 * can then not lose or leak it. One request at a time. It is started by the first request and again after it ended.
 */
export class HaltHelper implements AsyncDisposable {
  readonly path: string;
  readonly #options: HaltHelperOptions;
  #child: ChildProcess | undefined;
  #waiters: Waiter[] = [];
  #closed = false;

  /** `path` is that of the lock file. Throws `UnsupportedLockError` where there are no such locks. */
  constructor(path: string, options: HaltHelperOptions) {
    assertPlatform(path);
    this.path = path;
    this.#options = options;
  }

  /** Absent: it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process now, before anything else opens the mount. */
  start(): void {
    if (!this.#closed) this.#child ??= this.#spawn();
  }

  /** 0 once it is had, else the errno. Rejects with `HelperGoneError`. */
  lock(): Promise<number> {
    return this.#ask('L');
  }

  /** 0 once it is given back, else the errno; then it may still be held, and is to be locked and unlocked again. */
  unlock(): Promise<number> {
    return this.#ask('U');
  }

  /**
   * Gives up what is asked now: the process is told to end, which also gives back what it may still be granted, and the
   * next request starts another one. What waits rejects with `HelperGoneError`.
   */
  abandon(): void {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    end(child);
    this.#fail(new HelperGoneError(this.path, 'it was given up'));
  }

  /** Gives the lock back and ends the process; resolves when it is gone, or after 3 s where LiteFS does not let it go. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.ref();
    end(child);
    const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    // LiteFS may hold it in its last call for as long as it likes; then it ends by itself, later.
    if (child.exitCode === null && child.signalCode === null) await Promise.race([gone, late]);
    child.unref();
    this.#fail(new HelperGoneError(this.path, 'it was closed'));
  }

  #ask(request: 'L' | 'U'): Promise<number> {
    if (this.#closed) return Promise.reject(new HelperGoneError(this.path, 'it was closed'));
    this.#child ??= this.#spawn();
    const child = this.#child;
    return new Promise<number>((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      keepAlive(child, true);
      child.stdin?.write(`${request}\n`);
    });
  }

  #spawn(): ChildProcess {
    const [program, ...args] = this.#options.command ?? [process.execPath, entry()];
    const { NODE_OPTIONS: _, ...env } = process.env;
    const child = spawn(program ?? '', [...args, this.path, this.#options.mode], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // A session of its own: what is sent to the group of this process must not end it.
      detached: true,
      env,
    });
    const gone = (how: string): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.#fail(new HelperGoneError(this.path, how));
    };
    child.on('error', (error) => gone(error.message));
    child.on('exit', (code, signal) => gone(signal ?? `exit code ${code}`));
    child.stdin?.on('error', () => {});
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (this.#child === child) this.#take(line, child);
      });
    }
    keepAlive(child, false);
    return child;
  }

  #take(line: string, child: ChildProcess): void {
    const waiter = this.#waiters.shift();
    if (this.#waiters.length === 0) keepAlive(child, false);
    waiter?.resolve(/^\d+$/.test(line) ? Number(line) : constants.errno.EPROTO);
  }

  #fail(error: HelperGoneError): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }
}

/** Whether the process may keep ours running. */
function keepAlive(child: ChildProcess, alive: boolean): void {
  for (const part of [child, child.stdin, child.stdout] as const) {
    const handle = part as { ref?(): void; unref?(): void } | null;
    if (alive) handle?.ref?.();
    else handle?.unref?.();
  }
}

/** The end of its input first: a SIGKILL could leave the primary frozen until the lock's time is over. */
function end(child: ChildProcess): void {
  child.stdin?.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_MS).unref();
  child.once('exit', () => clearTimeout(timer));
}

function entry(): string {
  const source = fileURLToPath(new URL('./helper-main.ts', import.meta.url));
  return existsSync(source) ? source : source.replace(/\.ts$/, '.js');
}
