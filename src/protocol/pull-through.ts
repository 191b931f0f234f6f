import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Entry } from '../manifest/entry.ts';
import { Fills, type Flight } from '../stashers/fills.ts';
import type { Sealed } from '../storage/backend.ts';
import { isDigest } from '../storage/digest.ts';
import { abortable } from './abortable.ts';
import { forwardReason, replayOf, unsharedResponse } from './answers.ts';
import { type Arrival, type Ask, drop, headOf, type Supply } from './arrival.ts';
import { fillContent, memoryContent, storedContent } from './contents.ts';
import { Filler, type PullThroughOptions } from './filler.ts';
import type { CacheReport, Content, ForwardReason, ProtocolResponse } from './protocol.ts';
import type { Resource } from './resource.ts';

/** Rounds in which a waiter may find that what came is not for it, before it fetches for itself. */
const MAX_ROUNDS = 3;

/**
 * Look up, join, revalidate, fill: the one algorithm behind every protocol. It has the answer, or fetches it once for
 * all who ask, streams it while it is kept, and never waits for the store or for the manifest's lock.
 */
export class PullThrough {
  readonly #options: PullThroughOptions;
  readonly #fills: Fills<Arrival>;
  readonly #filler: Filler;

  constructor(options: PullThroughOptions) {
    this.#options = options;
    this.#fills = new Fills(options.metrics);
    this.#filler = new Filler(options);
  }

  /** Fetches that others could join now. */
  get running(): number {
    return this.#fills.size;
  }

  /** From now on nobody joins a fetch that began before and that fits; its clients still get their body. */
  forget(fits: (subject: Resource['subject']) => boolean): void {
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
      const hit = await this.#hit(resource, entry, supply, verdict === 'fresh' ? 'hit' : 'stale');
      if (hit) {
        if (verdict !== 'fresh' && !supply.onlyIfCached)
          this.#refreshBehind(resource, entry, supply);
        return hit;
      }
    }
    if (supply.onlyIfCached)
      throw new ProxyError(
        'timeout',
        'pull-through.answer',
        'not kept here, and only what is kept was asked for',
      );
    const reason = forwardReason(entries, entry);
    if (!entry && resource.onMiss === 'forward')
      return await this.forward(resource, supply, reason, 'miss');
    const ask: Ask = {
      // An entry that may be used but was not: its body is gone, and only a whole answer heals that.
      entry: verdict === 'revalidate' ? entry : undefined,
      pinned: resource.immutable && entry?.status === 200 ? entry.digest : undefined,
      vary: entries[0]?.vary ?? [],
      reason,
    };
    if (!entry && resource.onMiss === 'alone')
      return await this.#fetchAlone(resource, supply, { ...ask, own: true });
    return await this.#fetchShared(resource, supply, ask);
  }

  /** Passes a request on by itself: nothing is looked up, shared or kept. */
  async forward(
    resource: Pick<Resource, 'ownRequest' | 'passed'>,
    supply: Supply,
    reason: ForwardReason,
    phase: 'bypass' | 'miss' = 'bypass',
  ): Promise<ProtocolResponse> {
    const requestedAt = this.#options.clock.now();
    const { signal } = supply;
    const fetched = await supply.fetcher.fetch(resource.ownRequest(), { signal });
    const head = headOf(fetched, requestedAt, this.#options.clock.now());
    const report: CacheReport = {
      phase,
      forward: reason,
      forwardStatus: head.status,
      stored: false,
    };
    return unsharedResponse(resource, fetched, head, report);
  }

  async #hit(
    resource: Resource,
    entry: Entry,
    supply: Supply,
    phase: 'hit' | 'stale' | 'revalidated',
    extra: Partial<CacheReport> = {},
  ): Promise<ProtocolResponse | undefined> {
    const content = await this.#open(entry, supply);
    if (!content) return undefined;
    const now = this.#options.clock.now();
    if (phase === 'stale')
      this.#options.metrics.count('stale_served_total', extra.forward ? 'error' : 'refreshing');
    return {
      status: entry.status,
      headers: resource.served(entry, now),
      content,
      report: { phase, ttl: Math.floor((entry.freshUntil - now) / 1000), ...extra },
      selectable: entry.status === 200,
      replay: phase === 'hit' ? replayOf(entry) : undefined,
    };
  }

  async #open(entry: Entry, supply: Supply): Promise<Content | undefined> {
    const { digest } = entry;
    if (!isDigest(digest)) return undefined;
    const bytes = this.#options.cache.get(digest);
    if (bytes) return memoryContent(bytes, digest);
    const { bodies } = supply.stasher;
    if (!bodies) return undefined;
    try {
      const opened = await bodies.open(digest, { signal: supply.signal });
      if (!opened || opened.size !== entry.size) {
        opened?.body.destroy();
        this.#options.metrics.count('missing_blobs_total');
        return undefined;
      }
      if (opened.bytes) this.#options.cache.set(digest, opened.bytes);
      return storedContent(opened, bodies);
    } catch (error) {
      if (kindOf(error) === 'aborted') throw error;
      // A store that cannot be asked is a miss, not an error of the client's.
      this.#options.log.warn(
        { err: messageOf(error), key: entry.key },
        'a stored body could not be read',
      );
      this.#options.metrics.count('missing_blobs_total');
      return undefined;
    }
  }

  async #fetchShared(resource: Resource, supply: Supply, ask: Ask): Promise<ProtocolResponse> {
    let { vary } = ask;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const flight = this.#join(resource, supply, { ...ask, vary }, false);
      const arrival = await this.#await(flight, supply.signal);
      const response = await this.#arrived(resource, supply, flight, arrival, ask.reason);
      if (response) return response;
      if (arrival.kind !== 'filling' || !arrival.fill.joinable) break;
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
        const forwardStatus = arrival.status;
        return await this.#hit(resource, arrival.entry, supply, phase, {
          forward: 'stale',
          forwardStatus,
          collapsed,
        });
      }
      case 'filling': {
        if (!arrival.fill.joinable) return undefined;
        if (!flight.leader && resource.variant(arrival.draft.vary) !== arrival.draft.variant)
          return undefined;
        // Whole already, only not on record yet: that it was fetched a moment ago makes it no miss.
        if (!flight.leader && arrival.kept && arrival.fill.whole)
          return this.#early(resource, arrival);
        return {
          status: arrival.head.status,
          headers: resource.passed(arrival.head),
          content: fillContent(arrival.fill),
          report: {
            phase: arrival.kept ? 'miss' : 'bypass',
            forward: reason,
            forwardStatus: arrival.head.status,
            stored: arrival.kept,
            collapsed,
          },
          selectable: arrival.head.status === 200,
        };
      }
    }
  }

  #early(resource: Resource, arrival: Arrival & { kind: 'filling' }): ProtocolResponse | undefined {
    const { fill, draft } = arrival;
    const now = this.#options.clock.now();
    const { digest, size } = fill.whole as Sealed;
    const entry: Entry = { ...draft, digest, size, firstSeenAt: now, storedAt: now, jid: 0 };
    if (resource.judge(entry, now) !== 'fresh') return undefined;
    return {
      status: draft.status,
      headers: resource.served(entry, now),
      content: fill.bytes ? memoryContent(fill.bytes, digest) : fillContent(fill),
      report: { phase: 'hit', ttl: Math.floor((draft.freshUntil - now) / 1000) },
      selectable: draft.status === 200,
    };
  }

  #join(resource: Resource, supply: Supply, ask: Ask, behind: boolean): Flight<Arrival> {
    const { subject } = resource;
    const id = `${subject.namespace}\n${subject.rule}\n${subject.key}\n${resource.variant(ask.vary)}`;
    return this.#fills.join(
      id,
      subject,
      async (end) => await this.#filler.fetch(resource, supply, ask, end, behind),
    );
  }

  #refreshBehind(resource: Resource, entry: Entry, supply: Supply): void {
    const ask: Ask = { entry, pinned: undefined, vary: entry.vary, reason: 'stale' };
    const flight = this.#join(resource, supply, ask, true);
    if (!flight.leader) return;
    flight.arrival.then(drop, (error: unknown) => {
      this.#options.log.debug({ err: messageOf(error), key: entry.key }, 'a refresh failed');
    });
  }

  async #fetchAlone(resource: Resource, supply: Supply, ask: Ask): Promise<ProtocolResponse> {
    const arrival = await this.#filler.fetch(resource, supply, ask, () => {}, false);
    const flight: Flight<Arrival> = {
      subject: resource.subject,
      arrival: Promise.resolve(arrival),
      leader: true,
    };
    const response = await this.#arrived(resource, supply, flight, arrival, ask.reason);
    if (response) return response;
    if (ask.entry === undefined)
      throw new ProxyError('upstream', 'pull-through.fill', 'the body was cut short');
    // The entry was confirmed or is stale, but its body is gone: only a whole answer helps.
    return await this.#fetchAlone(resource, supply, { ...ask, entry: undefined });
  }
}
