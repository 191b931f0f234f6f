import type { CallOptions, OpenOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { type ErrorKind, kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import {
  type Backend,
  type Composed,
  type DeleteOptions,
  type Evicting,
  type Health,
  type Incoming,
  isEvicting,
  isShared,
  type Opened,
  type Shared,
  type Stat,
} from './backend.ts';
import type { Digest } from './digest.ts';
import { type FarLimits, FarStore } from './far-store.ts';
import { ForwardedBody } from './forwarded-body.ts';
import { mergeStats } from './merge-stats.ts';
import type { NodeDatabase } from './node-database.ts';
import { TieredCopies } from './tiered-copies.ts';
import { Refills, type StartRelay } from './tiered-refills.ts';
import { checkSignal } from './verified-body.ts';

/** How a tiered backend is made. */
export interface TieredBackendOptions {
  readonly name: string;
  /** Read first, such as a disk of this machine. Its owner closes it, after this backend. */
  readonly near: Backend;
  /** Has everything, such as a bucket that nodes share. Its owner closes it, after this backend. */
  readonly far: Backend;
  /** Remembers, below this backend's name, what the far store still has to get. */
  readonly database: NodeDatabase;
  readonly startRelay: StartRelay;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Absent: 5 s to open, 10 s and a second for each MiB to put. */
  readonly limits?: FarLimits | undefined;
  /** Absent: 100,000 bodies wait for the far store at most. */
  readonly maxWaiting?: number | undefined;
  /** Absent: what the far store did not take is tried again after 1 s. */
  readonly retryMs?: number | undefined;
}

type Tier = 'near' | 'far';

/** What says something about the caller or the body, and nothing about the store. */
const NOT_THE_STORE: ReadonlySet<ErrorKind> = new Set(['aborted', 'range', 'too-large']);

/**
 * A near store before a far one. It keeps nothing itself.
 *
 * - `put` hands the one growing body to both at once and resolves when both are done and at least one has it durably. What only
 *   the near one took is by then on a durable list and copied as soon as the far one takes bodies again; what only the far
 *   one took comes near when it is read. It throws only when neither has it.
 * - `open` reads near, else far, while the body is copied near: one read of the far store however many ask. A range of more
 *   than 8 MiB is read far by itself. Damage in the near store is healed from the far one, also in the middle of a body.
 * - A far store that is silent holds nobody for long: it is left after 5 s, a put 10 s and a second per MiB after the last byte.
 * - `stat` and `list` tell of both; `delete` removes from both; `health` names the one with a problem.
 */
export class TieredBackend implements Backend, Shared, Composed, Evicting {
  readonly name: string;
  readonly tiers: readonly Backend[];
  readonly #options: TieredBackendOptions;
  readonly #near: Backend;
  readonly #far: FarStore;
  readonly #copies: TieredCopies;
  readonly #refills: Refills;
  readonly #failing = new Set<Tier>();

  constructor(options: TieredBackendOptions) {
    const { name, near, far, database, clock, log, metrics, maxWaiting, retryMs } = options;
    this.name = name;
    this.tiers = [near, far];
    this.#options = options;
    this.#near = near;
    this.#far = new FarStore(far, clock, options.limits);
    this.#copies = new TieredCopies({
      ...{ name, near, far: this.#far, database, clock, log, metrics, maxWaiting, retryMs },
    });
    if (isEvicting(near)) near.spare((digest) => this.#copies.owes(digest));
    this.#refills = new Refills({
      ...{ near, far: this.#far, startRelay: options.startRelay },
      ended: (error) => this.#refilled(error),
    });
  }

  async stat(digest: Digest, options: CallOptions = {}): Promise<Stat | undefined> {
    checkSignal(options.signal, 'tiered-backend.stat');
    const found = await this.#orNothing(this.#near.stat(digest, options), options);
    return found ?? (await this.#far.stat(digest, options));
  }

  async open(digest: Digest, options: OpenOptions = {}): Promise<Opened | undefined> {
    checkSignal(options.signal, 'tiered-backend.open');
    const opened = await this.#orNothing(this.#near.open(digest, options), options);
    if (opened === undefined) return await this.#openFar(digest, options);
    if (opened.bytes !== undefined) return opened;
    const { range, signal } = options;
    const { start, end } = range ?? { start: 0, end: opened.size - 1 };
    const body = new ForwardedBody({
      from: opened.body,
      rest: async (given) =>
        (await this.#far.open(digest, { range: { start: start + given, end }, signal }))?.body,
    });
    return { digest, size: opened.size, modifiedAt: opened.modifiedAt, body };
  }

  async put(incoming: Incoming, options: CallOptions = {}): Promise<Stat> {
    checkSignal(options.signal, 'tiered-backend.put');
    return await this.#copies.during(incoming, async () => await this.#put(incoming, options));
  }

  list(after?: Digest, options?: CallOptions): AsyncIterable<Stat> {
    return mergeStats(this.#near.list(after, options), this.#far.store.list(after, options));
  }

  /** Of a tier that nodes share only what this node put there, of another all. */
  listOwn(options?: CallOptions): AsyncIterable<Stat> {
    const [near, far] = this.tiers.map((tier) =>
      isShared(tier) ? tier.listOwn(options) : tier.list(undefined, options),
    ) as [AsyncIterable<Stat>, AsyncIterable<Stat>];
    return mergeStats(near, far);
  }

  /** Removes from both; throws what the first that failed throws, once both were asked. */
  async delete(digest: Digest, { signal, unless }: DeleteOptions = {}): Promise<boolean> {
    checkSignal(signal, 'tiered-backend.delete');
    let stays = false;
    const asked = async (): Promise<boolean> => {
      stays ||= (await unless?.()) ?? false;
      return stays;
    };
    await this.#copies.forget(digest);
    const options = { signal, unless: asked };
    const [far] = await Promise.allSettled([this.#far.store.delete(digest, options)]);
    if (stays) return false;
    // What comes near after this comes from a far store that no longer has it.
    await this.#refills.stop(digest);
    const near = await this.#near.delete(digest, options);
    if (far.status === 'rejected') throw far.reason;
    return near || far.value;
  }

  spare(isNeeded: (digest: Digest) => boolean): void {
    for (const tier of this.tiers) if (isEvicting(tier)) tier.spare(isNeeded);
  }

  async health(options?: CallOptions): Promise<Health> {
    const [near, far] = await Promise.all(
      this.tiers.map(async (tier) => (await tier.health(options)).problem),
    );
    const problems = [
      ...say('near', this.#near.name, near),
      ...say('far', this.#far.store.name, far ?? this.#far.problem),
    ];
    const { waiting } = this.#copies;
    if (problems.length > 0 && waiting > 0) problems.push(`${waiting} bodies wait to be copied`);
    return problems.length === 0 ? {} : { problem: problems.join('; ') };
  }

  /** Ends what is copied; the tiers stay open. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#copies[Symbol.asyncDispose]();
    await this.#refills[Symbol.asyncDispose]();
  }

  async #put(incoming: Incoming, options: CallOptions): Promise<Stat> {
    const [near, far] = await Promise.allSettled([
      this.#near.put(incoming, options),
      this.#far.put(incoming, options),
    ]);
    if (near.status === 'rejected' && far.status === 'rejected')
      throw this.#failure(near.reason, far.reason);
    this.#note('near', near);
    this.#note('far', far);
    const sealed = await incoming.sealed;
    if (far.status === 'rejected') await this.#copies.later(sealed);
    else {
      await this.#copies.forget(sealed.digest).catch(() => undefined);
      this.#copies.hurry();
    }
    return (near.status === 'fulfilled' ? near : (far as PromiseFulfilledResult<Stat>)).value;
  }

  async #openFar(digest: Digest, options: OpenOptions): Promise<Opened | undefined> {
    try {
      return await this.#refills.open(digest, options);
    } catch (error) {
      if (!NOT_THE_STORE.has(kindOf(error)))
        this.#options.metrics.count('tier_failed_total', 'far');
      throw error;
    }
  }

  // A near store that cannot be asked is as good as one that has nothing.
  async #orNothing<T>(
    call: Promise<T | undefined>,
    { signal }: CallOptions,
  ): Promise<T | undefined> {
    try {
      return await call;
    } catch (error) {
      if (kindOf(error) === 'range' || signal?.aborted === true) throw error;
      this.#options.metrics.count('tier_failed_total', 'near');
      return undefined;
    }
  }

  #note(tier: Tier, result: PromiseSettledResult<unknown>): void {
    const { metrics, log } = this.#options;
    if (result.status === 'fulfilled') {
      if (this.#failing.delete(tier)) log.info({ tier }, 'the store takes bodies again');
      return;
    }
    metrics.count('tier_failed_total', tier);
    if (this.#failing.has(tier)) return;
    this.#failing.add(tier);
    log.warn({ tier, reason: messageOf(result.reason) }, 'one store does not take bodies');
  }

  #refilled(error?: unknown): void {
    const { metrics, log } = this.#options;
    metrics.count(error === undefined ? 'tier_copied_total' : 'tier_not_copied_total', 'near');
    if (error !== undefined) log.debug({ reason: messageOf(error) }, 'a body was not copied near');
  }

  // A body that was cut or is another than promised says so itself; else both stores are to blame.
  #failure(near: unknown, far: unknown): unknown {
    const blameless = near === far ? near : [near, far].find((error) => !isOutage(error));
    if (blameless !== undefined) return blameless;
    this.#note('near', { status: 'rejected', reason: near });
    this.#note('far', { status: 'rejected', reason: far });
    const message = `near: ${messageOf(near)}; far: ${messageOf(far)}`;
    return new ProxyError('unavailable', 'tiered-backend.put', message, { cause: far });
  }
}

function isOutage(error: unknown): boolean {
  return kindOf(error) === 'unavailable' || (error as Partial<ProxyError>).op === 'far-store.put';
}

function say(tier: Tier, name: string, problem: string | undefined): string[] {
  return problem === undefined ? [] : [`${tier} (${name}): ${problem}`];
}
