import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import { migrate } from '../sqlite/migrations.ts';
import { openDatabase } from '../sqlite/open-database.ts';
import { STORAGE_MIGRATIONS, STORAGE_SCHEMA } from './node-database-schema.ts';

/** How the node-local database is opened. */
export interface NodeDatabaseOptions {
  /** Of the file; its folder is made. Other folders keep tables of their own in it. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const FILE_MODE = 0o640;
const FOLDER_MODE = 0o750;

/** Makes the folder and the file, or brings its tables up to date; one marked as damaged is replaced. True: the file is new. */
export function prepareFile(options: NodeDatabaseOptions): boolean {
  const { path } = options;
  mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
  if (existsSync(markerOf(path)))
    return replaceDamaged(options, 'it was found damaged while in use');
  return prepare(path);
}

/** Puts the file aside, logs that and makes an empty one. True, as of `prepareFile`. */
export function replaceDamaged({ path, log, clock }: NodeDatabaseOptions, reason: string): boolean {
  const aside = `${path}.damaged-${clock.now()}`;
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  }
  rmSync(markerOf(path), { force: true });
  log.error({ path, aside, reason }, 'node database is damaged: put aside, a new one is made');
  return prepare(path);
}

/** Has the next `prepareFile` replace the file. */
export function markDamaged(path: string): void {
  try {
    writeFileSync(markerOf(path), '');
  } catch {
    // Without the mark the next start uses the file as far as it goes.
  }
}

function prepare(path: string): boolean {
  const isNew = !existsSync(path);
  closeSync(openSync(path, 'a', FILE_MODE));
  const database = openDatabase(path);
  try {
    migrate(database, STORAGE_SCHEMA, STORAGE_MIGRATIONS);
    return isNew;
  } finally {
    database.close();
  }
}

function markerOf(path: string): string {
  return `${path}.is-damaged`;
}
