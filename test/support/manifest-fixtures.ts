import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { SystemClock } from '../../src/clock.ts';
import { HeaderList } from '../../src/headers.ts';
import { silentLogger } from '../../src/log.ts';
import type { EntryPolicy, Jid, NewEntry } from '../../src/manifest/entry.ts';
import type { DeleteChange, PutChange } from '../../src/manifest/manifest.ts';
import { type OpenManifestOptions, openManifest } from '../../src/manifest/open-manifest.ts';
import type { SqliteManifest } from '../../src/manifest/sqlite-manifest.ts';
import { Metrics } from '../../src/metrics.ts';
import { digestOf } from '../../src/storage/digest.ts';

/** A policy without any of its exceptions. */
export const plainPolicy: EntryPolicy = {
  receivedAt: 1_700_000_000_000,
  initialAge: 0,
  alwaysRevalidate: false,
  mustRevalidate: false,
  staleWhileRevalidateUntil: 0,
  staleIfErrorUntil: 0,
};

/** An entry of namespace `web`, fresh for an hour, with every field set. */
export function newEntry(key: string, over: Partial<NewEntry> = {}): NewEntry {
  return {
    namespace: 'web',
    key,
    variant: '',
    rule: 'site',
    method: 'GET',
    url: `http://origin.example/${key}`,
    publicHost: 'www.example.com',
    vary: [],
    requestHeaders: HeaderList.empty,
    status: 200,
    headers: new HeaderList([
      ['Content-Type', 'text/html'],
      ['ETag', '"1"'],
    ]),
    policy: plainPolicy,
    source: 'site',
    freshUntil: Date.now() + 3_600_000,
    staleAt: Date.now() + 7_200_000,
    digest: digestOf(Buffer.from(key)),
    size: key.length,
    ...over,
  };
}

/** A put of `newEntry` by a fill that began at `baseJid`. */
export function put(
  key: string,
  baseJid: Jid = 0,
  over: Partial<NewEntry> = {},
  changeId: string = randomUUID(),
): PutChange {
  return { op: 'put', changeId, entry: newEntry(key, over), baseJid, actor: 'test' };
}

/** A delete of all variants of a key in `web`. */
export function remove(key: string, variant?: string): DeleteChange {
  return { op: 'delete', changeId: randomUUID(), namespace: 'web', key, variant, actor: 'test' };
}

/** A manifest in a folder, opened as a node would. */
export async function openIn(
  folder: string,
  over: Partial<OpenManifestOptions> = {},
): Promise<SqliteManifest> {
  return await openManifest({
    path: join(folder, 'manifest.db'),
    nodeDatabasePath: join(folder, 'node.db'),
    clock: new SystemClock(),
    log: silentLogger,
    metrics: new Metrics(),
    ...over,
  });
}
