import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { BlobFolder } from './blob-folder.ts';
import type { Digest } from './digest.ts';
import type { Durability } from './durability.ts';
import { syncPath } from './folder-sync.ts';
import type { BlobRow, NodeDatabase } from './node-database.ts';

/** Below a disk's folder: in which boot of the machine bodies were written without a sync. */
export const UNSYNCED_NOTE = 'unsynced.json';
/** Linux gives each boot an id. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** Systems write back what lies in memory within half a minute or so; this is far more. Milliseconds. */
const WINDOW_MS = 10 * 60_000;
/** Rows read at a time. */
const PAGE = 500;
const FILE_MODE = 0o640;

/** Which files of a disk are watched, and where what is known of them lies. */
export interface UnsyncedBodiesOptions {
  /** The backend's. */
  readonly name: string;
  readonly folder: BlobFolder;
  readonly durability: Durability;
  readonly database: NodeDatabase;
  readonly clock: Clock;
}

const noteType = z.object({
  boot: z.string(),
  doubt: z.object({ from: z.number(), until: z.number() }).optional(),
});

type Note = z.infer<typeof noteType>;

/**
 * Files that were written without a sync shortly before the machine last stopped, so that the power may have taken some of their
 * bytes. Their lengths and digests tell in any case; this has them read once before a client gets the first byte.
 */
export class UnsyncedBodies {
  readonly #options: UnsyncedBodiesOptions;
  readonly #path: string;
  readonly #boot = bootId();
  readonly #checks = new Map<Digest, Promise<void>>();
  #isNoted: boolean;
  #noting: Promise<void> | undefined;
  #doubt: Note['doubt'];

  constructor(options: UnsyncedBodiesOptions) {
    this.#options = options;
    this.#path = join(options.folder.root, UNSYNCED_NOTE);
    const note = readNote(this.#path);
    this.#isNoted = note?.boot === this.#boot;
    if (note !== undefined) this.#doubt = this.#isNoted ? note.doubt : this.#lost(note);
  }

  /** Whether a body is in a file that may have lost bytes. */
  doubts({ place, modifiedAt }: Pick<BlobRow, 'place' | 'modifiedAt'>): boolean {
    const doubt = this.#doubt;
    if (doubt === undefined || place !== 0) return false;
    return modifiedAt >= doubt.from && modifiedAt < doubt.until;
  }

  /** To be called before a body is written. Throws what the file system does. */
  async note(): Promise<void> {
    if (this.#isNoted || this.#options.durability === 'full') return;
    this.#noting ??= this.#write().finally(() => {
      this.#noting = undefined;
    });
    await this.#noting;
  }

  /** Runs `check` of a body, once however many ask. One that failed is run again. */
  async checked(digest: Digest, check: () => Promise<unknown>): Promise<void> {
    const running = this.#checks.get(digest) ?? check().then(() => undefined);
    this.#checks.set(digest, running);
    try {
      await running;
    } catch (error) {
      this.#checks.delete(digest);
      throw error;
    }
  }

  /** Every body that is doubted, then never again. Each must have been checked before the next is asked for. */
  async *rows(): AsyncGenerator<BlobRow> {
    const { name, database, durability } = this.#options;
    const doubt = this.#doubt;
    if (doubt === undefined) return;
    let last = { modifiedAt: doubt.from, digest: Buffer.alloc(0) };
    for (;;) {
      const page = database.ages.page(name, last, PAGE);
      for (const { digest, modifiedAt } of page) {
        last = { modifiedAt, digest: Buffer.from(digest, 'hex') };
        const row = database.blob(name, digest);
        if (row !== undefined && this.doubts(row)) yield row;
      }
      if (page.length < PAGE || last.modifiedAt >= doubt.until) break;
    }
    this.#doubt = undefined;
    this.#checks.clear();
    if (this.#isNoted || durability === 'os') await this.#write();
    else await rm(this.#path, { force: true });
  }

  // What came before the last row may have reached the disk as little as the row of what came after it.
  #lost({ doubt }: Note): Note['doubt'] {
    const { name, database, clock } = this.#options;
    const now = clock.now();
    try {
      const newest = database.ages.newest(name);
      if (newest === undefined) return undefined;
      const from = Math.min(newest - WINDOW_MS, doubt?.from ?? newest);
      return { from, until: Math.max(now, newest + 1) };
    } catch {
      return { from: 0, until: now };
    }
  }

  async #write(): Promise<void> {
    const { folder } = this.#options;
    const note: Note = { boot: this.#boot, ...(this.#doubt && { doubt: this.#doubt }) };
    await folder.prepare();
    const temporary = folder.tempPath();
    try {
      const file = await open(temporary, 'wx', FILE_MODE);
      try {
        await file.writeFile(JSON.stringify(note));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.#path);
      await syncPath(folder.root);
      this.#isNoted = true;
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

// A note that cannot be read is one of another boot.
function readNote(path: string): Note | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  try {
    return noteType.parse(JSON.parse(text));
  } catch {
    return { boot: '' };
  }
}

// Where boots have no id, each process counts as one.
function bootId(): string {
  try {
    return readFileSync(BOOT_ID, 'utf8').trim();
  } catch {
    return randomUUID();
  }
}
