import { ProxyError } from '../errors.ts';
import type { ManifestDatabase } from './manifest-database.ts';
import type {
  ChangesAnswer,
  Columns,
  NamespaceInfo,
  Row,
  SnapshotAnswer,
} from './primary-protocol.ts';
import { type LocalNamespace, ReplicaStatements } from './replica-statements.ts';

/** Runs synchronous work in one transaction under the lock. */
export type Exclusively = <Result>(work: (database: ManifestDatabase) => Result) => Promise<Result>;

/** Rows removed in one transaction; well within a lease. */
const REMOVED_ROWS = 2000;

/** What this node has of the primary's rows, and how it is changed: each call is one or more transactions. */
export class ReplicaRows {
  readonly #exclusively: Exclusively;
  readonly #statements = new WeakMap<ManifestDatabase, ReplicaStatements>();
  #local = new Map<string, LocalNamespace>();

  constructor(exclusively: Exclusively) {
    this.#exclusively = exclusively;
  }

  /** Every namespace as last read. */
  get local(): ReadonlyMap<string, LocalNamespace> {
    return this.#local;
  }

  /** `epoch:jid` of each namespace that is whole. */
  cursors(): Record<string, string> {
    const cursors: Record<string, string> = {};
    for (const { name, epoch, nextJid } of this.#local.values())
      if (epoch !== '') cursors[name] = `${epoch}:${nextJid - 1}`;
    return cursors;
  }

  /** Numbers up to which rows are here. */
  positions(): Map<string, number> {
    return new Map(
      [...this.#local.values()].map(({ name, epoch, nextJid }) => [
        name,
        epoch === '' ? 0 : nextJid - 1,
      ]),
    );
  }

  /** Reads where every namespace stands. */
  async read(): Promise<void> {
    await this.#work(() => {});
  }

  /** Removes namespaces that the primary has not, or under another number. True: there were any. */
  async adopt(infos: readonly NamespaceInfo[]): Promise<boolean> {
    const byName = new Map(infos.map((info) => [info.name, info.nsid]));
    const foreign = [...this.#local.values()].filter(({ name, nsid }) => byName.get(name) !== nsid);
    for (const { nsid } of foreign) {
      let done = false;
      while (!done) done = await this.#work((statements) => statements.remove(nsid, REMOVED_ROWS));
    }
    return foreign.length > 0;
  }

  /** Makes a namespace whose whole journal is to be had. */
  async begin(info: NamespaceInfo): Promise<void> {
    await this.#work((statements) => statements.begin(info));
  }

  /** Applies every page of an answer in one transaction, cursors with it. */
  async apply({ pages, namespaces, columns }: ChangesAnswer): Promise<void> {
    await this.#work((statements) => {
      for (const page of pages) {
        const info = namespaces.find(({ name }) => name === page.namespace);
        if (info !== undefined) statements.apply(page, info, columns);
      }
    });
  }

  async beginSnapshot(info: NamespaceInfo): Promise<void> {
    await this.#work((statements) => statements.beginSnapshot(info));
  }

  /** Takes away what a purge takes. */
  async takePurged(nsid: number, purge: Row, columns: Columns): Promise<void> {
    let done = false;
    while (!done) {
      done = await this.#work((statements) =>
        statements.takePurged(nsid, purge, columns, REMOVED_ROWS),
      );
    }
  }

  /** Puts a page in the place of what lies in its range; gives its last key. Throws `upstream` for a page that cannot be. */
  async replaceRange(
    { namespace, entries, columns, more }: SnapshotAnswer,
    after: readonly [string, string] | undefined,
  ): Promise<readonly [string, string] | undefined> {
    const last = entries.at(-1);
    const key = last?.[columns.entries.indexOf('key')];
    const variant = last?.[columns.entries.indexOf('variant')];
    let to: readonly [string, string] | undefined;
    if (more) {
      if (typeof key !== 'string' || typeof variant !== 'string')
        throw new ProxyError('upstream', 'replica-rows.snapshot', 'a page of a snapshot is empty');
      to = [key, variant];
    }
    await this.#work((statements) =>
      statements.replaceRange(namespace, entries, columns, after, to),
    );
    return to;
  }

  async endSnapshot(
    info: NamespaceInfo,
    jid: number,
    purges: readonly Row[],
    columns: Columns,
  ): Promise<void> {
    await this.#work((statements) => statements.endSnapshot(info, jid, purges, columns));
  }

  /** A row that failed its checksum on this node alone. */
  async removeBroken(namespace: string, key: string, variant: string): Promise<void> {
    await this.#work((statements) => statements.removeBroken(namespace, key, variant));
  }

  async #work<Result>(work: (statements: ReplicaStatements) => Result): Promise<Result> {
    const { result, local } = await this.#exclusively((database) => {
      const statements = this.#statements.get(database) ?? new ReplicaStatements(database);
      this.#statements.set(database, statements);
      return { result: work(statements), local: statements.namespaces() };
    });
    this.#local = new Map(local.map((namespace) => [namespace.name, namespace]));
    return result;
  }
}
