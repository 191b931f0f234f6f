import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { HaltHelper } from './halt-helper.ts';
import {
  ERESTARTSYS,
  HaltTimeoutError,
  HelperGoneError,
  lockError,
  NotLiteFsError,
} from './lock-error.ts';
import { isLiteFs } from './mount.ts';
import { type Position, position } from './node-files.ts';
import { OfdLock } from './ofd-lock.ts';

/** How a HALT lock is asked for. */
export interface HaltOptions {
  /** Longest wait. Absent: 10,000 ms. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** True: throws `NotLiteFsError` where the database lies on another file system. Absent: then it shuts out the processes of this machine. */
  readonly requireLiteFs?: boolean | undefined;
}

/** A HALT lock that is held. */
export interface Halt extends AsyncDisposable {
  readonly databasePath: string;
  readonly isOnLiteFs: boolean;
  /** Of the database when the lock was had. Absent: there is no LiteFS. */
  readonly position: Position | undefined;
  /** Milliseconds of `performance.now()` when it was had. LiteFS takes it away after 30 s without a word. */
  readonly since: number;
  /** Whether it is still held, as far as this machine can tell. Synchronous, so that it can be asked right before a COMMIT. */
  isHeld(): boolean;
  /** Gives it back; a second call does nothing. Throws `LockError` when LiteFS does not take it back: it is then held until its time is over. */
  release(): Promise<void>;
}

const TIMEOUT_MS = 10_000;
const FIRST_POLL_MS = 1;
const LAST_POLL_MS = 20;

/** One helper per lock file of this process, with those who wait for it in order. */
interface Turn {
  readonly helper: HaltHelper;
  tail: Promise<void>;
}
const turns = new Map<string, Turn>();

/**
 * Takes the HALT lock of a database: on LiteFS leave to write from any node of the cluster, elsewhere an exclusion of the
 * other processes of this machine. Waits its turn; callers of this process are served in order. Throws
 * `HaltTimeoutError`, the signal's reason, or a `LockError`; nothing may be written then.
 */
export async function halt(databasePath: string, options: HaltOptions = {}): Promise<Halt> {
  if (isLiteFs(databasePath)) return await haltCluster(databasePath, options);
  if (options.requireLiteFs === true)
    throw new NotLiteFsError(`${databasePath} does not lie on a LiteFS`);
  return await haltMachine(databasePath, options);
}

/** Gives a HALT lock back: `release` of it. */
export async function unhalt(held: Halt): Promise<void> {
  await held.release();
}

/** Runs `work` under the lock, which is held until its promise settles, and gives what it gives. Throws as `halt`, `work` and `release`. */
export async function withHalt<Result>(
  databasePath: string,
  work: (held: Halt) => Promise<Result> | Result,
  options: HaltOptions = {},
): Promise<Result> {
  const held = await halt(databasePath, options);
  let result: Result;
  try {
    result = await work(held);
  } catch (error) {
    // What went wrong in the work counts for more than that the lock could not be given back.
    await held.release().catch(() => {});
    throw error;
  }
  await held.release();
  return result;
}

async function haltMachine(databasePath: string, options: HaltOptions): Promise<Halt> {
  const { timeoutMs = TIMEOUT_MS, signal } = options;
  const lock = new OfdLock(`${databasePath}-lock`);
  const end = performance.now() + timeoutMs;
  try {
    for (let wait = FIRST_POLL_MS; !lock.tryLock(); wait = Math.min(wait * 2, LAST_POLL_MS)) {
      if (performance.now() >= end) throw new HaltTimeoutError(lock.path, timeoutMs);
      await pause(wait * (0.75 + Math.random() / 2), signal);
    }
    signal?.throwIfAborted();
  } catch (error) {
    lock.close();
    throw error;
  }
  return held(databasePath, undefined, {
    isOnLiteFs: false,
    isHeld: () => true,
    release: async () => lock.close(),
  });
}

async function haltCluster(databasePath: string, options: HaltOptions): Promise<Halt> {
  const { timeoutMs = TIMEOUT_MS, signal } = options;
  const path = `${databasePath}-lock`;
  const turn = turnOf(path);
  const before = turn.tail;
  const { promise, resolve: leave } = Promise.withResolvers<void>();
  turn.tail = before.then(() => promise);
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(new HaltTimeoutError(path, timeoutMs)), timeoutMs);
  const any = signal === undefined ? end.signal : AbortSignal.any([signal, end.signal]);
  try {
    await orAborted(before, any, () => {});
    await lockThrough(turn.helper, any);
    const release = async (): Promise<void> => {
      try {
        const errno = await turn.helper.unlock();
        if (errno !== 0) throw lockError(errno, path, 'cannot be given back');
      } finally {
        leave();
      }
    };
    const at = await position(databasePath).catch(async (error: unknown) => {
      await release().catch(() => {});
      throw error;
    });
    // On the primary HALT is nothing, and nothing can be seen of it.
    const isSeen = isHeldHere(path);
    const isHeld = (): boolean => !isSeen || isHeldHere(path);
    return held(databasePath, at, { isOnLiteFs: true, isHeld, release });
  } catch (error) {
    leave();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Until LiteFS says yes or no; what only asks to be tried again is. */
async function lockThrough(helper: HaltHelper, signal: AbortSignal): Promise<void> {
  const { EINTR, EAGAIN } = constants.errno;
  for (let wait = FIRST_POLL_MS; ; wait = Math.min(wait * 2, LAST_POLL_MS)) {
    const errno = await orAborted(helper.lock(), signal, () => helper.abandon());
    if (errno === 0) return;
    if (errno !== EINTR && errno !== EAGAIN && errno !== ERESTARTSYS)
      throw lockError(errno, helper.path, 'HALT was not had');
    await pause(wait, signal);
  }
}

function turnOf(path: string): Turn {
  const known = turns.get(path);
  if (known !== undefined) return known;
  const made = { helper: new HaltHelper(path, { mode: 'wait' }), tail: Promise.resolve() };
  turns.set(path, made);
  return made;
}

/** A file opened for the question alone: closing it gives nothing back, as the lock belongs to the helper's. */
function isHeldHere(path: string): boolean {
  try {
    using lock = new OfdLock(path, { create: false });
    return lock.isHeldElsewhere();
  } catch {
    return false;
  }
}

interface HeldParts {
  readonly isOnLiteFs: boolean;
  isHeld(): boolean;
  release(): Promise<void>;
}

function held(databasePath: string, at: Position | undefined, parts: HeldParts): Halt {
  let released: Promise<void> | undefined;
  const release = (): Promise<void> => {
    released ??= parts.release();
    return released;
  };
  return {
    databasePath,
    isOnLiteFs: parts.isOnLiteFs,
    position: at,
    since: performance.now(),
    isHeld: () => released === undefined && parts.isHeld(),
    release,
    [Symbol.asyncDispose]: release,
  };
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await delay(ms);
  signal?.throwIfAborted();
}

async function orAborted<Result>(
  promise: Promise<Result>,
  signal: AbortSignal,
  giveUp: () => void,
): Promise<Result> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = (): void => {
    giveUp();
    reject(signal.reason as Error);
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } catch (error) {
    // The helper that was given up says so too; why it was counts.
    if (error instanceof HelperGoneError) signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
