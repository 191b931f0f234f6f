import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, rename, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Body } from './body.ts';
import { codeOf, ProxyError } from './errors.ts';
import { SpoolFolder } from './stashers/spool-folder.ts';
import { digestOf } from './storage/digest.ts';
import { syncPath } from './storage/folder-sync.ts';

/** A file to be written. */
export interface ExportFile {
  /** Relative to the folder; its parts are no `..`. */
  readonly path: string;
  /** SHA-256 in hex. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** Called when it has to be written. */
  open(): Promise<Body | Buffer>;
}

/** Where files lie until they are whole, one folder a process. */
const PARTS = '.caje-export';
/** Whoever serves the folder reads it. */
const FILE_MODE = 0o644;
const PRIVATE_MODE = 0o600;
const PRIVATE_FOLDER_MODE = 0o700;
/** How a folder is written into. */
export interface ExportFolderOptions {
  /** True: only for its owner to read, and each file is on disk before it is in its place. Absent: false. */
  readonly isPrivate?: boolean | undefined;
}

/** Folders that this process writes into now. */
const busy = new Set<string>();

/**
 * A folder in which each file is whole or not there: written aside, checked and renamed. What a dead process left is removed.
 */
export class ExportFolder implements AsyncDisposable {
  readonly root: string;
  readonly #parts: SpoolFolder;
  readonly #isPrivate: boolean;

  private constructor(root: string, isPrivate: boolean) {
    this.root = root;
    this.#isPrivate = isPrivate;
    this.#parts = new SpoolFolder(join(root, PARTS), Number.POSITIVE_INFINITY);
  }

  /** Makes the folder if it is not there. Throws `invalid` where that cannot be done, `conflict` while it is written into. */
  static async open(
    root: string,
    { isPrivate = false }: ExportFolderOptions = {},
  ): Promise<ExportFolder> {
    if (busy.has(root))
      throw new ProxyError('conflict', 'export-folder.open', `another export writes into ${root}`);
    busy.add(root);
    try {
      await mkdir(root, { recursive: true, ...(isPrivate && { mode: PRIVATE_FOLDER_MODE }) });
      const folder = new ExportFolder(root, isPrivate);
      await folder.#parts.recover();
      return folder;
    } catch (cause) {
      busy.delete(root);
      const what = codeOf(cause) === 'EEXIST' ? 'it is no folder' : codeOf(cause);
      throw new ProxyError('invalid', 'export-folder.open', `cannot write into ${root}: ${what}`, {
        cause,
      });
    }
  }

  /** Puts a file in its place unless the same bytes lie there. Throws `integrity` for bytes of another digest, or the file system's error. */
  async put(file: ExportFile): Promise<'written' | 'there'> {
    const place = join(this.root, file.path);
    if (await isSame(place, file)) return 'there';
    const made = await mkdir(dirname(place), { recursive: true });
    if (made !== undefined && this.#isPrivate) await syncPath(dirname(made));
    const part = await this.#parts.create();
    let isWhole = false;
    try {
      try {
        isWhole = (await copy(await file.open(), part.handle)) === file.digest;
        await part.handle.chmod(this.#isPrivate ? PRIVATE_MODE : FILE_MODE);
        if (this.#isPrivate) await part.handle.sync();
      } finally {
        await part.handle.close();
      }
      if (!isWhole)
        throw new ProxyError('integrity', 'export-folder.put', 'its bytes do not match its digest');
      await rename(part.path, place);
      if (this.#isPrivate) await syncPath(dirname(place));
      return 'written';
    } catch (error) {
      await this.#parts.remove(part.path);
      throw error;
    }
  }

  /** The same for a text. */
  async putText(path: string, text: string): Promise<'written' | 'there'> {
    const bytes = Buffer.from(text);
    const file = { path, digest: digestOf(bytes), size: bytes.length };
    return await this.put({ ...file, open: async () => bytes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.close();
    await rmdir(join(this.root, PARTS)).catch(() => undefined);
    busy.delete(this.root);
  }
}

/** Writes it all; gives the SHA-256 in hex of what was written. */
async function copy(source: Body | Buffer, to: FileHandle): Promise<string> {
  const hash = createHash('sha256');
  const pieces = Buffer.isBuffer(source) ? [source] : (source as AsyncIterable<Buffer>);
  for await (const piece of pieces) {
    hash.update(piece);
    for (let from = 0; from < piece.length; ) {
      const { bytesWritten } = await to.write(piece.subarray(from));
      from += bytesWritten;
    }
  }
  return hash.digest('hex');
}

async function isSame(path: string, { digest, size }: ExportFile): Promise<boolean> {
  try {
    const found = await stat(path);
    if (!found.isFile() || found.size !== size) return false;
    const hash = createHash('sha256');
    for await (const piece of createReadStream(path) as AsyncIterable<Buffer>) hash.update(piece);
    return hash.digest('hex') === digest;
  } catch (error) {
    // What cannot be read is written anew, and that says why if it cannot be either.
    if (codeOf(error) === undefined) throw error;
    return false;
  }
}
