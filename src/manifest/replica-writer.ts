import { ProxyError } from '../errors.ts';
import { handOn } from './commit-queue.ts';
import { ManifestWriter, type ManifestWriterContext } from './manifest-writer.ts';
import { PrimaryHerald } from './primary-herald.ts';
import { PrimaryLeases } from './primary-leases.ts';
import { NamedNodes } from './primary-others.ts';
import type { LeaseAnswer, NodeState, Term } from './primary-protocol.ts';
import { isNewer } from './primary-protocol.ts';
import {
  beginEpochs,
  NO_TERM,
  peekTerms,
  unfinishedNamespaces,
  writeFollower,
  writeTerm,
} from './primary-terms.ts';
import { ReplicaRows } from './replica-rows.ts';
import { ReplicaSide } from './replica-side.ts';
import type {
  ClusterAsk,
  WriterRequest,
  WriterResponse,
  WriterSettings,
} from './writer-protocol.ts';

/**
 * The writer of a node among others: where this node is the primary it writes itself, else it hands changes to the primary
 * and brings the primary's rows in. It changes sides when it is promoted, and when it hears of a later primary.
 */
export class ReplicaWriter {
  readonly #settings: WriterSettings;
  readonly #context: ManifestWriterContext;
  readonly #local: ManifestWriter;
  readonly #rows: ReplicaRows;
  readonly #leases: PrimaryLeases;
  #known: Term = NO_TERM;
  #trusted = false;
  #url = '';
  /** Absent: this node is the primary. */
  #replica: ReplicaSide | undefined;
  #herald: PrimaryHerald | undefined;
  #started: Promise<void> | undefined;
  #others: readonly string[] = [];
  #turning: Promise<void> = Promise.resolve();
  #catchUp: NodeJS.Timeout | undefined;

  constructor(settings: WriterSettings, context: ManifestWriterContext) {
    this.#settings = settings;
    this.#context = context;
    this.#local = new ManifestWriter(settings, context);
    this.#local.place.onCopied = () => this.#replica?.applied();
    this.#rows = new ReplicaRows(async (work) => await this.#local.exclusively(work));
    this.#leases = new PrimaryLeases({
      acquire: async (options) => await this.#local.acquire(options),
      ttlMs: settings.cluster.leaseMs,
      count: (outcome) => context.notify({ type: 'count', name: 'leases_total', label: outcome }),
    });
  }

  /** Answers one request, as soon as it is durable or known not to be written. */
  async handle(request: WriterRequest): Promise<WriterResponse> {
    if (request.op === 'open') await this.#local.handle(request);
    // A thread that took the place of one that died is not opened: it finds its place by itself.
    this.#started ??= this.#start();
    await this.#started;
    switch (request.op) {
      case 'open':
        return null;
      case 'cluster':
        return await this.#answer(request.ask);
      case 'put':
      case 'purge':
      case 'delete':
        return await (this.#replica?.write(request) ?? this.#local.handle(request));
      default:
        return await this.#local.handle(request);
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#catchUp);
    await this.#turning;
    await this.#herald?.close();
    await this.#replica?.close();
    await this.#leases.close();
    await this.#local.close();
  }

  async #answer(ask: ClusterAsk): Promise<NodeState | LeaseAnswer | null> {
    switch (ask.kind) {
      case 'state':
        if (ask.met !== undefined) await this.#meet(ask.met);
        return this.#state();
      case 'promote':
        await this.#turn(async () => await this.#promote(ask.url, ask.force));
        return this.#state();
      case 'follower':
        await this.#local.exclusively(({ database }) =>
          writeFollower(database, ask.node, ask.url, this.#context.clock.now()),
        );
        return null;
      case 'followed':
        this.#replica?.followed(ask.seq);
        return null;
      case 'hint':
        this.#replica?.hint();
        return null;
      case 'listening':
        await this.#listening(ask.url);
        return null;
      case 'lease':
        return await this.#leases.give(ask.waitMs);
      case 'renew':
        return this.#leases.renew(ask.id);
      case 'release':
        await this.#leases.release(ask.id);
        return null;
    }
  }

  async #listening(url: string): Promise<void> {
    this.#url = url;
    this.#replica?.hint();
    const isLed = this.#replica === undefined && this.#known.term > 0;
    // Promoted while it did not listen.
    if (isLed && this.#known.url === '') await this.#note({ ...this.#known, url: this.#ownUrl() });
  }

  #state(): NodeState {
    const role = this.#replica === undefined ? 'primary' : 'replica';
    const { node } = this.#settings.cluster;
    return { name: node, role, known: this.#known, trusted: this.#trusted };
  }

  async #start(): Promise<void> {
    const { cluster, lock, path } = this.#settings;
    const { known, followers } = peekTerms(path);
    this.#known = known;
    this.#others = [...(await new NamedNodes(cluster).urls()), ...followers];
    const { node } = this.#known;
    const isPrimary = node === '' ? lock !== 'peer' : node === cluster.node;
    if (isPrimary && cluster.mayLead !== false) await this.#lead();
    else this.#serveAsReplica();
    this.#tell();
  }

  /** This node writes: those who may know better are asked first. */
  async #lead(): Promise<void> {
    const { cluster } = this.#settings;
    const { node, token } = cluster;
    if (token !== '' && this.#others.length > 0) {
      this.#herald = new PrimaryHerald({
        ...{ node, credentials: cluster, known: { ...this.#known, node }, others: this.#others },
        listens: () => this.#listens(),
        superseded: (newer) => void this.#meet(newer).catch(() => {}),
      });
      await this.#herald.asked;
    }
    if (this.#replica === undefined) this.#trusted = true;
  }

  #serveAsReplica(): ReplicaSide {
    const { cluster } = this.#settings;
    this.#trusted = !cluster.follows;
    const replica = new ReplicaSide({
      ...{ cluster, context: this.#context, rows: this.#rows },
      copied: () => this.#local.place.copied(),
      known: () => this.#known,
      listens: () => this.#listens(),
      ownUrl: () => this.#url,
      isPrimary: () =>
        void this.#turn(async () => await this.#becomePrimary(this.#known, false)).catch(() => {}),
      found: async (known) => await this.#note(known),
      trust: (trusted) => this.#trust(trusted),
    });
    this.#replica = replica;
    this.#catchUp = setTimeout(() => this.#trust(true), cluster.catchUpMs).unref();
    return replica;
  }

  /** Scheme and port, for those who know the host from the connection. */
  #listens(): string | undefined {
    const [, scheme, port] = /^(https?):\/\/.*:(\d+)$/.exec(this.#url) ?? [];
    return scheme === undefined ? undefined : `${scheme}:${port}`;
  }

  /** Where others find this node; '' where it listens on every address, and they know it from the connection. */
  #ownUrl(): string {
    return /\/\/(0\.0\.0\.0|\[::\]):/.test(this.#url) ? '' : this.#url;
  }

  #trust(trusted: boolean): void {
    clearTimeout(this.#catchUp);
    if (this.#trusted === trusted) return;
    this.#trusted = trusted;
    this.#tell();
  }

  /** Another node says who the primary is. */
  async #meet(met: Term): Promise<void> {
    if (!this.#isNews(met)) return;
    await this.#turn(async () => {
      if (!this.#isNews(met)) return;
      await this.#note(met);
      if (this.#replica !== undefined) return this.#replica.retarget();
      await this.#leases.close();
      // Its own loop may be what brought the news: it is not waited for.
      void this.#herald?.close();
      this.#herald = undefined;
      const replica = this.#serveAsReplica();
      for (const waiting of this.#local.takeAll()) replica.push(waiting);
      this.#tell();
    });
  }

  #isNews(met: Term): boolean {
    const { node } = this.#settings.cluster;
    const known = this.#replica === undefined ? { ...this.#known, node } : this.#known;
    return met.node !== node && isNewer(met, known);
  }

  async #promote(url: string, force: boolean): Promise<void> {
    if (this.#settings.cluster.mayLead === false)
      throw new ProxyError(
        'conflict',
        'replica-writer.promote',
        'this node may not write the manifest: its roles have no writer',
      );
    if (this.#replica === undefined)
      throw new ProxyError(
        'conflict',
        'replica-writer.promote',
        'this node is the primary already',
      );
    const unfinished = await this.#local.exclusively(({ database }) =>
      unfinishedNamespaces(database),
    );
    if (unfinished.length > 0 && !force) {
      throw new ProxyError(
        'conflict',
        'replica-writer.promote',
        `this node has not all rows of ${unfinished.join(', ')}: promote another, or use --force to go on with what is here`,
      );
    }
    const { term, url: former } = this.#known;
    this.#others = [former, ...this.#others].filter(Boolean);
    const { node } = this.#settings.cluster;
    await this.#becomePrimary({ term: term + 1, node, url }, true);
  }

  /** `isNew`: another was the primary before. */
  async #becomePrimary(known: Term, isNew: boolean): Promise<void> {
    const replica = this.#replica;
    if (replica === undefined) return;
    const own = {
      term: known.term,
      node: this.#settings.cluster.node,
      url: known.url || this.#ownUrl(),
    };
    await this.#local.exclusively(({ database }) => {
      writeTerm(database, own, this.#context.clock.now());
      if (isNew) beginEpochs(database);
    });
    clearTimeout(this.#catchUp);
    // Rows that the former primary still sends are of another epoch now and change nothing.
    const left = await replica.handOver();
    // New epochs: nothing that was read under the old ones counts any more.
    if (isNew) void replica.tellApplied(true, []);
    this.#known = own;
    this.#replica = undefined;
    for (const waiting of left) handOn(waiting, this.#local.handle(waiting.request));
    await this.#lead();
    this.#context.notify({ type: 'link' });
    this.#tell();
  }

  async #note(known: Term): Promise<void> {
    const { term, node, url } = this.#known;
    if (term === known.term && node === known.node && url === known.url) return;
    // Where the database is replicated by other means it is not this node's to write.
    if (this.#settings.cluster.follows) {
      await this.#local.exclusively(({ database }) =>
        writeTerm(database, known, this.#context.clock.now()),
      );
    }
    this.#known = known;
    this.#tell();
  }

  /** One change of sides at a time. */
  async #turn(work: () => Promise<void> | void): Promise<void> {
    const turned = this.#turning.then(work);
    this.#turning = turned.catch(() => {});
    await turned;
  }

  #tell(): void {
    this.#context.notify({ type: 'cluster', state: this.#state() });
  }
}
