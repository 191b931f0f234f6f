import type { CallOptions } from './body.ts';
import { ProxyError } from './errors.ts';
import type { GatheredRows } from './manifest/gathered-rows.ts';
import { ManifestRows, type RowNote, type RowPosition } from './manifest/manifest-rows.ts';
import type { ReindexNotes } from './reindex-schemas.ts';
import { decodeLines } from './row-notes-lines.ts';
import { groupSegments, type SegmentGroup } from './row-notes-names.ts';
import type { NotesKeeper } from './storage/notes.ts';

/** Where notes are read, and of which node. */
export interface NotesSource {
  readonly owner: string;
  readonly stores: readonly { readonly name: string; readonly store: NotesKeeper }[];
  /** A manifest whose rows count before those of earlier ones. Absent: there is none. */
  readonly manifest?: string | undefined;
}

/** Rows of a manifest read at a time. */
const BATCH = 500;

interface Found {
  readonly name: string;
  readonly store: NotesKeeper;
  readonly group: SegmentGroup;
}

/**
 * Reads all notes of a node, and the manifest that is there, into rows that are to be settled. Throws `not-found`, with the nodes
 * that have some, where there are none; `unavailable` where a store cannot be asked, `aborted`.
 */
export async function gatherNotes(
  source: NotesSource,
  into: GatheredRows,
  { signal }: CallOptions,
): Promise<Omit<ReindexNotes, 'bodies'>> {
  const found: Found[] = [];
  for (const { name, store } of source.stores) {
    const groups = groupSegments(await store.notes.list(source.owner, { signal }));
    found.push(...groups.map((group) => ({ name, store, group })));
  }
  if (found.length === 0) throw await nothingThere(source, { signal });
  const ranks = ranksOf(found);
  if (source.manifest !== undefined) gatherManifest(source.manifest, into, ranks);
  let damaged = 0;
  for (const { store, group } of found) {
    const rank = ranks.get(group.manifest) ?? 0;
    for (const { name } of group.segments) {
      signal?.throwIfAborted();
      const bytes = await store.notes.read(source.owner, name, { signal });
      // It went meanwhile, or is empty: no line of it is known.
      if (bytes === undefined || bytes.length === 0) damaged += 1;
      else damaged += gatherSegment(bytes, into, rank);
    }
  }
  const newest = [...ranks].find(([, rank]) => rank === ranks.size - 1)?.[0];
  const partial = source.stores.flatMap(({ name }) => {
    const isWhole = found.some((one) => one.name === name && one.group.whole !== undefined);
    const isThere = found.some((one) => one.name === name && one.group.manifest === newest);
    return isThere && !isWhole ? [name] : [];
  });
  return { damaged, partial };
}

/** Order of manifests: what a later one says counts before what an earlier one says. */
function ranksOf(found: readonly Found[]): Map<string, number> {
  const began = new Map<string, number>();
  for (const { group } of found) {
    const before = began.get(group.manifest) ?? Number.POSITIVE_INFINITY;
    began.set(group.manifest, Math.min(before, group.began));
  }
  const order = [...began].toSorted(([, a], [, b]) => a - b);
  return new Map(order.map(([manifest], rank) => [manifest, rank]));
}

function gatherManifest(path: string, into: GatheredRows, ranks: Map<string, number>): void {
  using rows = ManifestRows.open(path);
  const namespaces = rows?.namespaces() ?? [];
  const [first] = namespaces;
  if (rows === undefined || first === undefined) return;
  const rank = ranks.get(first.epoch) ?? ranks.size;
  ranks.set(first.epoch, rank);
  for (const namespace of namespaces) {
    if (namespace.purgeFloor > 0) into.forgetBefore(namespace.name, rank);
    into.add(rows.purges(namespace), rank);
    let after: RowPosition | undefined;
    do {
      const page = rows.rows(namespace, after, BATCH);
      into.add(page.notes, rank);
      after = page.next;
    } while (after !== undefined);
  }
}

/** Gives how many lines are damaged. */
function gatherSegment(bytes: Buffer, into: GatheredRows, rank: number): number {
  const notes: RowNote[] = [];
  let damaged = 0;
  for (const line of decodeLines(bytes)) {
    if (line === undefined) damaged += 1;
    else if (line.op !== 'head') notes.push(line);
    else {
      for (const [namespace, floor] of Object.entries(line.floors))
        if (floor > 0) into.forgetBefore(namespace, rank);
    }
  }
  into.add(notes, rank);
  return damaged;
}

async function nothingThere(
  { owner, stores }: NotesSource,
  options: CallOptions,
): Promise<ProxyError> {
  const names = stores.map(({ name }) => name).join(', ');
  const others = new Set<string>();
  for (const { store } of stores)
    for (const other of await store.notes.owners(options)) others.add(other);
  const hint =
    others.size === 0
      ? 'nothing can be made anew from there'
      : `others have: ${[...others].sort().join(', ')}; --node takes those of another`;
  const where = stores.length === 0 ? 'no storage keeps notes' : `${names}: no notes of ${owner}`;
  return new ProxyError('not-found', 'reindex-notes.gather', `${where}; ${hint}`);
}
