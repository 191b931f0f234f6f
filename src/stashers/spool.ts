import type { Body, OpenOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { Digest } from '../storage/digest.ts';
import { SMALL_BODY } from '../storage/small-body.ts';
import { GrowingFile } from './growing-file.ts';
import { PieceWindow } from './piece-window.ts';
import type { SpoolFolder } from './spool-folder.ts';
import { SpoolFollower, type SpoolSource } from './spool-follower.ts';

/** Newest bytes kept in memory for readers at the live edge. */
const WINDOW = 256 * 1024;

/** Bytes that may wait for the disk before the origin is held back. */
const MAX_UNWRITTEN = 1024 * 1024;
/** A reader that takes nothing for this long may not hold up the others once there is no file to read behind from. Milliseconds. */
const STALL_MS = 30_000;

export interface SpoolOptions {
  readonly folder: SpoolFolder;
  /** True: the last byte is shown only once the body is sealed, because its digest still has to be checked. */
  readonly holdBack: boolean;
  /** True: the file is hashed behind, for `digest`. */
  readonly isHashed: boolean;
  /** True: nobody but readers of the spool keeps what is appended, so that its memory is given back (`giveBack`). */
  readonly isGivenBack: boolean;
  /** Called once when the body can no longer be kept: no room, or the disk failed. Clients go on. */
  onGivenUp(error: ProxyError): void;
}

/**
 * One body as it grows, read by any number from byte 0 at any time. The newest bytes are in memory, all of them in one file once they
 * pass `SMALL_BODY`. If that cannot grow, the body goes on at the pace of its slowest reader, and nobody new may join.
 */
export class Spool implements SpoolSource {
  readonly #holdBack: boolean;
  readonly #onGivenUp: (error: ProxyError) => void;
  readonly #followers = new Set<SpoolFollower>();
  readonly #window: PieceWindow;
  readonly #file: GrowingFile;
  #fileTaken = false;
  #writing: Promise<void> | undefined;
  #awaited: Promise<void> | undefined;
  #givenUp = false;
  #sealed = false;
  #failure: Error | undefined;
  #released = false;
  #roomWaiters: (() => void)[] = [];

  constructor(options: SpoolOptions) {
    this.#file = new GrowingFile(options.folder, options.isHashed);
    this.#window = new PieceWindow(options.isGivenBack);
    this.#holdBack = options.holdBack;
    this.#onGivenUp = options.onGivenUp;
  }

  /** Bytes received. */
  get total(): number {
    return this.#window.end;
  }

  /** False: the first bytes are no longer to be had, so nobody may join. */
  get joinable(): boolean {
    return !this.#givenUp && this.#failure === undefined && !this.#released;
  }

  /** Readers that have not ended. */
  get followers(): number {
    return this.#followers.size;
  }

  /** The whole body, if it is sealed and never needed a file. */
  get bytes(): Buffer | undefined {
    if (!this.#sealed || this.#file.path !== undefined || this.#givenUp) return undefined;
    return this.#window.whole();
  }

  /** No file is made before this settles: the origin is held back meanwhile, once some is in memory. */
  waitForRoom(room: Promise<unknown>): void {
    const awaited = Promise.allSettled([this.#awaited, room]).then(() => {
      if (this.#awaited === awaited) this.#awaited = undefined;
    });
    this.#awaited = awaited;
  }

  /** Takes the next bytes; what it gives has to be awaited before more are handed in. Absent: go on at once. */
  append(bytes: Buffer): Promise<void> | undefined {
    if (bytes.length === 0) return undefined;
    this.#window.push(bytes);
    if (!this.#givenUp && this.total > SMALL_BODY) this.#writing ??= this.#write();
    for (const follower of this.#followers) follower.wake();
    this.#trim();
    return this.#mustWait() ? this.#room() : undefined;
  }

  /** The body is whole: readers may have its end. Resolves when the file, if there is one, has every byte. */
  async seal(): Promise<void> {
    await this.#written();
    this.#sealed = true;
    for (const follower of this.#followers) follower.wake();
    this.#tidy();
  }

  /** SHA-256 of a body that is hashed behind, after its last piece. Rejects with `unavailable` where it has no whole file. */
  async digest(): Promise<Digest> {
    await this.#written();
    if (this.#givenUp) throw new ProxyError('unavailable', 'spool.digest', 'the body is not kept');
    return await this.#file.digest();
  }

  /** The body was cut: readers end with the error, never cleanly. */
  fail(error: Error): void {
    if (this.#sealed || this.#failure) return;
    this.#failure = error;
    for (const follower of [...this.#followers]) follower.destroy(error);
    this.#wakeRoom();
    this.#tidy();
  }

  /** The body will not be kept: it goes on through memory alone, for those who read it now. */
  stopKeeping(error: ProxyError): void {
    this.#giveUp(error);
  }

  /** Nobody new will open it: the file goes with the last reader, unless it was taken. */
  release(): void {
    this.#released = true;
    this.#tidy();
  }

  /** A reader from byte 0 or of a range; `joinable` has to be asked first. */
  open(options: OpenOptions = {}): Body {
    const follower = new SpoolFollower(this, options);
    if (this.#failure) follower.destroy(this.#failure);
    else this.#followers.add(follower);
    return follower;
  }

  /** The finished file, to be renamed by the caller, whose it is then. Absent: there is none. */
  takeFile(): string | undefined {
    const { path } = this.#file;
    if (!this.#sealed || path === undefined || this.#fileTaken || this.#givenUp) return undefined;
    this.#fileTaken = true;
    return path;
  }

  // --- what a follower asks ---

  get visible(): number {
    if (this.#sealed || !this.#holdBack) return this.total;
    // One byte is enough: without it no client can take the body for whole.
    return Math.max(0, this.total - 1);
  }

  get ended(): boolean {
    return this.#sealed;
  }

  memory(position: number, limit: number): Buffer | undefined {
    return this.#window.at(position, limit);
  }

  async disk(position: number, length: number): Promise<Buffer> {
    return await this.#file.read(position, length);
  }

  moved(): void {
    if (this.#givenUp) {
      this.#trim();
      if (!this.#mustWait()) this.#wakeRoom();
    }
  }

  left(follower: SpoolFollower): void {
    this.#followers.delete(follower);
    this.moved();
    this.#tidy();
  }

  // --- the disk side ---

  async #write(): Promise<void> {
    try {
      await this.#awaited;
      await this.#file.create();
      while (this.#file.size < this.total && !this.#givenUp) {
        const pieces = this.#window.from(this.#file.size);
        await this.#file.append(pieces, this.total - this.#file.size);
        this.#trim();
        if (!this.#mustWait()) this.#wakeRoom();
      }
    } catch (error) {
      this.#giveUp(error);
    } finally {
      this.#writing = undefined;
      if (!this.#mustWait()) this.#wakeRoom();
      this.#tidy();
    }
  }

  #giveUp(error: unknown): void {
    if (this.#givenUp || this.#sealed || this.#failure) return;
    this.#givenUp = true;
    this.#onGivenUp(
      error instanceof ProxyError
        ? error
        : new ProxyError('unavailable', 'spool.write', 'the spool cannot be written', {
            cause: error,
          }),
    );
    this.#trim();
  }

  // Bytes leave memory once they can be had from the file; without a file once every reader has had them.
  #trim(): void {
    if (this.#file.path === undefined && !this.#givenUp) return;
    const keepFrom = this.#givenUp
      ? this.#slowest()
      : Math.min(this.#file.size, this.total - WINDOW);
    this.#window.dropBefore(keepFrom, this.#holdBack);
  }

  async #written(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  #slowest(): number {
    let slowest = this.total;
    for (const follower of this.#followers)
      slowest = Math.min(slowest, Math.max(follower.position, this.#file.size));
    return slowest;
  }

  #mustWait(): boolean {
    if (this.#failure) return false;
    if (this.#givenUp) return this.#followers.size > 0 && this.#window.size > WINDOW;
    const isWritten = this.#file.path !== undefined || this.#awaited !== undefined;
    return isWritten && this.total - this.#file.size > MAX_UNWRITTEN;
  }

  async #room(): Promise<void> {
    while (this.#mustWait()) {
      const stalled = new Map(
        [...this.#followers].map((follower) => [follower, follower.position]),
      );
      let timer: NodeJS.Timeout | undefined;
      const inTime = await new Promise<boolean>((resolve) => {
        this.#roomWaiters.push(() => resolve(true));
        timer = setTimeout(() => resolve(false), STALL_MS).unref();
      });
      clearTimeout(timer);
      if (inTime || !this.#givenUp) continue;
      for (const [follower, position] of stalled) {
        if (follower.position === position && position < this.total)
          follower.destroy(
            new ProxyError('timeout', 'spool.read', 'the client took nothing for too long'),
          );
      }
    }
  }

  #wakeRoom(): void {
    const waiters = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const wake of waiters) wake();
  }

  #tidy(): void {
    const over = this.#failure !== undefined || (this.#released && this.#sealed);
    if (!over || this.#followers.size > 0 || this.#writing) return;
    this.#file.close(this.#fileTaken);
  }
}
