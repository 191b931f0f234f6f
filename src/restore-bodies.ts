import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type BackupNote, manifestPlace, openBackupBody, readNote } from './backup-folder.ts';
import type { BackupSource, RestoreBodies } from './backup-source.ts';
import type { CallOptions } from './body.ts';
import { copyBody } from './copy-body.ts';
import { codeOf, kindOf, messageOf, ProxyError } from './errors.ts';
import { type HouseParts, storesOf } from './house-parts.ts';
import type { BodyRow } from './house-schemas.ts';
import { type NamedBody, namedBodies } from './manifest/manifest-copy.ts';
import { blocksOfStream, isDigest } from './storage/digest.ts';
import { workThrough } from './work-queue.ts';

/** So many bodies that a store refuses in a row end it: the rest would fare no better. */
const MAX_REFUSALS = 20;
const FILE_MODE = 0o640;

/** A backup that is a folder. */
export class FolderBackup implements BackupSource {
  readonly #folder: string;
  readonly #note: BackupNote;

  private constructor(folder: string, note: BackupNote) {
    this.#folder = folder;
    this.#note = note;
  }

  /** Throws `invalid` where the folder is no whole backup. */
  static async open(folder: string): Promise<FolderBackup> {
    return new FolderBackup(folder, await readNote(folder));
  }

  async manifest(to: string): Promise<void> {
    const { digest } = this.#note.manifest;
    const fail = (what: string): never => {
      throw new ProxyError('integrity', 'restore-bodies.manifest', `the backup's manifest ${what}`);
    };
    const from = join(this.#folder, manifestPlace(digest));
    const source = await open(from, 'r').catch((error: unknown) =>
      fail(codeOf(error) === 'ENOENT' ? 'is not there' : `cannot be read: ${codeOf(error)}`),
    );
    await using file = await open(to, 'wx', FILE_MODE);
    const pieces = async function* (): AsyncGenerator<Buffer> {
      for await (const piece of source.createReadStream() as AsyncIterable<Buffer>) {
        await file.appendFile(piece);
        yield piece;
      }
    };
    if ((await blocksOfStream(pieces())).digest !== digest) fail('does not match its digest');
  }

  async *bodies(
    { parts, manifest, concurrency }: RestoreBodies,
    options: CallOptions,
  ): AsyncGenerator<BodyRow> {
    const missing = new Set(this.#note.missing);
    let refusals = 0;
    yield* workThrough(
      namedBodies(manifest),
      concurrency,
      async (body, { signal }): Promise<BodyRow> => {
        const row = { digest: body.digest, size: body.size };
        if (missing.has(body.digest) || !isDigest(body.digest))
          return { ...row, outcome: 'missing' };
        try {
          const isNew = await putInto(parts, this.#folder, body, { signal });
          refusals = 0;
          return { ...row, outcome: isNew ? 'copied' : 'there' };
        } catch (error) {
          signal.throwIfAborted();
          if (kindOf(error) === 'unavailable' && ++refusals >= MAX_REFUSALS) throw error;
          return { ...row, outcome: 'failed', problem: messageOf(error) };
        }
      },
      options,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** False: it was there already, in each store that it belongs to. */
async function putInto(
  parts: HouseParts,
  folder: string,
  { digest, size, rules }: NamedBody,
  options: CallOptions,
): Promise<boolean> {
  if (!isDigest(digest)) return false;
  let isNew = false;
  for (const store of await storesOf(parts, rules)) {
    if ((await store.stat(digest, options))?.size === size) continue;
    const body = await openBackupBody(folder, digest, size);
    await copyBody({ digest, size, body }, store, parts.spool, options);
    isNew = true;
  }
  return isNew;
}
