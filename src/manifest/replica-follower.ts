import { setTimeout as delay } from 'node:timers/promises';
import { ProxyError } from '../errors.ts';
import { PrimaryClient } from './primary-client.ts';
import { NamedNodes } from './primary-others.ts';
import type { ChangesAnswer, NamespaceInfo, Term } from './primary-protocol.ts';
import { isNewer, MAX_WAIT_MS } from './primary-protocol.ts';
import type { ReplicaRows } from './replica-rows.ts';
import type { PrimaryLink } from './replica-shipper.ts';
import { takeSnapshot } from './replica-snapshot.ts';
import type { AppliedPurge, ClusterSettings } from './writer-protocol.ts';
import type { WriterTrouble } from './writer-trouble.ts';

/** What following needs of the writer around it. */
export interface ReplicaFollowerOptions {
  readonly settings: ClusterSettings;
  readonly rows: ReplicaRows;
  readonly trouble: WriterTrouble;
  /** Who the primary is as far as is known. */
  readonly known: () => Term;
  /** Scheme and port of the own peer listener, as soon as it is there. */
  readonly listens: () => string | undefined;
  /** Where that is; '' before. */
  readonly ownUrl: () => string;
  /** This node was found at the primary's address. */
  readonly isPrimary: () => void;
  /** The primary was found. */
  readonly found: (known: Term) => Promise<void>;
  /** Changes go there from now on; absent: nowhere. */
  readonly linked: (link: PrimaryLink | undefined) => void;
  /** Rows came in; resolves when the request side knows. */
  readonly applied: (reset: boolean, purges: readonly AppliedPurge[]) => Promise<void>;
  /** Whether rows may be used: no purge of the primary is missed here that was done when this was asked for. */
  readonly trust: (trusted: boolean) => void;
  readonly count: (name: 'snapshots_total' | 'journal_rows_total', by: number) => void;
}

/** How often the primary is looked for where rows come in by other means. */
const LOOK_AGAIN_MS = 5000;
/** Nodes asked who they are in one search, at most. */
const MAX_CANDIDATES = 20;

/** Finds the primary and follows its journal, until it is stopped. */
export class ReplicaFollower {
  readonly #options: ReplicaFollowerOptions;
  readonly #nodes: NamedNodes;
  readonly #stop = new AbortController();
  readonly #clients = new Map<string, PrimaryClient>();
  #retarget = new AbortController();
  #hinted: () => void = () => {};
  readonly #running: Promise<void>;

  constructor(options: ReplicaFollowerOptions) {
    this.#options = options;
    this.#nodes = new NamedNodes(options.settings);
    this.#running = this.#run();
  }

  /** Something new may be there, or the primary may be another: what is waited for now is given up. */
  retarget(): void {
    this.#retarget.abort();
    this.#hinted();
  }

  /** There is something new: a pause before the next try ends. */
  hint(): void {
    this.#hinted();
  }

  /** Ends it; what is under way is given up. Its last transaction is whole or was none. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.retarget();
    await this.#running;
    for (const client of this.#clients.values()) await client[Symbol.asyncDispose]();
  }

  async #run(): Promise<void> {
    const { trouble, linked } = this.#options;
    while (!this.#stop.signal.aborted) {
      this.#retarget = new AbortController();
      const signal = AbortSignal.any([this.#stop.signal, this.#retarget.signal]);
      try {
        const link = await this.#find(signal);
        if (link === 'self') return this.#options.isPrimary();
        await this.#options.found(link.known);
        linked(link);
        if (this.#options.settings.follows) await this.#follow(link, signal);
        else {
          trouble.solved();
          await this.#pause(LOOK_AGAIN_MS);
        }
      } catch (error) {
        linked(undefined);
        if (signal.aborted) continue;
        trouble.failed(error);
        await this.#pause(trouble.pauseMs);
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    const hint = new AbortController();
    this.#hinted = () => hint.abort();
    const signal = AbortSignal.any([this.#stop.signal, hint.signal]);
    await delay(ms, undefined, { signal }).catch(() => {});
    this.#hinted = () => {};
  }

  /** The first node that says it is the primary, of a term that is not older than what is known. */
  async #find(signal: AbortSignal): Promise<PrimaryLink | 'self'> {
    const { settings, known, listens } = this.#options;
    const candidates = [...(await this.#nodes.urls()), known().url].filter(Boolean);
    let failure: Error | undefined;
    for (let index = 0; index < candidates.length && index < MAX_CANDIDATES; index++) {
      const url = candidates[index] as string;
      if (candidates.indexOf(url) < index) continue;
      try {
        // Its own token need not be one of those that it takes.
        if (isSame(url, this.#options.ownUrl())) {
          if (this.#maySelf(url)) return 'self';
          continue;
        }
        const client = this.#client(url);
        const request = { known: known(), node: settings.node, listens: listens() };
        const state = await client.state(request, { signal });
        if (state.name === settings.node) {
          if (this.#maySelf(url)) return 'self';
          continue;
        }
        if (state.role === 'primary' && !isNewer(known(), state.known))
          return { client, known: { term: state.known.term, node: state.name, url: client.url } };
        if (state.known.url !== '') candidates.push(state.known.url);
      } catch (error) {
        if (signal.aborted) throw error;
        failure ??= error as Error;
      }
    }
    throw (
      failure ??
      new ProxyError('unavailable', 'replica-follower.find', 'no node says that it is the primary')
    );
  }

  /** Whether this node may be the primary because the configuration says so. */
  #maySelf(url: string): boolean {
    const { settings, known } = this.#options;
    const { node } = known();
    if (settings.mayLead === false) return false;
    return url === settings.primary && (node === '' || node === settings.node);
  }

  #client(url: string): PrimaryClient {
    const client = this.#clients.get(url) ?? new PrimaryClient(url, this.#options.settings);
    this.#clients.set(url, client);
    return client;
  }

  async #follow(link: PrimaryLink, signal: AbortSignal): Promise<void> {
    const { settings, rows, known, listens, trouble, trust } = this.#options;
    const { client } = link;
    await rows.read();
    let waitMs = 0;
    for (;;) {
      const answer = await client.changes(
        {
          known: known(),
          node: processName(settings.node),
          listens: listens(),
          cursors: rows.cursors(),
          waitMs,
        },
        { signal },
      );
      if (answer.known.node !== link.known.node || answer.known.term !== link.known.term)
        throw new ProxyError('conflict', 'replica-follower.follow', 'the primary is another now');
      await this.#take(answer, link, signal);
      trouble.solved();
      const isLevel = this.#isLevel(answer.namespaces);
      waitMs = isLevel ? MAX_WAIT_MS : 0;
      if (isLevel) trust(true);
    }
  }

  #isLevel(infos: readonly NamespaceInfo[]): boolean {
    const cursors = this.#options.rows.cursors();
    return infos.every(({ name, epoch, nextJid }) => cursors[name] === `${epoch}:${nextJid - 1}`);
  }

  async #take(answer: ChangesAnswer, link: PrimaryLink, signal: AbortSignal): Promise<void> {
    const { rows, applied, count, settings, trust } = this.#options;
    if (await rows.adopt(answer.namespaces)) await applied(true, []);
    const changed = answer.pages.reduce((sum, { journal }) => sum + journal.length, 0);
    if (changed > 0) {
      await rows.apply(answer);
      count('journal_rows_total', changed);
      await applied(false, []);
    }
    const wanted = answer.namespaces.filter(({ name }) => {
      const local = rows.local.get(name);
      return local === undefined || local.epoch === '' || answer.gone.includes(name);
    });
    const others = answer.namespaces.filter((info) => !wanted.includes(info));
    for (const info of wanted) {
      if (rows.local.get(info.name) === undefined && info.firstJid === 1) {
        await rows.begin(info);
        continue;
      }
      count('snapshots_total', 1);
      await takeSnapshot(
        {
          ...{ client: link.client, known: link.known, rows, signal },
          node: processName(settings.node),
          purged: async (purges) => await applied(true, purges),
          safe: (complete) => {
            if (!complete) trust(false);
            // With every purge in effect the rows may be used, though some are not the newest.
            else if (wanted.length === 1 && this.#isLevel(others)) trust(true);
          },
        },
        info,
      );
      await applied(true, []);
    }
  }
}

function isSame(url: string, own: string): boolean {
  return own !== '' && new URL(url).origin === new URL(own).origin;
}

/** Each process of a node has a memory of its own, in which a purge must be in effect too. */
function processName(node: string): string {
  return `${node}/${process.pid}`;
}
