import { rmSync } from 'node:fs';
import { isDamaged, type SqliteDatabase } from '../sqlite/open-database.ts';
import { ManifestDatabase } from './manifest-database.ts';
import { COLUMNS, changePage, namespaceInfos, purgesAfter, snapshotRows } from './primary-feed.ts';
import { type ChangePage, type NamespaceInfo, PAGE_ROWS, type Row } from './primary-protocol.ts';
import { type LocalNamespace, ReplicaStatements } from './replica-statements.ts';

/** One page of the rows of a namespace whose journal no longer reaches back to where the mirror stands. */
interface SnapshotPage {
  readonly info: NamespaceInfo;
  /** Number from which the journal goes on afterwards. */
  readonly jid: number;
  readonly after: readonly [string, string] | undefined;
  readonly rows: readonly Row[];
  /** The last key of the page. Absent: there are no rows after it. */
  readonly to: readonly [string, string] | undefined;
  /** With the last page. */
  readonly purges: readonly Row[];
}

/** What was read of the source, to be written into the mirror. */
export interface Collected {
  readonly infos: readonly NamespaceInfo[];
  readonly begun: readonly NamespaceInfo[];
  readonly pages: readonly ChangePage[];
  readonly snapshot: SnapshotPage | undefined;
  /** True: with this the mirror has all there is. */
  readonly isLevel: boolean;
}

/** Pages of journal read at a time: reading stops replication for as long as it takes. */
const PAGES = 2;
const REMOVED_ROWS = 2000;

/**
 * A copy of the manifest on this node's own disk, which the request side reads: the mount of LiteFS may stand still for
 * as long as any node holds HALT. Made from the database on LiteFS by its journal; what is damaged is made anew.
 * Synchronous; belongs to the writer thread.
 */
export class LiteFsMirror implements Disposable {
  readonly #database: ManifestDatabase;
  readonly #statements: ReplicaStatements;
  #local: Map<string, LocalNamespace>;
  #copying:
    | {
        readonly epoch: string;
        readonly name: string;
        readonly jid: number;
        after?: readonly [string, string];
      }
    | undefined;

  constructor(path: string) {
    this.#database = open(path);
    this.#statements = new ReplicaStatements(this.#database);
    this.#local = this.#read();
  }

  /** Reads what is new, from inside a transaction of the source. */
  collect(source: SqliteDatabase): Collected {
    const infos = namespaceInfos(source);
    const begun: NamespaceInfo[] = [];
    const pages: ChangePage[] = [];
    let snapshot: SnapshotPage | undefined;
    let isLevel = true;
    for (const info of infos) {
      const local = this.#fitting(info);
      const since = local?.epoch === info.epoch ? local.nextJid - 1 : 0;
      if (local?.epoch !== info.epoch && info.firstJid === 1) begun.push(info);
      else if (local?.epoch !== info.epoch || since < info.firstJid - 1) {
        snapshot ??= this.#snapshotPage(source, info);
        isLevel = false;
        continue;
      }
      let at = since;
      while (at < info.nextJid - 1 && pages.length < PAGES) {
        const page = changePage(source, info, at);
        pages.push(page);
        if (page.to === at) break;
        at = page.to;
      }
      isLevel &&= at === info.nextJid - 1;
    }
    return { infos, begun, pages, snapshot, isLevel };
  }

  /** Writes it, in one transaction. Throws SQLite's errors; then nothing of it was written. */
  apply({ infos, begun, pages, snapshot }: Collected): void {
    this.#database.database
      .transaction(() => {
        this.#removeForeign(infos, begun);
        for (const info of begun) this.#statements.begin(info);
        for (const page of pages) {
          const info = infos.find(({ name }) => name === page.namespace);
          if (info !== undefined) this.#statements.apply(page, info, COLUMNS);
        }
        if (snapshot !== undefined) this.#applySnapshot(snapshot);
      })
      .immediate();
    this.#local = this.#read();
    if (snapshot === undefined) return;
    const { info, jid, to } = snapshot;
    const { name, epoch } = info;
    this.#copying = to === undefined ? undefined : { epoch, name, jid, after: to };
  }

  /** Numbers by namespace up to which it has everything. */
  positions(): Map<string, number> {
    return new Map(
      [...this.#local.values()].map(({ name, epoch, nextJid }) => [
        name,
        epoch === '' ? 0 : nextJid - 1,
      ]),
    );
  }

  /** Whether the number was given to this change, as far as its journal reaches. */
  has(namespace: string, jid: number, changeId: string): boolean {
    const found = this.#database.database
      .prepare('SELECT change_id FROM journal WHERE nsid = ? AND jid = ?')
      .pluck()
      .get(this.#local.get(namespace)?.nsid ?? 0, jid);
    return found === changeId;
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #read(): Map<string, LocalNamespace> {
    return new Map(this.#statements.namespaces().map((namespace) => [namespace.name, namespace]));
  }

  /** What the mirror has of a namespace, unless it is another one by the same name. */
  #fitting({ name, nsid }: NamespaceInfo): LocalNamespace | undefined {
    const local = this.#local.get(name);
    return local?.nsid === nsid ? local : undefined;
  }

  /** Namespaces that are not there any more, or began again: none of their rows may be used. */
  #removeForeign(infos: readonly NamespaceInfo[], begun: readonly NamespaceInfo[]): void {
    for (const { name, nsid, epoch } of this.#local.values()) {
      const info = infos.find((other) => other.name === name && other.nsid === nsid);
      const isKept = info !== undefined && (epoch === info.epoch || !begun.includes(info));
      while (!isKept && !this.#statements.remove(nsid, REMOVED_ROWS));
    }
  }

  #snapshotPage(source: SqliteDatabase, info: NamespaceInfo): SnapshotPage {
    const { name, epoch } = info;
    // Of another epoch it begins from the start.
    const isSame = this.#copying?.name === name && this.#copying.epoch === epoch;
    const before = isSame ? this.#copying : undefined;
    const jid = before?.jid ?? info.nextJid - 1;
    const after = before?.after;
    const found = snapshotRows(source, info.nsid, jid, after);
    const rows = found.slice(0, PAGE_ROWS);
    const end = found.length > PAGE_ROWS ? rows.at(-1) : undefined;
    const [key, variant] = [COLUMNS.entries.indexOf('key'), COLUMNS.entries.indexOf('variant')];
    const to = end && ([String(end[key]), String(end[variant])] as const);
    const purges = to === undefined ? purgesAfter(source, info.nsid, 0, jid) : [];
    return { info, jid, after, rows, to, purges };
  }

  #applySnapshot({ info, jid, after, rows, to, purges }: SnapshotPage): void {
    if (after === undefined) {
      // Nothing that may have been purged meanwhile is shown while it is copied.
      while (!this.#statements.remove(info.nsid, REMOVED_ROWS));
      this.#statements.beginSnapshot(info);
    }
    this.#statements.replaceRange(info, rows, COLUMNS, after, to);
    if (to === undefined) this.#statements.endSnapshot(info, jid, purges, COLUMNS);
  }
}

function open(path: string): ManifestDatabase {
  try {
    return new ManifestDatabase(path);
  } catch (error) {
    if (!isDamaged(error)) throw error;
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
    return new ManifestDatabase(path);
  }
}
