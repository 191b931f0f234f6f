import { lstat, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallOptions } from '../body.ts';
import { codeOf, kindOf, messageOf, ProxyError } from '../errors.ts';
import type { BlobFolder } from './blob-folder.ts';
import { syncPath } from './folder-sync.ts';
import { isNoteName, isNoteOwner, NOTES_PLACE, type Note, type Notes } from './notes.ts';

const FILE_MODE = 0o640;
const FOLDER_MODE = 0o750;

/** Notes of a disk: files `rows/<owner>/<name>` below its folder. */
export class DiskNotes implements Notes {
  readonly #blobs: Pick<BlobFolder, 'root' | 'tempPath' | 'prepare'>;

  /** Notes on their way lie where bodies on their way do. */
  constructor(blobs: Pick<BlobFolder, 'root' | 'tempPath' | 'prepare'>) {
    this.#blobs = blobs;
  }

  async owners(options: CallOptions = {}): Promise<readonly string[]> {
    return await this.#translated('owners', options, async () => {
      const names = await namesIn(join(this.#blobs.root, NOTES_PLACE));
      return names.filter(isNoteOwner);
    });
  }

  async list(owner: string, options: CallOptions = {}): Promise<readonly Note[]> {
    return await this.#translated('list', options, async () => {
      const folder = this.#folderOf(owner);
      const notes: Note[] = [];
      for (const name of await namesIn(folder)) {
        if (!isNoteName(name)) continue;
        const stats = await lstat(join(folder, name)).catch(() => undefined);
        if (stats?.isFile()) notes.push({ name, size: stats.size });
      }
      return notes;
    });
  }

  async read(owner: string, name: string, options: CallOptions = {}): Promise<Buffer | undefined> {
    return await this.#translated('read', options, async () => {
      const path = join(this.#folderOf(owner), name);
      try {
        // Before it is opened: a pipe would hold up whoever opens it.
        if (!(await lstat(path)).isFile()) return undefined;
        return await readFile(path);
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined;
        throw error;
      }
    });
  }

  async write(
    owner: string,
    name: string,
    bytes: Buffer,
    options: CallOptions = {},
  ): Promise<void> {
    await this.#translated('write', options, async () => {
      const folder = this.#folderOf(owner);
      await this.#blobs.prepare();
      const made = await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
      const temporary = this.#blobs.tempPath();
      try {
        const file = await open(temporary, 'wx', FILE_MODE);
        try {
          await file.writeFile(bytes);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(temporary, join(folder, name));
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
      await syncPath(folder);
      if (made === undefined) return;
      await syncPath(join(this.#blobs.root, NOTES_PLACE));
      await syncPath(this.#blobs.root);
    });
  }

  async remove(owner: string, name: string, options: CallOptions = {}): Promise<void> {
    await this.#translated('remove', options, async () => {
      await rm(join(this.#folderOf(owner), name), { force: true });
    });
  }

  #folderOf(owner: string): string {
    return join(this.#blobs.root, NOTES_PLACE, owner);
  }

  async #translated<T>(verb: string, { signal }: CallOptions, call: () => Promise<T>): Promise<T> {
    try {
      signal?.throwIfAborted();
      return await call();
    } catch (error) {
      if (error instanceof ProxyError) throw error;
      const kind = kindOf(error) === 'aborted' ? 'aborted' : 'unavailable';
      const message = `${this.#blobs.root}: ${messageOf(error)}`;
      throw new ProxyError(kind, `disk-notes.${verb}`, message, { cause: error });
    }
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}
