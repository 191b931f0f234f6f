import type { Clock } from '../clock.ts';
import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Fetched } from '../fetchers/fetcher.ts';
import type { Logger } from '../log.ts';
import type { Entry, EntryDraft } from '../manifest/entry.ts';
import { readTags } from '../manifest/entry-tags.ts';
import type { Manifest } from '../manifest/manifest.ts';
import type { Metrics } from '../metrics.ts';
import { Fill } from '../stashers/fill.ts';
import type { SpoolFolder } from '../stashers/spool-folder.ts';
import type { BodyCache } from '../storage/body-cache.ts';
import { type Arrival, type Ask, headOf, type Supply } from './arrival.ts';
import { adoptVariant, confirmEntry, outdate } from './confirm-entry.ts';
import type { PurgeTimes } from './purge-times.ts';
import type { RecentOutcomes } from './recent-outcomes.ts';
import type { Head, Resource } from './resource.ts';
import { changesMeaning } from './revalidation.ts';
import { UnderWay } from './under-way.ts';

export interface PullThroughOptions {
  readonly manifest: Manifest;
  readonly cache: BodyCache;
  readonly folder: SpoolFolder;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Bytes after which a body is passed on but no longer kept. */
  readonly maxBodyBytes: number;
}

/** One fetch on its way, as its beginner sees it. */
export interface Filling {
  /** Called once nobody may share it any more. */
  end(): void;
  /** Called, perhaps more than once, when some place works on it. */
  begun(): void;
  /** True: no client waits for it. Absent: one does. */
  readonly behind?: boolean | undefined;
}

/** What decides which node of a cluster fetches a resource. Absent: this one, because it was chosen already. */
export function ownedKey({ subject }: Resource, { peer }: Supply): string | undefined {
  return peer?.asOwner === true ? undefined : `${subject.namespace}\n${subject.key}`;
}

/** Fetches one resource, and keeps what comes if it may be kept; the other half of the pull-through. */
export class Filler {
  readonly #options: PullThroughOptions;
  readonly #purges: PurgeTimes;
  readonly #recent: RecentOutcomes;
  readonly #underWay = new UnderWay();

  constructor(options: PullThroughOptions, purges: PurgeTimes, recent: RecentOutcomes) {
    this.#options = options;
    this.#purges = purges;
    this.#recent = recent;
  }

  /**
   * Asks the supply's fetcher, on the entry's condition where one is given. Throws what the fetcher throws, unless a stored
   * answer may stand in.
   */
  async fetch(resource: Resource, supply: Supply, ask: Ask, filling: Filling): Promise<Arrival> {
    const name = nameOf(resource.subject);
    return await this.#underWay.during(name, this.#fetch(resource, supply, ask, filling));
  }

  /** Whether anything of a key is being asked for, or came and is not handed to the manifest yet. */
  isFetching(namespace: string, key: string): boolean {
    return this.#underWay.has(nameOf({ namespace, key }));
  }

  async #fetch(resource: Resource, supply: Supply, ask: Ask, filling: Filling): Promise<Arrival> {
    const { entry } = ask;
    const { end } = filling;
    const { clock, manifest, metrics } = this.#options;
    const baseJid = manifest.position(resource.subject.namespace);
    const requestedAt = clock.now();
    const standsIn = supply.network === 'fallback';
    let fetched: Fetched;
    try {
      // Without the client's signal: whoever asked first may leave, the others stay.
      fetched = await supply.fetcher.fetch(
        ask.own ? resource.ownRequest() : resource.request(entry, ask.others),
        {
          key: ownedKey(resource, supply),
          begun: filling.begun,
          notBefore: this.#purges.of(resource.subject),
          interim: filling.behind === true ? undefined : supply.interim,
        },
      );
    } catch (error) {
      end();
      if (entry && resource.mayServeStale(entry, clock.now(), standsIn, true))
        return { kind: 'stale', entry, status: undefined };
      throw entry?.policy.mustRevalidate === true ? unvalidated(error) : error;
    }
    filling.begun();
    metrics.count('fills_total', fetched.source);
    const head = headOf(fetched, requestedAt, clock);
    const { tags, dropped } = readTags(head.headers);
    resource.subject.tags = tags;
    if (dropped > 0) metrics.count('tags_dropped_total', '', dropped);
    if (fetched.miss) {
      end();
      fetched.body.destroy();
      throw new ProxyError('timeout', 'pull-through.fetch', 'no place that may be asked has it');
    }
    const said = { head, baseJid };
    const isAsked = entry !== undefined || ask.others !== undefined;
    if (isAsked && (head.status === 304 || (entry && resource.confirms?.(entry, head)))) {
      fetched.body.resume();
      const confirmed = entry
        ? confirmEntry(resource, entry, said, this.#options)
        : adoptVariant(resource, ask.others ?? [], said, this.#options);
      const whole = { ...ask, entry: undefined, others: undefined };
      if (!confirmed) return await this.#fetch(resource, supply, whole, filling);
      this.#recent.shared(resource, ask.vary);
      end();
      return { kind: 'confirmed', entry: confirmed, status: head.status };
    }
    if (entry && head.status >= 500 && resource.mayServeStale(entry, clock.now(), standsIn)) {
      end();
      fetched.body.destroy();
      return { kind: 'stale', entry, status: head.status };
    }
    if (entry) metrics.count('revalidations_total', 'changed');
    if (entry && resource.asksForHead === true) {
      if (head.status === 200) outdate(entry, clock.now(), this.#options);
      end();
      return { kind: 'unshared', fetched, head };
    }
    return this.#keep(resource, supply, ask, { fetched, head, baseJid }, filling);
  }

  #keep(
    resource: Resource,
    supply: Supply,
    ask: Ask,
    arrived: { readonly fetched: Fetched; readonly head: Head; readonly baseJid: number },
    { end, behind = false }: Filling,
  ): Arrival {
    const { fetched, head, baseJid } = arrived;
    const decision = resource.decide(head);
    // What was there once is not hidden behind a word that it is not: the first copy's digest still counts.
    const hides = ask.pinned !== undefined && head.status !== 200;
    if (
      decision.keep === 'no' ||
      hides ||
      !supply.stasher.bodies ||
      tooLarge(head, this.#options.maxBodyBytes)
    ) {
      // An answer to one client's conditions, and an error, say nothing of the next answer.
      if (ask.own !== true && !hides && head.status < 500)
        this.#recent.unshared(resource, ask.vary);
      end();
      return { kind: 'unshared', fetched, head };
    }
    this.#recent.shared(resource, ask.vary);
    const { draft } = decision;
    const fill = new Fill(fetched, {
      folder: this.#options.folder,
      metrics: this.#options.metrics,
      maxBytes: this.#options.maxBodyBytes,
      pinned: ask.pinned,
      behind,
      inspector: resource.inspector?.(draft),
      confirm: resource.confirmation?.(draft),
      onProblem: (problem) => this.#putAside(draft, problem),
      onMismatch: (kind, found, expected) => {
        fetched.mistrusted?.();
        this.#mismatch(kind, draft, found, expected);
      },
    });
    const kept = !supply.stasher.refusing;
    const stash = async (): Promise<void> => {
      // Whether it is kept may be known long after it came, as where it is inspected: so long it is not one that nobody wants.
      const expected = fill.sealedDigest.then((digest) =>
        digest === undefined ? undefined : this.#options.manifest.expect(digest),
      );
      try {
        if (decision.keep === 'memory' && (await this.#hold(fill, draft, baseJid))) return;
        if (ask.entry && (await this.#unchanged(fill, draft, ask.entry, supply))) return;
        await supply.stasher.stash({ draft, body: fill, baseJid, findings: fill.findings });
      } catch (error) {
        this.#options.log.debug({ err: messageOf(error), key: draft.key }, 'a body was not kept');
      } finally {
        // Until its end the body can be shared, whether it is kept or not.
        (await expected)?.();
        end();
        fill.release();
      }
    };
    void this.#underWay.during(nameOf(resource.subject), stash());
    return { kind: 'filling', fill, draft, head, kept };
  }

  // True: the same bytes and fields came again, so that only their freshness is news, and that is this node's alone.
  async #unchanged(
    fill: Fill,
    draft: EntryDraft,
    entry: Entry,
    { stasher }: Supply,
  ): Promise<boolean> {
    const sameKind = draft.status === entry.status && draft.variant === entry.variant;
    if (
      fill.expectedSize !== entry.size ||
      !sameKind ||
      changesMeaning(entry.headers, draft.headers)
    )
      return false;
    const { digest } = await fill.sealed;
    if (digest !== entry.digest) return false;
    // An entry's body may be gone, and then these bytes are what heals it.
    const isThere = await stasher.bodies?.stat(digest).then(Boolean, () => true);
    if (isThere !== true) return false;
    const { policy, freshUntil, staleAt } = draft;
    this.#options.manifest.refresh(entry, { policy, freshUntil, staleAt });
    return true;
  }

  // False: too large for memory, to be stored like any other.
  async #hold(fill: Fill, draft: EntryDraft, baseJid: number): Promise<boolean> {
    const sealed = await fill.sealed;
    const { bytes } = fill;
    if (!bytes) return false;
    this.#options.cache.set(sealed.digest, bytes);
    this.#options.manifest.hold({ ...draft, digest: sealed.digest, size: sealed.size }, baseJid);
    return true;
  }

  #putAside({ key, source }: EntryDraft, problem: string): void {
    this.#options.metrics.count('put_aside_total');
    this.#options.log.warn(
      { key, source, problem },
      'a body was served but its clients would refuse it, so it is not kept',
    );
  }

  #mismatch(kind: 'pinned' | 'promised', draft: EntryDraft, found: string, expected: string): void {
    this.#options.metrics.count(
      kind === 'pinned' ? 'pinned_mismatch_total' : 'peer_mismatch_total',
    );
    this.#options.log.error(
      { key: draft.key, source: draft.source, found, expected },
      kind === 'pinned'
        ? 'the upstream changed what must never change'
        : 'a body differs from the digest sent with it',
    );
  }
}

function nameOf({ namespace, key }: { readonly namespace: string; readonly key: string }): string {
  return `${namespace}\n${key}`;
}

/** RFC 9111 §5.2.2.2: what must be validated and cannot be is answered 504. */
function unvalidated(error: unknown): unknown {
  if (kindOf(error) !== 'upstream') return error;
  const message = `what is kept must be asked about, and ${messageOf(error)}`;
  return new ProxyError('timeout', 'filler.fetch', message, { cause: error });
}

function tooLarge(head: Head, maxBytes: number): boolean {
  return Number(head.headers.get('content-length') ?? 0) > maxBytes;
}
