import type { Clock } from '../clock.ts';
import type { LiteFsNodes } from './litefs-nodes.ts';

/** What the detector needs. */
export interface LiteFsDetectorOptions {
  readonly nodes: LiteFsNodes;
  readonly clock: Clock;
  /** Called when it begins to stand still, with what was seen. */
  readonly onWedged: (problem: string) => void;
  /** Called when it moves again. */
  readonly onMoving: () => void;
  /** Between two looks. Absent: 500 ms. */
  readonly everyMs?: number | undefined;
}

const EVERY_MS = 500;
/** Behind and unmoved for so long while the primary answers (litefs.md 4, countermeasure 5). */
const STILL_MS = 3000;
/** A refusal counts for so long: it is asked again sooner, and refused again where nothing changed. */
const REFUSED_MS = 15_000;

/**
 * Finds out that this node's LiteFS applies nothing any more though its primary goes on: it locked itself up, or missed
 * the end of a transaction of its own. Only a restart of that LiteFS heals it. Goes by the HTTP APIs alone, so that it
 * never waits for the mount.
 */
export class LiteFsDetector implements AsyncDisposable {
  readonly #options: LiteFsDetectorOptions;
  readonly #end = new AbortController();
  readonly #running: Promise<void>;
  #behind: { readonly own: bigint; readonly since: number } | undefined;
  #refusedAt = Number.NEGATIVE_INFINITY;
  #wedged = false;

  constructor(options: LiteFsDetectorOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** HALT was refused after LiteFS' own 10 s and this node's database cannot be read either. */
  refused(): void {
    this.#refusedAt = this.#options.clock.monotonic();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, everyMs = EVERY_MS } = this.#options;
    const { signal } = this.#end;
    while (!signal.aborted) {
      await this.#look();
      await clock.sleep(everyMs, { signal }).catch(() => {});
    }
  }

  async #look(): Promise<void> {
    const { nodes, clock } = this.#options;
    const standing = await nodes.standing('api', { signal: this.#end.signal });
    if (this.#end.signal.aborted) return;
    // Nothing can be said without the primary; what was said before stays.
    if (standing.role === 'alone') {
      this.#behind = undefined;
      return;
    }
    const isBehind = standing.role === 'replica' && standing.own < standing.ofPrimary;
    if (!isBehind) {
      this.#behind = undefined;
      if (clock.monotonic() - this.#refusedAt < REFUSED_MS && standing.role === 'replica')
        this.#tell('HALT is refused and the database cannot be read, though it is up to date');
      else this.#moves();
      return;
    }
    if (this.#behind?.own !== standing.own)
      this.#behind = { own: standing.own, since: clock.monotonic() };
    if (clock.monotonic() - this.#behind.since < STILL_MS) return;
    this.#tell(`it stays at transaction ${standing.own}, its primary is at ${standing.ofPrimary}`);
  }

  #tell(what: string): void {
    if (this.#wedged) return;
    this.#wedged = true;
    this.#options.onWedged(`LiteFS stands still: ${what}; it has to be started again`);
  }

  #moves(): void {
    if (!this.#wedged) return;
    this.#wedged = false;
    this.#options.onMoving();
  }
}
