import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { LiteFsDetector } from './litefs-detector.ts';
import { LiteFsNodes } from './litefs-nodes.ts';
import type { LiteFsMet, LiteFsSettings } from './writer-protocol.ts';

/** What is watched, and who is told. */
export interface LiteFsWatchOptions {
  readonly databasePath: string;
  readonly settings: LiteFsSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Called when only a restart of LiteFS helps. Absent: that stands in `problem` alone. */
  readonly onWedged?: (() => void) | undefined;
}

const EVERY_MS = 250;
/** Longest that starting waits for what may be read; without it requests pass through. */
const OPEN_MS = 1000;
/** A COMMIT that takes longer is counted and told of: it has no time limit of its own. */
const STUCK_NS = 3_000_000_000n;

/** Looks from outside the writer thread at what that thread may wait for: a COMMIT, and a LiteFS that stands still. */
export class LiteFsWatch implements AsyncDisposable {
  readonly #options: LiteFsWatchOptions;
  readonly #commit: BigInt64Array;
  readonly #timer: NodeJS.Timeout;
  readonly #detector: LiteFsDetector;
  readonly #level = Promise.withResolvers<void>();
  #isLevel = false;
  #wedged: string | undefined;
  /** Beginning of the COMMIT that was told of; 0: none was. */
  #told = 0n;

  constructor(options: LiteFsWatchOptions) {
    this.#options = options;
    const { databasePath, settings, clock, log, metrics } = options;
    this.#commit = new BigInt64Array(settings.watch);
    this.#timer = setInterval(() => this.#look(), EVERY_MS).unref();
    this.#detector = new LiteFsDetector({
      nodes: new LiteFsNodes(databasePath, settings.addresses),
      clock,
      onWedged: (problem) => {
        this.#wedged = problem;
        metrics.count('litefs_wedged_total');
        log.error({ problem }, 'the manifest cannot be written or followed');
        options.onWedged?.();
      },
      onMoving: () => {
        this.#wedged = undefined;
        log.info({}, 'LiteFS goes on');
      },
    });
  }

  /** Why nothing can be written or followed. Absent: nothing is known that keeps it. */
  get problem(): string | undefined {
    if (this.#wedged !== undefined) return this.#wedged;
    return this.#told === 0n ? undefined : 'a COMMIT on LiteFS does not come back';
  }

  /** Whether the copy of the rows may be read: before it is level it may miss purges of other nodes. */
  get isLevel(): boolean {
    return this.#isLevel;
  }

  /** Resolves once the copy may be read, or after a second. */
  async untilLevel(): Promise<void> {
    const timer = setTimeout(() => this.#level.resolve(), OPEN_MS);
    await this.#level.promise;
    clearTimeout(timer);
  }

  /** The writer met something. */
  hear(met: LiteFsMet): void {
    if (met === 'level') {
      this.#isLevel = true;
      this.#level.resolve();
    } else this.#detector.refused();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#detector[Symbol.asyncDispose]();
  }

  #look(): void {
    const began = Atomics.load(this.#commit, 0);
    if (began === 0n || process.hrtime.bigint() - began < STUCK_NS) {
      if (this.#told !== 0n) this.#options.log.info({}, 'the COMMIT on LiteFS came back');
      this.#told = 0n;
    } else if (this.#told !== began) {
      this.#told = began;
      this.#options.metrics.count('halt_stuck_total', 'commit');
      this.#options.log.warn({}, 'a COMMIT on LiteFS does not come back: the primary hangs');
    }
  }
}
