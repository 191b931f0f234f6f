import type { Metrics } from '../metrics.ts';

/** What a running fetch serves, for telling which of them a purge takes. */
export interface FlightSubject {
  readonly namespace: string;
  readonly key: string;
  readonly rule: string;
  /** As the rule has it: another one of its name shares no fetch with it. Absent: there is no other. */
  readonly edition?: string | undefined;
  /** Tags of the answer. Absent: its head has not come, so that it may have any. */
  tags?: ReadonlySet<string> | undefined;
}

/** Whether somebody works on what was asked for: from then on it is worth waiting for. */
export class Beginning {
  #waiting: (() => void)[] | undefined = [];

  /** True: it has begun. */
  get happened(): boolean {
    return this.#waiting === undefined;
  }

  /** It begins; again has no effect. */
  happen(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const tell of waiting) tell();
  }

  /** Calls `told` once it has begun, at once where it has. */
  tell(told: () => void): void {
    if (this.#waiting === undefined) told();
    else this.#waiting.push(told);
  }
}

/** One running fetch that others may share, from before it is asked until it is kept. */
export interface Flight<Arrival> {
  readonly subject: FlightSubject;
  readonly begun: Beginning;
  /** Rejects when the fetch failed before an answer came. */
  readonly arrival: Promise<Arrival>;
  /** True: this caller began it. */
  readonly leader: boolean;
}

interface Running<Arrival> {
  readonly subject: FlightSubject;
  readonly begun: Beginning;
  readonly arrival: Promise<Arrival>;
}

/** One fetch per key: who asks while it runs shares it. After Go's singleflight, but nobody waits for a leader's end. */
export class Fills<Arrival> {
  readonly #running = new Map<string, Running<Arrival>>();
  #idle: PromiseWithResolvers<void> | undefined;
  readonly #metrics: Metrics;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** Fetches that run now. */
  get size(): number {
    return this.#running.size;
  }

  /** The flight of a key, if one runs. */
  peek(id: string): Flight<Arrival> | undefined {
    const running = this.#running.get(id);
    return running && { ...running, leader: false };
  }

  /**
   * Joins the flight of `id`, or begins one with `start`. It stays joinable until `start`'s arrival failed or the function
   * given to `start` is called. The other one is for saying that somebody works on it.
   */
  join(
    id: string,
    subject: FlightSubject,
    start: (end: () => void, begun: Beginning) => Promise<Arrival>,
  ): Flight<Arrival> {
    const running = this.#running.get(id);
    if (running) {
      this.#metrics.count('fills_joined_total');
      return { ...running, leader: false };
    }
    let mine: Running<Arrival> | undefined;
    let ended = false;
    const end = (): void => {
      ended = true;
      if (mine && this.#running.get(id) === mine) this.#running.delete(id);
      this.#tellIdle();
    };
    const begun = new Beginning();
    const arrival = start(end, begun);
    mine = { subject, begun, arrival };
    if (!ended) this.#running.set(id, mine);
    arrival.catch(end);
    return { ...mine, leader: true };
  }

  /** Resolves once no fetch runs that others could join: what came is kept, or was given up. */
  async idle(): Promise<void> {
    if (this.#running.size === 0) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }

  #tellIdle(): void {
    if (this.#running.size > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }

  /** From now on nobody joins what runs and fits: a purge must not be answered from a fetch that began before it. */
  forget(fits: (subject: FlightSubject) => boolean): void {
    for (const [id, running] of this.#running) if (fits(running.subject)) this.#running.delete(id);
    this.#tellIdle();
  }
}
