import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, ProxyError } from '../errors.ts';
import type { Entry } from '../manifest/entry.ts';
import { Beginning, Fills, type Flight } from '../stashers/fills.ts';
import { abortable } from './abortable.ts';
import { fillingResponse, forwardReason, keptResponse, unsharedResponse } from './answers.ts';
import { type Arrival, type Ask, drop, type Supply } from './arrival.ts';
import { taggedVariants } from './confirm-entry.ts';
import { earlyEntry, earlyHit, hitBeside } from './early-hit.ts';
import { Filler, ownedKey, type PullThroughOptions } from './filler.ts';
import { flightId } from './flight-id.ts';
import { forward } from './forward.ts';
import { fetchBan, isCutOff, mayFetchBehind, notYet, redirectTo } from './instead-of-fetching.ts';
import { openEntry } from './open-entry.ts';
import type { CacheReport, ForwardReason, ProtocolResponse } from './protocol.ts';
import { PurgeTimes } from './purge-times.ts';
import { RecentOutcomes } from './recent-outcomes.ts';
import { isFor, type Resource } from './resource.ts';

/** Rounds in which a waiter may find that what came is not for it, before it fetches for itself. */
const MAX_ROUNDS = 3;

/**
 * Look up, join, revalidate, fill: the one algorithm behind every protocol. It has the answer, or fetches it once for
 * all who ask, streams it while it is kept, and never waits for the store or for the manifest's lock.
 */
export class PullThrough {
  readonly #options: PullThroughOptions;
  readonly #fills: Fills<Arrival>;
  readonly #purges = new PurgeTimes();
  readonly #recent: RecentOutcomes;
  readonly #filler: Filler;

  constructor(options: PullThroughOptions) {
    this.#options = options;
    this.#fills = new Fills(options.metrics);
    this.#recent = new RecentOutcomes(options.clock, this.#purges);
    this.#filler = new Filler(options, this.#purges, this.#recent);
  }

  /** Fetches that others could join now. */
  get running(): number {
    return this.#fills.size;
  }

  /** Whether anything of a key is being fetched here that may yet be kept. */
  isFetching(namespace: string, key: string): boolean {
    return this.#filler.isFetching(namespace, key);
  }

  /** Waits until what has come is kept, `ms` milliseconds at most. */
  async settle(ms: number): Promise<void> {
    await Promise.race([this.#fills.idle(), sleep(ms, undefined, { ref: false })]);
  }

  /** From now on nobody joins a fetch that began before and that fits; its clients still get their body. */
  forget(fits: (subject: Resource['subject']) => boolean): void {
    this.#purges.note(fits, this.#options.clock.monotonic());
    this.#fills.forget(fits);
  }

  /** The answer to a request for something that may be kept. Throws `timeout` where only stored answers were wanted and there is none. */
  async answer(resource: Resource, supply: Supply): Promise<ProtocolResponse> {
    const { namespace, key } = resource.subject;
    const { manifest } = this.#options;
    const entries = manifest.peek(namespace, key) ?? (await manifest.lookup(namespace, key));
    const entry = resource.select(entries);
    const now = this.#options.clock.now();
    const verdict = entry ? resource.judge(entry, now) : 'revalidate';
    if (entry && verdict !== 'revalidate') {
      const phase = verdict === 'stale-while-revalidate' ? 'stale' : 'hit';
      const hit = await this.#hit(resource, entry, supply, phase);
      if (hit) {
        if (verdict !== 'fresh' && mayFetchBehind(supply))
          this.#fetchBehind(resource, supply, { entry, vary: entry.vary, reason: 'stale' });
        return hit;
      }
    }
    if (entry && this.#mayStandIn(resource, entry, supply, now)) {
      const stale = await this.#hit(resource, entry, supply, 'stale');
      if (stale) return stale;
    }
    const partial = entry ? undefined : resource.partial?.(entries, supply, this.#options);
    const kept = await partial?.answer();
    if (kept) return kept;
    const ask: Ask = {
      // An entry that may be used but was not: its body is gone, and only a whole answer heals that.
      entry: verdict === 'revalidate' ? entry : undefined,
      pinned: resource.immutable && entry?.status === 200 ? entry.digest : undefined,
      others: entry || partial ? undefined : taggedVariants(resource, entries),
      vary: entries[0]?.vary ?? [],
      reason: partial?.reason ?? forwardReason(entries, entry, verdict, now),
    };
    const shared = await this.#alreadyFetched(resource, supply, ask);
    if (shared) return shared;
    const flight = entry ? undefined : this.#fills.peek(flightId(resource, ask.vary));
    const beside = await hitBeside(resource, flight, now);
    if (beside) return beside;
    const instead = await this.#insteadOfFetching(resource, supply, ask);
    if (instead) return instead;
    const come = flight && (await partial?.comeBy(flight.arrival));
    const part = come && (await this.#arrived(resource, supply, flight, come, ask.reason));
    if (part) return part;
    return await this.#fetch(partial?.resource ?? resource, partial?.supply ?? supply, ask, !entry);
  }

  async #fetch(
    resource: Resource,
    supply: Supply,
    ask: Ask,
    isMiss: boolean,
  ): Promise<ProtocolResponse> {
    if (isMiss && resource.onMiss === 'forward')
      return await this.forward(resource, supply, ask.reason, ownedKey(resource, supply));
    if (isMiss && resource.onMiss === 'alone')
      return await this.#fetchAlone(resource, supply, { ...ask, own: true });
    if (this.#recent.isUnshared(resource, ask.vary))
      return await this.#fetchAlone(resource, supply, ask);
    return await this.#fetchShared(resource, supply, ask);
  }

  // A stale entry without asking: the node is cut off by its own configuration, or the upstream failed a moment ago.
  #mayStandIn(resource: Resource, entry: Entry, supply: Supply, now: number): boolean {
    if (supply.onlyIfCached) return false;
    const cutOff = isCutOff(supply);
    if (!cutOff && !this.#recent.hasFailed(resource.subject)) return false;
    return resource.mayServeStale(entry, now, cutOff || supply.network === 'fallback', true);
  }

  // A peer that only looks has what is on its way too, once it is sure that this is not on its way from that peer itself.
  async #alreadyFetched(
    resource: Resource,
    supply: Supply,
    ask: Ask,
  ): Promise<ProtocolResponse | undefined> {
    if (!supply.onlyIfCached || supply.peer === undefined) return undefined;
    const flight = this.#fills.peek(flightId(resource, ask.vary));
    if (flight?.begun.happened !== true) return undefined;
    supply.peer.begun();
    const arrival = await this.#await(flight, supply.signal);
    return await this.#arrived(resource, supply, flight, arrival, ask.reason);
  }

  // Absent: the client waits for a fetch.
  async #insteadOfFetching(
    resource: Resource,
    supply: Supply,
    ask: Ask,
  ): Promise<ProtocolResponse | undefined> {
    const ban = fetchBan(supply);
    if (ban) throw ban;
    const { mode } = supply;
    if (mode === 'redirect') return await redirectTo(resource.ownRequest(), supply);
    if (ask.entry || (mode !== 'async' && mode !== 'async_redirect')) return undefined;
    this.#fetchBehind(resource, supply, ask);
    if (mode === 'async') throw notYet();
    return await redirectTo(resource.ownRequest(), supply);
  }

  /** As `forward`, with this node's clock. */
  async forward(
    resource: Pick<Resource, 'subject' | 'ownRequest' | 'passed'>,
    supply: Supply,
    reason: ForwardReason,
    key?: string | undefined,
  ): Promise<ProtocolResponse> {
    const { clock } = this.#options;
    const notBefore = key === undefined ? undefined : this.#purges.of(resource.subject);
    return await forward(resource, supply, { reason, key, clock, notBefore });
  }

  async #hit(
    resource: Resource,
    entry: Entry,
    supply: Supply,
    phase: 'hit' | 'stale' | 'revalidated',
    extra: Partial<CacheReport> = {},
  ): Promise<ProtocolResponse | undefined> {
    const content = await openEntry(entry, supply, this.#options);
    if (!content) return undefined;
    const now = this.#options.clock.now();
    if (phase === 'stale')
      this.#options.metrics.count('stale_served_total', extra.forward ? 'error' : 'refreshing');
    return keptResponse(resource, entry, content, now, { phase, ...extra });
  }

  async #fetchShared(resource: Resource, supply: Supply, ask: Ask): Promise<ProtocolResponse> {
    let { vary } = ask;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const flight = this.#join(resource, supply, { ...ask, vary }, resource.goesOn === true);
      flight.begun.tell(() => supply.peer?.begun());
      const arrival = await this.#await(flight, supply.signal);
      const response = await this.#arrived(resource, supply, flight, arrival, ask.reason);
      if (response) return response;
      if (arrival.kind !== 'filling' || !arrival.fill.joinable) break;
      const entry = earlyEntry(resource, arrival, this.#options);
      if (entry)
        return await this.#fetchAlone(resource, supply, { ...ask, entry, reason: 'stale' });
      vary = arrival.draft.vary;
    }
    return await this.#fetchAlone(resource, supply, ask);
  }

  async #await(flight: Flight<Arrival>, signal: AbortSignal | undefined): Promise<Arrival> {
    try {
      return await abortable(flight.arrival, signal);
    } catch (error) {
      if (flight.leader) flight.arrival.then(drop, () => {});
      throw error;
    }
  }

  // Absent: what came is not for this request, which then goes for itself.
  async #arrived(
    resource: Resource,
    supply: Supply,
    flight: Flight<Arrival>,
    arrival: Arrival,
    reason: ForwardReason,
  ): Promise<ProtocolResponse | undefined> {
    const collapsed = flight.leader ? undefined : true;
    switch (arrival.kind) {
      case 'unshared':
        return flight.leader
          ? unsharedResponse(resource, arrival.fetched, arrival.head, {
              phase: 'miss',
              forward: reason,
              forwardStatus: arrival.head.status,
              stored: false,
            })
          : undefined;
      case 'confirmed':
      case 'stale': {
        if (!flight.leader && resource.select([arrival.entry]) === undefined) return undefined;
        const phase = arrival.kind === 'confirmed' ? 'revalidated' : 'stale';
        if (phase === 'stale') this.#recent.failed(resource.subject);
        return await this.#hit(resource, arrival.entry, supply, phase, {
          forward: reason,
          forwardStatus: arrival.status,
          collapsed,
        });
      }
      case 'filling': {
        if (!arrival.fill.joinable) return undefined;
        if (!flight.leader && !isFor(resource, arrival.draft)) return undefined;
        // Whole already, only not on record yet: that it was fetched a moment ago makes it no miss.
        if (!flight.leader && arrival.kept && arrival.fill.whole)
          return earlyHit(resource, arrival, this.#options.clock.now());
        return fillingResponse(resource, arrival, reason, collapsed);
      }
    }
  }

  #join(resource: Resource, supply: Supply, ask: Ask, behind: boolean): Flight<Arrival> {
    return this.#fills.join(
      flightId(resource, ask.vary),
      resource.subject,
      async (end, beginning) => {
        const begun = (): void => beginning.happen();
        return await this.#filler.fetch(resource, supply, ask, { end, begun, behind });
      },
    );
  }

  #fetchBehind(resource: Resource, supply: Supply, ask: Ask): void {
    const flight = this.#join(resource, supply, ask, true);
    if (!flight.leader) return;
    flight.arrival.then(drop, (error: unknown) => {
      this.#options.log.debug(
        { err: messageOf(error), key: resource.subject.key },
        'a fetch behind an answer failed',
      );
    });
  }

  async #fetchAlone(resource: Resource, supply: Supply, ask: Ask): Promise<ProtocolResponse> {
    const begun = new Beginning();
    begun.tell(() => supply.peer?.begun());
    const arrival = await this.#filler.fetch(resource, supply, ask, {
      end: () => {},
      begun: () => begun.happen(),
    });
    const flight: Flight<Arrival> = {
      subject: resource.subject,
      begun,
      arrival: Promise.resolve(arrival),
      leader: true,
    };
    const response = await this.#arrived(resource, supply, flight, arrival, ask.reason);
    if (response) return response;
    if (ask.entry === undefined && ask.others === undefined)
      throw new ProxyError('upstream', 'pull-through.fill', 'the body was cut short');
    // The entry was confirmed or is stale, but its body is gone: only a whole answer helps.
    const whole = { ...ask, entry: undefined, others: undefined };
    return await this.#fetchAlone(resource, supply, whole);
  }
}
