import { open } from 'node:fs/promises';

/** Brings a file, or what happened in a folder (a rename, a new file), to the disk. Errors of the file system pass through. */
export async function syncPath(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
}

/** Syncs of folders: all that ask while one is running share the next one. */
export class FolderSync {
  readonly #sync: (path: string) => Promise<void>;
  /** By folder that is being synced: who waits for the sync after this one. */
  readonly #waiting = new Map<string, PromiseWithResolvers<void>[]>();

  /** `sync` brings one folder to the disk. */
  constructor(sync: (path: string) => Promise<void>) {
    this.#sync = sync;
  }

  /** Resolves once a sync of the folder is done that began after this call. Rejects as it does, and as one that ran before it. */
  async run(path: string): Promise<void> {
    const waiter = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(path);
    if (waiting !== undefined) waiting.push(waiter);
    else void this.#work(path, [waiter]);
    await waiter.promise;
  }

  async #work(path: string, first: PromiseWithResolvers<void>[]): Promise<void> {
    for (let group = first; group.length > 0; group = this.#waiting.get(path) ?? []) {
      this.#waiting.set(path, []);
      try {
        await this.#sync(path);
        for (const { resolve } of group) resolve();
      } catch (error) {
        // The kernel tells of a failed write once: a later sync may succeed without what these renamed.
        for (const { reject } of [...group, ...(this.#waiting.get(path) ?? [])]) reject(error);
        this.#waiting.set(path, []);
      }
    }
    this.#waiting.delete(path);
  }
}
