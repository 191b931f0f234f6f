import { createHash, randomUUID } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import {
  chmod,
  copyFile,
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Body } from '../body.ts';
import { codeOf, ProxyError } from '../errors.ts';
import { isProcessAlive, processIdentity } from '../process-identity.ts';
import type { Leftover } from './backend.ts';
import { type Digest, isDigest } from './digest.ts';
import type { Durability } from './durability.ts';
import { FileSource } from './file-source.ts';
import { FolderSync, syncPath } from './folder-sync.ts';

const FILE_MODE = 0o640;
const FOLDER_MODE = 0o750;
const TEMP_FOLDER = 'tmp';
/** Names given before others get their turn. */
const TURN = 200;
/** Out of these, a file that cannot be opened says nothing about the file itself. */
const OUT_OF_RESOURCES: ReadonlySet<string | undefined> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'EAGAIN',
]);

/**
 * Files named by the digest of what they hold, `<first two characters>/<digest>`, and a folder for those on their way.
 * Errors of the file system pass through as they are.
 */
export class BlobFolder {
  readonly root: string;
  readonly #temp: string;
  readonly #isSynced: boolean;
  readonly #made = new Map<string, Promise<void>>();
  readonly #sync = new FolderSync(syncPath);

  constructor(root: string, durability: Durability = 'full') {
    this.root = root;
    this.#temp = join(root, TEMP_FOLDER);
    this.#isSynced = durability === 'full';
  }

  pathOf(digest: Digest): string {
    return join(this.root, digest.slice(0, 2), digest);
  }

  /** Makes the folders that everything else needs. */
  async prepare(): Promise<void> {
    await mkdir(this.#temp, { recursive: true, mode: FOLDER_MODE });
  }

  /** Moves a finished file to its digest; as durable as promised when it resolves. The file is gone from where it was, also on failure. */
  async publish(digest: Digest, size: number, file: string): Promise<void> {
    let from = file;
    try {
      await this.#finish(file, size);
      await this.#rename(digest, from).catch(async (error: unknown) => {
        if (codeOf(error) !== 'EXDEV') throw error;
        // The spool lies on another file system: only a copy can be renamed.
        await this.prepare();
        from = this.tempPath();
        await copyFile(file, from, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
        await this.#finish(from, size);
        await this.#rename(digest, from);
      });
    } finally {
      await rm(file, { force: true });
      if (from !== file) await rm(from, { force: true });
    }
  }

  /** Writes a body into a temporary file and gives its path. Throws `integrity` when it has another length or digest. */
  async write(digest: Digest, size: number, body: Body): Promise<string> {
    const path = this.tempPath();
    try {
      const file = await this.#createTemp(path);
      try {
        const hash = createHash('sha256');
        let written = 0;
        for await (const chunk of body as AsyncIterable<Buffer>) {
          hash.update(chunk);
          await file.appendFile(chunk);
          written += chunk.length;
        }
        if (written !== size || hash.digest('hex') !== digest) {
          throw new ProxyError(
            'integrity',
            'blob-folder.write',
            `${digest}: other bytes came than were sealed`,
          );
        }
      } finally {
        await file.close();
      }
      return path;
    } catch (error) {
      body.destroy();
      await rm(path, { force: true });
      throw error;
    }
  }

  /** A path in the temporary folder that says whose it is. */
  tempPath(): string {
    return join(this.#temp, `${processIdentity()}.${randomUUID()}`);
  }

  /** Writes and removes a file of `size` bytes, to see whether the folder takes it. */
  async probe(size: number): Promise<void> {
    const path = this.tempPath();
    try {
      const file = await this.#createTemp(path);
      try {
        await file.write(Buffer.alloc(size));
        await file.sync();
      } finally {
        await file.close();
      }
    } finally {
      await rm(path, { force: true });
    }
  }

  /** Opens a blob for reading. Throws `integrity` where it is no plain file of that size or may not be read, ENOENT where there is none. */
  async open(digest: Digest, size: number): Promise<FileSource> {
    let file: FileHandle;
    try {
      file = await open(
        this.pathOf(digest),
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT') throw error;
      const kind = OUT_OF_RESOURCES.has(code) ? 'unavailable' : 'integrity';
      throw new ProxyError(kind, 'blob-folder.open', `${digest} cannot be opened: ${code}`, {
        cause: error,
      });
    }
    try {
      const stats = await file.stat();
      const problem = problemOf(stats, size);
      if (problem === undefined) return new FileSource(file);
      throw new ProxyError('integrity', 'blob-folder.open', `${digest} ${problem}`);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Whether a plain file of that size lies there. */
  async has(digest: Digest, size: number): Promise<boolean> {
    try {
      return problemOf(await lstat(this.pathOf(digest)), size) === undefined;
    } catch {
      return false;
    }
  }

  /** Removes whatever lies at the digest's place. */
  async remove(digest: Digest): Promise<void> {
    await rm(this.pathOf(digest), { recursive: true, force: true });
  }

  /** Removes temporary files of processes that are gone; gives how many. */
  async sweep(): Promise<number> {
    let removed = 0;
    for await (const { name } of this.leftovers()) {
      await rm(join(this.root, name), { recursive: true, force: true });
      removed++;
    }
    return removed;
  }

  /** Temporary files of processes that are gone, by their path below the folder. */
  async *leftovers(): AsyncGenerator<Leftover> {
    for (const file of await namesIn(this.#temp)) {
      if (isProcessAlive(file.slice(0, file.indexOf('.')))) continue;
      const stats = await lstat(join(this.#temp, file)).catch(() => undefined);
      if (stats) yield { name: join(TEMP_FOLDER, file), size: stats.size };
    }
  }

  /** Every digest that has a file, folder by folder; others get their turn on the event loop meanwhile. */
  async *digests(): AsyncIterable<Digest> {
    for (const folder of await namesIn(this.root)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const [index, name] of (await namesIn(join(this.root, folder))).entries()) {
        if (index % TURN === TURN - 1) await nextTurn();
        if (isDigest(name) && name.startsWith(folder)) yield name;
      }
    }
  }

  async #createTemp(path: string): Promise<FileHandle> {
    try {
      return await open(path, 'wx', FILE_MODE);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      await this.prepare();
      return await open(path, 'wx', FILE_MODE);
    }
  }

  async #finish(path: string, size: number): Promise<void> {
    const file = await open(path, 'r+');
    try {
      const problem = problemOf(await file.stat(), size);
      if (problem !== undefined)
        throw new ProxyError('integrity', 'blob-folder.publish', `the spool file ${problem}`);
      if (this.#isSynced) await file.sync();
    } finally {
      await file.close();
    }
    await chmod(path, FILE_MODE);
  }

  async #rename(digest: Digest, from: string): Promise<void> {
    const folder = join(this.root, digest.slice(0, 2));
    await this.#makeFolder(folder);
    const to = this.pathOf(digest);
    try {
      await rename(from, to);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT') {
        // The folder was removed while we run: made again, once.
        this.#made.delete(folder);
        await this.#makeFolder(folder);
      } else if (code === 'EISDIR' || code === 'ENOTEMPTY' || code === 'ENOTDIR') {
        await rm(to, { recursive: true, force: true });
      } else throw error;
      await rename(from, to);
    }
    if (this.#isSynced) await this.#sync.run(folder);
  }

  // Once a process, also where it is there: the one that made it may have died before it was synced.
  async #makeFolder(folder: string): Promise<void> {
    const made = this.#made.get(folder) ?? this.#make(folder);
    this.#made.set(folder, made);
    try {
      await made;
    } catch (error) {
      this.#made.delete(folder);
      throw error;
    }
  }

  async #make(folder: string): Promise<void> {
    if (folder !== this.root) await this.#makeFolder(this.root);
    await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    if (!this.#isSynced) return;
    try {
      await this.#sync.run(dirname(folder));
    } catch (error) {
      // What the root lies in may be closed to us, as with a volume that was mounted for us: then it was there before.
      if (folder !== this.root || codeOf(error) !== 'EACCES') throw error;
    }
  }
}

function problemOf(stats: Stats, size: number): string | undefined {
  if (!stats.isFile()) return 'is no plain file';
  return stats.size === size ? undefined : `has ${stats.size} bytes instead of ${size}`;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
