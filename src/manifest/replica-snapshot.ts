import { ProxyError } from '../errors.ts';
import type { PrimaryClient } from './primary-client.ts';
import type { PURGE_COLUMNS } from './primary-feed.ts';
import type { Columns, NamespaceInfo, Row, Term } from './primary-protocol.ts';
import type { ReplicaRows } from './replica-rows.ts';
import type { AppliedPurge } from './writer-protocol.ts';

/** What a snapshot is taken with. */
export interface SnapshotOptions {
  readonly client: PrimaryClient;
  readonly known: Term;
  readonly node: string;
  readonly rows: ReplicaRows;
  readonly signal: AbortSignal;
  /** Called when purges are in effect in the database; resolves when they are in memory too. */
  readonly purged: (purges: readonly AppliedPurge[]) => Promise<void>;
  /** Called after the purges of the first page. `complete`: none that these rows had missed is forgotten by the primary. */
  readonly safe: (complete: boolean) => void;
}

/**
 * Replaces a namespace's rows by the primary's, page by page in order of key. Purges come first and with every page, so that
 * nothing purged is served meanwhile; what changed while it ran comes with the journal after it.
 */
export async function takeSnapshot(options: SnapshotOptions, info: NamespaceInfo): Promise<void> {
  const { client, known, node, rows, signal, purged } = options;
  const before = rows.local.get(info.name);
  // Numbers of another epoch begin far above ours, so every purge of it counts as missed.
  let purgedTo = before === undefined ? info.nextJid - 1 : before.nextJid - 1;
  const missed =
    before !== undefined && (purgedTo < info.purgeFloor || info.nextJid - 1 < purgedTo);
  await rows.beginSnapshot(info);
  const purges: Row[] = [];
  let at: { readonly epoch: string; readonly jid: number } | undefined;
  let after: readonly [string, string] | undefined;
  for (;;) {
    const answer = await client.snapshot(
      { known, node, namespace: info.name, at, after, purgedTo },
      { signal },
    );
    const { columns, namespace } = answer;
    if (at !== undefined && namespace.epoch !== at.epoch)
      throw new ProxyError('gone', 'replica-snapshot', `${info.name} began again meanwhile`);
    for (const purge of answer.purges) await rows.takePurged(info.nsid, purge, columns);
    purges.push(...answer.purges);
    const applied = answer.purges.map((purge) => appliedPurge(info.name, purge, columns));
    if (applied.length > 0) await purged(applied);
    purgedTo = Math.max(purgedTo, ...applied.map(({ jid }) => jid));
    if (at === undefined) options.safe(!missed);
    at ??= { epoch: namespace.epoch, jid: answer.jid };
    after = await rows.replaceRange(answer, after);
    if (after !== undefined) continue;
    // Purges up to the number that the journal goes on from; later ones come with it.
    const jid = at.jid;
    const kept = purges.filter((purge) => jidOf(purge, columns) <= jid);
    await rows.endSnapshot(namespace, jid, kept, columns);
    return;
  }
}

function appliedPurge(namespace: string, purge: Row, { purges }: Columns): AppliedPurge {
  const value = (column: (typeof PURGE_COLUMNS)[number]): unknown => purge[purges.indexOf(column)];
  return {
    namespace,
    kind: value('kind') as AppliedPurge['kind'],
    value: String(value('value')),
    jid: value('jid') as number,
  };
}

function jidOf(purge: Row, { purges }: Columns): number {
  return purge[purges.indexOf('jid')] as number;
}
