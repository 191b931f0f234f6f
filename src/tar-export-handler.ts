import { LRUCache } from 'lru-cache';
import type { CallOptions } from './body.ts';
import { messageOf, ProxyError } from './errors.ts';
import type { HouseParts } from './house-parts.ts';
import type { Entry } from './manifest/entry.ts';
import type { Opened } from './storage/backend.ts';
import { isDigest } from './storage/digest.ts';
import {
  TAR_HEAD,
  type TarEntry,
  type TarExportInput,
  type TarRow,
  type TarTotal,
} from './tar-schemas.ts';
import { TarWriter } from './tar-writer.ts';

/** Rows of one member, and at most so many bytes of them. */
const GROUP = 500;
const GROUP_BYTES = 1024 * 1024;
/** Bodies remembered, so that one of many keys is written once. One that is forgotten is written again. */
const MAX_WRITTEN = 100_000;

/** How many rows an export would look at. */
export async function tarExportTotal(
  parts: HouseParts,
  input: TarExportInput,
  { signal }: CallOptions,
): Promise<TarTotal> {
  let units = 0;
  for await (const _ of entriesOf(parts, input)) {
    signal?.throwIfAborted();
    units += 1;
  }
  return { units };
}

/**
 * Writes rows and their bodies into one file, group by group: rows, then those of their bodies that are not in it yet. Rows whose body
 * no storage has are left out. Throws `conflict` where something lies in its place, `integrity` for a body that turns out
 * damaged in its middle: there is no file then.
 */
export async function* exportTar(
  parts: HouseParts,
  input: TarExportInput,
  { signal }: CallOptions,
): AsyncGenerator<TarRow> {
  await using tar = await TarWriter.open(input.file);
  const state = {
    groups: 0,
    rows: 0,
    bodies: 0,
    done: 0,
    written: new LRUCache<string, true>({ max: MAX_WRITTEN }),
  };
  await tar.add('caje.json', JSON.stringify(TAR_HEAD));
  for await (const group of groupsOf(parts, input)) {
    signal?.throwIfAborted();
    const found: Entry[] = [];
    for (const entry of group) {
      state.done += 1;
      if (await isKept(parts, entry)) found.push(entry);
      else yield toRow(entry, 'missing', state.done);
    }
    if (found.length === 0) continue;
    const lines = found.map((entry) => `${JSON.stringify(toTarEntry(entry))}\n`);
    await tar.add(`rows/${state.groups++}.ndjson`, lines.join(''));
    for (const entry of found) {
      signal?.throwIfAborted();
      if (!state.written.has(entry.digest)) {
        await addBody(parts, tar, entry);
        state.written.set(entry.digest, true);
        state.bodies += 1;
      }
      state.rows += 1;
      yield toRow(entry, 'written', state.done);
    }
  }
  await tar.add('end.json', JSON.stringify({ rows: state.rows, bodies: state.bodies }));
  await tar.finish();
}

async function* groupsOf(
  parts: HouseParts,
  input: TarExportInput,
): AsyncGenerator<readonly Entry[]> {
  let group: Entry[] = [];
  let bytes = 0;
  for await (const entry of entriesOf(parts, input)) {
    group.push(entry);
    bytes += JSON.stringify(entry.headers.toRaw()).length + entry.key.length + entry.url.length;
    if (group.length < GROUP && bytes < GROUP_BYTES) continue;
    yield group;
    group = [];
    bytes = 0;
  }
  if (group.length > 0) yield group;
}

async function* entriesOf(
  { manifest }: HouseParts,
  { namespace, rule, prefix }: TarExportInput,
): AsyncGenerator<Entry> {
  let after: string | undefined;
  do {
    const page = await manifest.list({ namespace, rule, prefix, after, limit: GROUP });
    yield* page.entries;
    after = page.next;
  } while (after !== undefined);
}

async function isKept({ backends }: HouseParts, { digest, size }: Entry): Promise<boolean> {
  if (!isDigest(digest)) return false;
  for (const [, backend] of await backends())
    if ((await backend.stat(digest))?.size === size) return true;
  return false;
}

// The rows that name it are written by now, so there is no way back.
async function addBody(parts: HouseParts, tar: TarWriter, entry: Entry): Promise<void> {
  const opened = await openBody(parts, entry);
  try {
    await tar.addBody(`bodies/${entry.digest}`, entry.size, opened.body);
  } catch (error) {
    opened.body.destroy();
    throw new ProxyError(
      'integrity',
      'tar-export-handler.body',
      `the body of ${entry.key}: ${messageOf(error)}: run it again`,
      { cause: error },
    );
  }
}

async function openBody({ backends }: HouseParts, { digest, key }: Entry): Promise<Opened> {
  for (const [, backend] of await backends()) {
    const opened = isDigest(digest) ? await backend.open(digest) : undefined;
    if (opened !== undefined) return opened;
  }
  throw new ProxyError(
    'integrity',
    'tar-export-handler.body',
    `the body of ${key} went away meanwhile: run it again`,
  );
}

function toTarEntry(entry: Entry): TarEntry {
  const { firstSeenAt: _1, storedAt: _2, jid: _3, requestHeaders, headers, ...rest } = entry;
  return { ...rest, requestHeaders: requestHeaders.toRaw(), headers: headers.toRaw() };
}

function toRow(entry: Entry, outcome: TarRow['outcome'], done: number): TarRow {
  const { namespace, key, variant, digest, size } = entry;
  return { namespace, key, variant, digest, size, outcome, done };
}
