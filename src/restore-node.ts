import { existsSync } from 'node:fs';
import { link, mkdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { BackupFile } from './backup-file.ts';
import { readNote } from './backup-folder.ts';
import type { BackupSource } from './backup-source.ts';
import type { CallOptions } from './body.ts';
import { codeOf, ProxyError } from './errors.ts';
import type { BodyRow, HouseTotal, RestoreInput } from './house-schemas.ts';
import { beginNewEpochs, isManifestWhole } from './manifest/manifest-copy.ts';
import { openDataFolder } from './node-identity.ts';
import { type OfflineOptions, openOfflineNode } from './offline-node.ts';
import { FolderBackup } from './restore-bodies.ts';
import { FOLDER_MODE, makeStaging } from './staging-folder.ts';
import { syncPath } from './storage/folder-sync.ts';
import { tarSize } from './tar-members.ts';

/** What begins the name of the folder in which a manifest lies until its bodies are there. */
const STAGING = 'restore.';

/** How much `restoreNode` would look at; of an archive only its bytes are known. Throws `invalid` for what is no whole backup. */
export async function restoreTotal({ place }: RestoreInput): Promise<HouseTotal> {
  if (await isFile(place)) return { bodies: 0, bytes: await tarSize(place) };
  const { bodies, bytes } = await readNote(place);
  return { bodies, bytes };
}

/**
 * Makes the data folder of a configuration from a backup: bodies first, into the stores of today's rules, then the manifest, with a
 * new epoch, in one step. To be called while no node runs. Nothing is overwritten: throws `conflict` where there is a manifest already,
 * `invalid` for what is no whole backup, `integrity` for a damaged one, unless `partial` leaves its bodies out.
 */
export async function* restoreNode(
  options: OfflineOptions,
  { place, partial, concurrency }: RestoreInput,
  call: CallOptions,
): AsyncGenerator<BodyRow> {
  const { config } = options;
  const target = resolve(config.data, config.manifest.path);
  refuseExisting(target);
  await using source = await openBackup(place);
  openDataFolder(config.data);
  await mkdir(dirname(target), { recursive: true, mode: FOLDER_MODE });
  await using staging = await makeStaging(dirname(target), STAGING);
  const staged = join(staging.path, basename(target));
  await source.manifest(staged);
  if (!(await isManifestWhole(staged)))
    throw new ProxyError('integrity', 'restore-node.manifest', "the backup's manifest is damaged");
  beginNewEpochs(staged);
  let failed = 0;
  {
    const manifest = { ...config.manifest, path: staged };
    await using node = await openOfflineNode({ ...options, config: { ...config, manifest } });
    const input = { parts: node.house, manifest: staged, concurrency };
    for await (const row of source.bodies(input, call)) {
      if (row.outcome === 'failed') failed += 1;
      yield row;
    }
  }
  if (failed > 0 && !partial)
    throw new ProxyError(
      'integrity',
      'restore-node.bodies',
      `${failed} bodies could not be restored, so the manifest was not: --partial goes on without them, to be fetched again when they are asked for`,
    );
  await publish(staged, target);
}

async function openBackup(place: string): Promise<BackupSource> {
  return (await isFile(place)) ? await BackupFile.open(place) : await FolderBackup.open(place);
}

async function isFile(place: string): Promise<boolean> {
  return await stat(place).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

// By a link and not by a rename: what came in between stays.
async function publish(from: string, to: string): Promise<void> {
  await syncPath(from);
  try {
    await link(from, to);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') refuseExisting(to);
    throw error;
  }
  await syncPath(dirname(to));
}

function refuseExisting(path: string): void {
  if (!existsSync(path)) return;
  throw new ProxyError(
    'conflict',
    'restore-node.open',
    `there is a manifest already, ${path}: name another data folder, or move it away with its -wal and -shm`,
  );
}
