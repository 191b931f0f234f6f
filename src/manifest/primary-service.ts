import type { CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { SqliteDatabase } from '../sqlite/open-database.ts';
import type { JournalPage } from './manifest.ts';
import { journalPage, readable } from './manifest-pages.ts';
import {
  COLUMNS,
  changePage,
  infoOf,
  namespaceInfos,
  positionOf,
  purgesAfter,
  snapshotRows,
} from './primary-feed.ts';
import {
  type Follower,
  PrimaryFollowers,
  type PrimaryFollowersOptions,
} from './primary-followers.ts';
import { type JournalQuery, latestPage, newestChanges } from './primary-journal.ts';
import type {
  BatchAnswer,
  BatchRequest,
  ChangesAnswer,
  ChangesRequest,
  LeaseAnswer,
  NodeState,
  PurgeAnswer,
  PurgeShipped,
  SnapshotAnswer,
  SnapshotRequest,
  StateRequest,
  Term,
} from './primary-protocol.ts';
import { addressOf, PAGE_ROWS } from './primary-protocol.ts';
import { PrimaryWaits } from './primary-waits.ts';
import type { ReaderAccess } from './reader-access.ts';
import { toChange } from './shipped-change.ts';
import type { WriterClient } from './writer-client.ts';
import type { PurgeResponse } from './writer-protocol.ts';

/** What other nodes ask of this one's manifest is answered from. */
export interface PrimaryServiceOptions extends Omit<PrimaryFollowersOptions, 'onFollower'> {
  readonly reader: ReaderAccess;
  readonly writer: WriterClient;
  readonly state: () => NodeState;
  /** Makes a purge of another node count here and writes it. */
  readonly purge: (shipped: PurgeShipped) => Promise<PurgeResponse>;
  /** Brings in what was written just now. */
  readonly follow: () => void;
}

/** What other nodes may ask of this node's manifest, and what this node is among them. Everything throws a `ProxyError` whose message says why not. */
export class PrimaryService {
  readonly #options: PrimaryServiceOptions;
  readonly #followers: PrimaryFollowers;
  readonly #waits = new PrimaryWaits();

  constructor(options: PrimaryServiceOptions) {
    this.#options = options;
    const { writer } = options;
    this.#followers = new PrimaryFollowers({
      ...options,
      onFollower: (node, url) => void writer.ask({ kind: 'follower', node, url }).catch(() => {}),
    });
  }

  /** What is known of this node itself. */
  get own(): NodeState {
    return this.#options.state();
  }

  get followers(): readonly Follower[] {
    return this.#followers.list();
  }

  /** Who this node is. The asker's word on who the primary is counts where it is newer. `host`: where the asker is. */
  async state({ known, node, listens }: StateRequest, host: string): Promise<NodeState> {
    const own = known.node === node && known.url === '' && listens !== undefined;
    const met = own ? { ...known, url: addressOf(listens, host) } : known;
    return (await this.#options.writer.ask({ kind: 'state', met })) as NodeState;
  }

  /** A page of the journal. Throws `gone` for a cursor of another epoch or older than what is kept. */
  async journal(query: JournalQuery, options: CallOptions = {}): Promise<JournalPage> {
    const { namespace, since, limit, all } = query;
    const { reader } = this.#options;
    return await this.#waits.untilNews(query.waitMs, options, new Set([namespace]), () => {
      const page = all
        ? journalPage(reader, namespace, since, limit)
        : latestPage(reader, namespace, since, limit);
      return { answer: page, news: page.rows.length > 0 };
    });
  }

  /** What came after a follower's cursors; waits for it as long as asked for. */
  async changes(
    request: ChangesRequest,
    host: string,
    options: CallOptions = {},
  ): Promise<ChangesAnswer> {
    await this.#asPrimary(request.known);
    const url = request.listens === undefined ? '' : addressOf(request.listens, host);
    let over = (): void => {};
    try {
      return await this.#waits.untilNews(request.waitMs, options, undefined, (isFirst) => {
        const { answer, positions } = this.#changes(request);
        if (isFirst) over = this.#followers.poll(request.node, url, positions);
        const isNew = answer.namespaces.some(({ name }) => request.cursors[name] === undefined);
        const rows = answer.pages.some(({ journal }) => journal.length > 0);
        const isOther = this.own.role !== 'primary';
        return { answer, news: rows || isNew || isOther || answer.gone.length > 0 };
      });
    } finally {
      over();
    }
  }

  /** One page of a namespace as a whole. Throws `gone` when it began anew since the first page. */
  async snapshot(request: SnapshotRequest): Promise<SnapshotAnswer> {
    const known = await this.#asPrimary(request.known);
    this.#followers.purged(request.node, request.namespace, request.purgedTo);
    return this.#read((database) => {
      const namespace = infoOf(namespaceInfos(database), request.namespace);
      if (request.at !== undefined && request.at.epoch !== namespace.epoch)
        throw new ProxyError('gone', 'primary-service.snapshot', `${namespace.name} began anew`);
      const jid = request.at?.jid ?? namespace.nextJid - 1;
      const rows = snapshotRows(database, namespace.nsid, jid, request.after);
      return {
        ...{ known, columns: COLUMNS, namespace, jid },
        entries: rows.slice(0, PAGE_ROWS),
        purges: purgesAfter(database, namespace.nsid, request.purgedTo),
        more: rows.length > PAGE_ROWS,
      };
    });
  }

  /** Writes a replica's changes. Each outcome is final; a change that was written before is told so and not written again. */
  async batch(request: BatchRequest): Promise<BatchAnswer> {
    const known = await this.#asPrimary(request.known);
    return { known, outcomes: await this.#write(request) };
  }

  /** Writes changes of a process beside this node wherever this node's own go. Else as `batch`. */
  async batchHere(request: BatchRequest): Promise<BatchAnswer> {
    return { known: this.#known(), outcomes: await this.#write(request) };
  }

  /** Purges for a process beside this node as for this node itself. */
  async purgeHere(request: PurgeShipped): Promise<PurgeAnswer> {
    return { known: this.#known(), ...(await this.#options.purge(request)) };
  }

  async #write(request: BatchRequest): Promise<BatchAnswer['outcomes']> {
    const { writer, follow } = this.#options;
    const changes = request.changes.map((change) => toChange(change, request.columns));
    const bytes = changes.reduce((sum, change) => sum + change.bytes, 0);
    if (!writer.hasRoom(bytes))
      throw new ProxyError('unavailable', 'primary-service.batch', 'the queue is full');
    const outcomes = await Promise.all(changes.map(async (change) => await writer.change(change)));
    // Stopping, or stepped down with the change still waiting: what became of it is not known here.
    if (outcomes.some(({ outcome }) => outcome === 'dropped') && writer.isClosed)
      throw new ProxyError('unavailable', 'primary-service.batch', 'the node stops');
    follow();
    return outcomes;
  }

  /** Purges for a replica; resolves when it is durable here and in effect on every follower that is alive. */
  async purge(request: PurgeShipped): Promise<PurgeAnswer> {
    const known = await this.#asPrimary(request.known);
    return { known, ...(await this.#options.purge(request)) };
  }

  /** Resolves when a purge written here is in effect on every follower that is alive, or after the bound. */
  async acknowledged(response: PurgeResponse): Promise<void> {
    this.#followers.hint();
    await this.#followers.acknowledged(response);
  }

  /** Throws `timeout` when the lock was not had within `waitMs`. */
  async lease(node: string, waitMs: number): Promise<LeaseAnswer> {
    return (await this.#options.writer.ask({ kind: 'lease', node, waitMs })) as LeaseAnswer;
  }

  /** Throws `gone` when it is over. */
  async renew(id: string): Promise<LeaseAnswer> {
    return (await this.#options.writer.ask({ kind: 'renew', id })) as LeaseAnswer;
  }

  async release(id: string): Promise<void> {
    await this.#options.writer.ask({ kind: 'release', id });
  }

  /** The primary has something new. */
  async hint(): Promise<void> {
    await this.#options.writer.ask({ kind: 'hint' });
  }

  /** Makes this node the primary. `url`: where others find its peer listener; '' as it listens. Throws `conflict` where it cannot be. */
  async promote(url: string, force: boolean): Promise<NodeState> {
    return (await this.#options.writer.ask({ kind: 'promote', url, force })) as NodeState;
  }

  /** This node's peer listener is open. */
  async listening(url: string): Promise<void> {
    await this.#options.writer.ask({ kind: 'listening', url });
  }

  /** Something was written in a namespace. */
  moved(namespace: string): void {
    this.#waits.moved(namespace);
    if (this.own.role === 'primary') this.#followers.hint();
  }

  /** How far this node has come, by namespace. */
  positions(): ReturnType<typeof newestChanges> {
    return newestChanges(this.#options.reader);
  }

  /** The node begins to stop: questions that wait are answered, so that they do not hold it up. */
  drain(): void {
    this.#waits.end();
  }

  close(): void {
    this.#followers.close();
  }

  #changes(request: ChangesRequest): {
    readonly answer: ChangesAnswer;
    readonly positions: Record<string, number>;
  } {
    return this.#read((database) => {
      const namespaces = namespaceInfos(database);
      const gone: string[] = [];
      const pages = [];
      const positions: Record<string, number> = {};
      for (const info of namespaces) {
        const cursor = request.cursors[info.name];
        if (cursor === undefined) continue;
        const since = positionOf(info, cursor);
        if (since === 'gone') gone.push(info.name);
        else {
          positions[info.name] = since;
          if (since < info.nextJid - 1) pages.push(changePage(database, info, since));
        }
      }
      const known = this.#known();
      return { answer: { known, columns: COLUMNS, namespaces, pages, gone }, positions };
    });
  }

  #known(): Term {
    const { name, known } = this.own;
    return { ...known, node: name };
  }

  /** The own term, where this node is the primary of the term that the asker goes by. */
  async #asPrimary(theirs: Term): Promise<Term> {
    const state = (await this.#options.writer.ask({ kind: 'state', met: theirs })) as NodeState;
    const { known } = state;
    if (state.role !== 'primary') {
      const where = known.url === '' ? '' : `: ${known.url} is`;
      const message = `this node is not the primary of the manifest${where}`;
      throw new ProxyError('misdirected', 'primary-service.role', message);
    }
    if (theirs.term !== known.term)
      throw new ProxyError(
        'conflict',
        'primary-service.term',
        `this primary is of term ${known.term}, not ${theirs.term}`,
      );
    return { ...known, node: state.name };
  }

  #read<Result>(work: (database: SqliteDatabase) => Result): Result {
    return readable(this.#options.reader, (reader) => reader.inTransaction(work));
  }
}
