import { constants } from 'node:os';
import { ERESTARTSYS, HaltHelper, HelperGoneError, lockError, OfdLock } from '@caje/litefs';
import type { Clock } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { CounterName } from '../metrics.ts';
import { closed, type Exclusion, HaltQueue, type HaltQueueOptions } from './halt-queue.ts';
import { type LiteFsAddresses, LiteFsNodes } from './litefs-nodes.ts';

/** How the HALT lock of a LiteFS cluster is taken. */
export interface LiteFsLockOptions extends HaltQueueOptions {
  readonly addresses: LiteFsAddresses;
  readonly count: (name: CounterName, label: string) => void;
  /** Makes the database known to this node's LiteFS, which has never heard of it. Throws what opening throws. */
  readonly introduce: () => void;
  /** Called when a primary that answers did not grant it in LiteFS' own time. */
  readonly onRefused?: (() => void) | undefined;
  /** Called with true when it is about to be asked for, and with false when it was given back or not had. */
  readonly onTurn?: ((isTaken: boolean) => void) | undefined;
  /** Absent: the package's own helper. */
  readonly command?: readonly string[] | undefined;
}

/** What waits before and after LiteFS' own 10 s: the pause and the gate before, the way of the answer after. */
const MARGIN_MS = 2000;
/** Longest wait to be in step with the primary. */
const GATE_MS = 1000;
const GATE_POLL_MS = 10;
/** Before HALT is asked for after another had it, at most, by chance: else all who wait ask in the same moment. */
const SPREAD_MS = 30;
/** Between COMMIT and giving back, besides one round trip, so that the transaction is on its way to the others first. */
const SETTLE_MS = 5;
/** After each use on a replica, half more or less by chance: LiteFS has no queue, and a tight loop starves the others. */
const PAUSE_MS = 50;
const AGAIN_MS = 10;
/** An errno 5 that took longer means that LiteFS' own 10 s went by, not that there is no primary. */
const REFUSED_MS = 9500;
/** A lease held for longer is counted. */
const SLOW_MS = 1000;
/** Giving back waits for every open transaction of this node, without a limit of its own. */
const UNHALT_MS = 15_000;
const HEAL_MS = 250;

/** Excludes all writers of a LiteFS cluster by HALT, held by a helper process (litefs.md 8). Throws where there are no OFD locks. */
export function liteFsLock(databasePath: string, options: LiteFsLockOptions): HaltQueue {
  const { acquireTimeoutMs } = options;
  return new HaltQueue(new LiteFsExclusion(databasePath, options), {
    ...options,
    ...(acquireTimeoutMs !== undefined && { acquireTimeoutMs: acquireTimeoutMs + MARGIN_MS }),
  });
}

class LiteFsExclusion implements Exclusion {
  readonly kind = 'litefs';
  readonly #path: string;
  readonly #options: LiteFsLockOptions;
  readonly #clock: Clock;
  readonly #helper: HaltHelper;
  readonly #nodes: LiteFsNodes;
  readonly #random: () => number;
  readonly #end = new AbortController();
  #isReplica = false;
  /** Whether GETLK shows the lock; on the primary there is nothing to see. */
  #isSeen = false;
  #since = 0;
  #notBefore = 0;
  #healing: Promise<void> | undefined;

  constructor(databasePath: string, options: LiteFsLockOptions) {
    this.#path = `${databasePath}-lock`;
    this.#options = options;
    this.#clock = options.clock;
    this.#random = options.random ?? Math.random;
    this.#helper = new HaltHelper(this.#path, { mode: 'wait', command: options.command });
    this.#nodes = new LiteFsNodes(databasePath, options.addresses);
    this.#helper.start();
  }

  async acquire(asked: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([asked, this.#end.signal]);
    if (this.#healing !== undefined) await orAborted(this.#healing, signal);
    await this.#sleep(this.#notBefore - this.#clock.monotonic(), signal);
    try {
      await this.#passGate(signal);
      // From here on nobody may read the database.
      this.#options.onTurn?.(true);
      await this.#halt(signal);
    } catch (error) {
      this.#options.onTurn?.(false);
      throw error;
    }
    this.#since = this.#clock.monotonic();
    this.#isSeen = this.#isHeld();
    if (this.#isReplica && !this.#isSeen) {
      await this.release();
      throw unavailable('LiteFS granted HALT and does not hold it');
    }
  }

  assertHeld(): void {
    if (!this.#isSeen || this.#isHeld()) return;
    throw new ProxyError('conflict', 'litefs-lock.check', 'HALT was lost');
  }

  async release(): Promise<void> {
    if (this.#clock.monotonic() - this.#since > SLOW_MS) this.#options.count('halt_slow_total', '');
    if (this.#isReplica) await this.#settle();
    const jitter = 0.5 + this.#random();
    try {
      const errno = await this.#inTime(this.#helper.unlock());
      if (errno !== 0) this.#healing ??= this.#heal();
    } catch (error) {
      // A helper that died gave it back by that; one that hangs gives it back when LiteFS lets it.
      if (!(error instanceof HelperGoneError)) throw error;
      this.#options.count('halt_helper_lost_total', 'unlock');
    } finally {
      this.#options.onTurn?.(false);
      if (this.#isReplica) this.#notBefore = this.#clock.monotonic() + PAUSE_MS * jitter;
    }
  }

  async close(): Promise<void> {
    this.#end.abort(closed());
    await this.#helper[Symbol.asyncDispose]();
    await this.#healing;
  }

  /**
   * Resolves once this node is at its primary's transaction and nobody writes there: a node that is granted HALT while
   * another's transaction is still on its way locks itself up. Throws `unavailable` where it stays behind.
   */
  async #passGate(signal: AbortSignal): Promise<void> {
    let end = this.#clock.monotonic() + GATE_MS;
    let wasTaken = false;
    for (;;) {
      const standing = await this.#nodes.standing('file', { signal });
      signal.throwIfAborted();
      this.#isReplica = standing.role !== 'primary';
      if (standing.role === 'primary') return;
      const isTaken = standing.role === 'replica' && standing.isTaken;
      if (standing.role === 'replica' && !isTaken && standing.own >= standing.ofPrimary) {
        if (!wasTaken) return;
        wasTaken = false;
        await this.#sleep(SPREAD_MS * this.#random(), signal);
        continue;
      }
      // Whoever writes now may do so for as long as this one waits at all.
      if (isTaken) end = this.#clock.monotonic() + GATE_MS;
      wasTaken ||= isTaken;
      if (this.#clock.monotonic() >= end) {
        this.#options.count('halt_gate_total', standing.role === 'alone' ? 'alone' : 'behind');
        throw unavailable(
          standing.role === 'alone'
            ? `LiteFS' primary is not to be had: ${standing.why}`
            : `this node is at transaction ${standing.own}, its primary at ${standing.ofPrimary}`,
        );
      }
      await this.#sleep(GATE_POLL_MS, signal);
    }
  }

  async #settle(): Promise<void> {
    const { signal } = this.#end;
    await this.#nodes.standing('file', { signal });
    await this.#sleep(SETTLE_MS, signal).catch(() => {});
  }

  async #halt(signal: AbortSignal): Promise<void> {
    const { EAGAIN, EINTR, EIO, ENOENT, ENOLCK, ENOTCONN } = constants.errno;
    let introduced = false;
    for (;;) {
      const asked = this.#clock.monotonic();
      const errno = await this.#ask(signal);
      if (errno === 0) return;
      if (errno === ENOENT && !introduced) {
        introduced = true;
        this.#options.introduce();
        continue;
      }
      if (errno === EINTR || errno === EAGAIN || errno === ERESTARTSYS) {
        await this.#sleep(AGAIN_MS, signal);
        continue;
      }
      const cause = lockError(errno, this.#path, 'HALT was not had');
      if (errno === ENOTCONN) throw unavailable('LiteFS is gone', cause);
      if (errno === EIO && this.#clock.monotonic() - asked < REFUSED_MS)
        throw unavailable('LiteFS has no primary', cause);
      if (errno === EIO) {
        this.#options.onRefused?.();
        throw new ProxyError(
          'timeout',
          'litefs-lock.acquire',
          'LiteFS did not grant HALT in time',
          {
            cause,
          },
        );
      }
      // The handle waits or holds already, which no code of ours lets it: begin with a fresh one.
      if (errno === ENOLCK) {
        this.#options.count('halt_helper_lost_total', 'locked');
        this.#helper.abandon();
      }
      throw new ProxyError('internal', 'litefs-lock.acquire', cause.message, { cause });
    }
  }

  async #ask(signal: AbortSignal): Promise<number> {
    try {
      return await orAborted(this.#helper.lock(), signal, () => this.#helper.abandon());
    } catch (error) {
      if (!(error instanceof HelperGoneError)) throw error;
      this.#options.count('halt_helper_lost_total', 'lock');
      throw unavailable('the process that asks for HALT ended', error);
    }
  }

  /** What LiteFS did not take back is locked and unlocked again, by the same descriptor, until it does. */
  async #heal(): Promise<void> {
    this.#options.count('halt_stuck_total', 'unlock');
    try {
      for (;;) {
        await this.#sleep(HEAL_MS, this.#end.signal);
        if ((await this.#helper.lock()) !== 0) continue;
        if ((await this.#inTime(this.#helper.unlock())) === 0) return;
      }
    } catch {
      // The helper ended, or this is closed: its descriptor is closed too, which gives the lock back.
    } finally {
      this.#healing = undefined;
    }
  }

  /** Gives a helper up that does not come back from giving the lock back. */
  async #inTime(unlocking: Promise<number>): Promise<number> {
    const timer = setTimeout(() => {
      this.#options.count('halt_stuck_total', 'unlock');
      this.#helper.abandon();
    }, UNHALT_MS);
    try {
      return await unlocking;
    } finally {
      clearTimeout(timer);
    }
  }

  /** By a file opened for this question alone: closing it gives nothing back. */
  #isHeld(): boolean {
    try {
      using lock = new OfdLock(this.#path, { create: false });
      return lock.isHeldElsewhere();
    } catch {
      return false;
    }
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (ms > 0) await this.#clock.sleep(ms, { signal });
    signal.throwIfAborted();
  }
}

function unavailable(message: string, cause?: unknown): ProxyError {
  return new ProxyError('unavailable', 'litefs-lock.acquire', message, { cause });
}

async function orAborted<Result>(
  promise: Promise<Result>,
  signal: AbortSignal,
  giveUp: () => void = () => {},
): Promise<Result> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = (): void => {
    reject(signal.reason as Error);
    giveUp();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
