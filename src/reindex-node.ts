import { existsSync } from 'node:fs';
import { link, mkdir, rename } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CallOptions } from './body.ts';
import { SystemClock } from './clock.ts';
import type { Config } from './config/config.ts';
import { ProxyError } from './errors.ts';
import { type HouseParts, storesOf } from './house-parts.ts';
import { GatheredRows } from './manifest/gathered-rows.ts';
import { localLock, noLock } from './manifest/local-lock.ts';
import { isManifestWhole } from './manifest/manifest-copy.ts';
import { ManifestRows } from './manifest/manifest-rows.ts';
import { rebuildManifest } from './manifest/rebuild-manifest.ts';
import { openDataFolder } from './node-identity.ts';
import { type OfflineOptions, openOfflineNode } from './offline-node.ts';
import { FOREVER } from './protocol/table-resource.ts';
import { gatherNotes } from './reindex-notes.ts';
import type { ReindexInput, ReindexNotes, ReindexResult, ReindexRow } from './reindex-schemas.ts';
import { notedStores } from './row-notes.ts';
import { openDatabase } from './sqlite/open-database.ts';
import { FOLDER_MODE, makeStaging } from './staging-folder.ts';
import { type Backend, isRecoverer } from './storage/backend.ts';
import { isDigest } from './storage/digest.ts';
import { syncPath } from './storage/folder-sync.ts';
import { keepersIn } from './storage/notes.ts';
import { workThrough } from './work-queue.ts';

/** Who is told how far it is. */
export interface ReindexWatcher {
  /** Once, before the first row. */
  gathered(notes: ReindexNotes): void;
  /** Once, after the last; not for a dry run. */
  done(result: ReindexResult): void;
}

/** What begins the name of the folder in which a manifest is made. */
const STAGING = 'reindex.';
/** Longest that the notes of the new manifest are waited for. */
const NOTED_MS = 60_000;
const SIDE_FILES = ['-wal', '-shm'];

/**
 * Makes the manifest of a configuration anew from what its stores keep of it beside their bodies: rows whose body is there, in new
 * epochs. Until the end the manifest that was there stays as it is; then it is put aside. To be called while no node runs: `alone`
 * rejects where one does. Throws `conflict` where there is a manifest with entries, unless `force`; `not-found` where there are no
 * notes; `unavailable` where a store cannot be asked; `aborted`.
 */
export async function* reindexNode(
  options: OfflineOptions & { readonly alone: () => Promise<void> },
  input: ReindexInput,
  watcher: ReindexWatcher,
  { signal }: CallOptions,
): AsyncGenerator<ReindexRow> {
  const { config } = options;
  const target = resolve(config.data, config.manifest.path);
  const { nodeId } = openDataFolder(config.data);
  await mkdir(dirname(target), { recursive: true, mode: FOLDER_MODE });
  await using old = await OldManifest.open(target, config);
  if (old.hasRows && !input.force)
    throw new ProxyError(
      'conflict',
      'reindex-node.open',
      `there is a manifest with entries, ${target}: --force makes a new one of it and of the notes`,
    );
  await using staging = await makeStaging(dirname(target), STAGING);
  using gathered = new GatheredRows(join(staging.path, 'gathered.db'));
  const staged = join(staging.path, basename(target));
  {
    // Of its own: opening the one in use would make or change it.
    const manifest = { ...config.manifest, path: join(staging.path, 'unused.db') };
    await using node = await openOfflineNode({ ...options, config: { ...config, manifest } });
    const parts = node.house;
    const stores =
      input.from === undefined
        ? await notedStores(config, parts.storage)
        : keepersIn(await parts.storage.named(input.from)).map((store) => ({
            name: store.name,
            store,
          }));
    const source = {
      owner: input.node ?? nodeId,
      stores,
      manifest: old.isWhole ? target : undefined,
    };
    const notes = await gatherNotes(source, gathered, { signal });
    gathered.settle();
    if (!input.dryRun) await adoptFiles(parts, { signal });
    watcher.gathered({ ...notes, bodies: gathered.bodyCount() });
    let isSomeThere = gathered.bodyCount() === 0;
    for await (const row of lookForBodies(parts, gathered, input, { signal })) {
      if (row.outcome === 'missing') gathered.drop(row);
      else isSomeThere = true;
      yield row;
    }
    if (input.dryRun) return;
    if (!isSomeThere)
      throw new ProxyError(
        'unavailable',
        'reindex-node.bodies',
        'not one of the bodies is there: are the storages the right ones, and mounted? Nothing was changed',
      );
  }
  const now = Date.now();
  for (const _ of rebuildManifest(gathered.rows(), { path: staged, now, forever: FOREVER })) {
    await nextTurn();
    signal?.throwIfAborted();
  }
  await syncPath(staged);
  await options.alone();
  watcher.done({ aside: await old.replace(staged, now) });
  await using node = await openOfflineNode(options);
  // What was not read may hold more.
  const forgetOthers = input.node === undefined && input.from === undefined;
  await node.rowNotes.flush(NOTED_MS, { forgetOthers });
}

/** Files of a disk that lost its node database get their rows back, as at any start. */
async function adoptFiles({ backends }: HouseParts, options: CallOptions): Promise<void> {
  for (const [, backend] of await backends()) {
    if (isRecoverer(backend) && (await isEmpty(backend, options))) await backend.recover(options);
  }
}

async function isEmpty(backend: Backend, options: CallOptions): Promise<boolean> {
  for await (const _ of backend.list(undefined, options)) return false;
  return true;
}

async function* lookForBodies(
  parts: HouseParts,
  gathered: GatheredRows,
  { concurrency }: ReindexInput,
  options: CallOptions,
): AsyncGenerator<ReindexRow> {
  yield* workThrough(
    gathered.bodies(),
    concurrency,
    async ({ digest, size, rule, rows }, { signal }): Promise<ReindexRow> => {
      const row = { digest, size, rule, answers: rows };
      if (!isDigest(digest)) return { ...row, outcome: 'missing' };
      for (const store of await storesOf(parts, [rule])) {
        if ((await store.stat(digest, { signal }))?.size === size)
          return { ...row, outcome: 'there' };
      }
      return { ...row, outcome: 'missing' };
    },
    options,
  );
}

/** The manifest that is there, or nothing, or what is left of one. */
class OldManifest implements AsyncDisposable {
  /** True: it can be read. */
  readonly isWhole: boolean;
  /** True: it is whole and has entries. */
  readonly hasRows: boolean;
  readonly #path: string;
  readonly #config: Config;
  readonly #rows: ManifestRows | undefined;
  readonly #version: number | undefined;

  private constructor(path: string, config: Config, isWhole: boolean) {
    this.#path = path;
    this.#config = config;
    this.isWhole = isWhole;
    this.#rows = isWhole ? ManifestRows.open(path) : undefined;
    this.hasRows = this.#rows?.hasRows() ?? false;
    this.#version = this.#rows?.version();
  }

  static async open(path: string, config: Config): Promise<OldManifest> {
    const isWhole = existsSync(path) && (await isManifestWhole(path));
    return new OldManifest(path, config, isWhole);
  }

  /** Puts another in its place in one step, and gives where it lies now. Throws `conflict` where it was changed meanwhile. */
  async replace(staged: string, now: number): Promise<string | undefined> {
    const clock = new SystemClock();
    const { type, acquireMs } = this.#config.manifest.lock;
    const isLocked = process.platform === 'linux' && type === 'local';
    await using lock = isLocked
      ? localLock(this.#path, { clock, acquireTimeoutMs: acquireMs })
      : noLock({ clock });
    await using _lease = await lock.acquire();
    if (this.#rows?.version() !== this.#version)
      throw new ProxyError(
        'conflict',
        'reindex-node.replace',
        'the manifest was changed meanwhile: run it again',
      );
    this.#rows?.[Symbol.dispose]();
    if (this.isWhole) foldLog(this.#path);
    const aside = `${this.#path}.replaced-${new Date(now).toISOString().replaceAll(':', '-')}`;
    const isThere = existsSync(this.#path);
    // The old one stays in its place until the new one takes it; a log that is not its own would be read into the new one.
    if (isThere) await link(this.#path, aside);
    for (const suffix of SIDE_FILES)
      if (existsSync(this.#path + suffix)) await rename(this.#path + suffix, aside + suffix);
    await rename(staged, this.#path);
    await syncPath(dirname(this.#path));
    return isThere ? aside : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#rows?.[Symbol.dispose]();
  }
}

// So that the file alone is all of it, at whatever moment this process ends.
function foldLog(path: string): void {
  const database = openDatabase(path);
  try {
    database.pragma('wal_checkpoint(TRUNCATE)');
  } finally {
    database.close();
  }
}
