import { createReadStream } from 'node:fs';
import { type FileHandle, lstat, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BLOCK_SIZE, type Body } from './body.ts';
import { codeOf, ProxyError } from './errors.ts';
import { type Digest, isDigest } from './storage/digest.ts';

/** What `backup.json` says: written last, so that a folder without it is no backup yet. */
export interface BackupNote {
  readonly format: 'caje-backup';
  readonly version: 1;
  /** Version of caje that wrote it. */
  readonly caje: string;
  /** Milliseconds since the epoch: when the manifest was copied. */
  readonly createdAt: number;
  /** The manifest's copy, `manifests/<digest>.db`. */
  readonly manifest: { readonly digest: string; readonly size: number };
  /** Bodies that its rows name, and their bytes. */
  readonly bodies: number;
  readonly bytes: number;
  /** Those of them that no storage had when the backup was made. */
  readonly missing: readonly string[];
}

const digest = z.string().refine(isDigest, 'expected a SHA-256 in hex');
const size = z.int().min(0);
/** Reads the note. */
export const backupNote: z.ZodType<BackupNote> = z.object({
  format: z.literal('caje-backup'),
  version: z.literal(1),
  caje: z.string(),
  createdAt: z.int(),
  manifest: z.object({ digest, size }),
  bodies: size,
  bytes: size,
  missing: z.array(digest),
});

/** Name of the note. */
export const NOTE: string = 'backup.json';
/** Folder of the manifest's copies. */
export const MANIFESTS: string = 'manifests';
const BODIES = 'bodies';

/** Where a copy of the manifest lies, relative to the folder. */
export function manifestPlace(of: string): string {
  return `${MANIFESTS}/${of}.db`;
}

/** Where a body lies, relative to the folder. */
export function bodyPlace(of: Digest): string {
  return `${BODIES}/${of.slice(0, 2)}/${of}`;
}

/** Whether a folder may be written into: it is not there, empty, or has what an earlier backup left and nothing else. */
export async function mayHoldBackup(folder: string): Promise<boolean> {
  try {
    const names = await readdir(folder);
    const known = new Set([NOTE, MANIFESTS, BODIES, '.caje-export']);
    return names.every((name) => known.has(name));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    throw new ProxyError(
      'invalid',
      'backup-folder.open',
      `cannot read ${folder}: ${codeOf(error)}`,
    );
  }
}

/** Reads the note. Throws `invalid` where the folder is no whole backup, saying why. */
export async function readNote(folder: string): Promise<BackupNote> {
  const fail = (what: string): never => {
    throw new ProxyError('invalid', 'backup-folder.read', `${folder} is no whole backup: ${what}`);
  };
  let text: string;
  try {
    text = await readFile(join(folder, NOTE), 'utf8');
  } catch (error) {
    return fail(codeOf(error) === 'ENOENT' ? `it has no ${NOTE}` : `${NOTE}: ${codeOf(error)}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail(`${NOTE} is not JSON`);
  }
  const parsed = backupNote.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return fail(`${NOTE}: ${issue?.path.join('.')}: ${issue?.message}`);
}

/** A body of a backup, to be read from byte 0 and not checked. Throws `integrity` where no plain file of that size lies there. */
export async function openBackupBody(folder: string, of: Digest, bytes: number): Promise<Body> {
  const path = join(folder, bodyPlace(of));
  let file: FileHandle;
  try {
    // Before it is opened: a pipe would hold up whoever opens it.
    if (!(await lstat(path)).isFile()) throw damaged(of, 'is no plain file');
    file = await open(path, 'r');
  } catch (error) {
    if (error instanceof ProxyError) throw error;
    throw damaged(
      of,
      codeOf(error) === 'ENOENT' ? 'is not there' : `cannot be read: ${codeOf(error)}`,
    );
  }
  const found = await file.stat();
  if (found.size === bytes) return createReadStream(path, { fd: file, highWaterMark: BLOCK_SIZE });
  await file.close();
  throw damaged(of, `has ${found.size} bytes instead of ${bytes}`);
}

function damaged(of: Digest, what: string): ProxyError {
  return new ProxyError('integrity', 'backup-folder.body', `the backup's body ${of} ${what}`);
}
