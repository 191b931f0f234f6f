import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { ProxyError } from '../errors.ts';
import { type Digest, parseDigest } from '../storage/digest.ts';
import type { FromDigestThread, ToDigestThread } from './digest-messages.ts';

/** What the thread's own memory may grow to, in MiB: it keeps nothing. */
const MAX_HEAP = 32;

/** A file that is hashed as it grows. */
export interface GrowingDigest {
  /** SHA-256 of the whole. Rejects where there is none. The file is read no longer once it settles. */
  readonly done: Promise<Digest>;
  /** The file has so many bytes. */
  grown(size: number): void;
  /** So many bytes are all. */
  end(size: number): void;
  /** Nobody wants it any more. */
  abort(): void;
}

/**
 * A thread that hashes files behind those who write them, and yields to everything else of this machine. It starts with the
 * first file; if it dies, the files under way are left without a digest, and the next one starts it anew.
 */
export class DigestThread implements AsyncDisposable {
  readonly #waiting = new Map<number, (message: FromDigestThread) => void>();
  #worker: Worker | undefined;
  #nextId = 0;

  /** Begins with an open file, which must stay open until `done` settles. */
  begin(file: number): GrowingDigest {
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<FromDigestThread>();
    this.#worker ??= this.#start();
    this.#worker.ref();
    this.#waiting.set(id, resolve);
    this.#send({ id, file, size: 0 });
    const done = promise.then(({ digest, problem = 'no digest' }) => {
      if (digest !== undefined) return parseDigest(digest);
      throw new ProxyError('unavailable', 'digest-thread', `a body cannot be hashed: ${problem}`);
    });
    done.catch(() => undefined);
    return {
      done,
      grown: (size) => this.#send({ id, size }),
      end: (size) => this.#send({ id, size, end: 'whole' }),
      abort: () => this.#send({ id, size: 0, end: 'aborted' }),
    };
  }

  /** Ends the thread at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(workerEntry(), {
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP },
    });
    worker.on('message', (message: FromDigestThread) => this.#settle(message));
    // Without a listener the error would end the process; `exit` follows it.
    worker.on('error', () => {});
    worker.on('exit', () => {
      this.#worker = undefined;
      for (const id of [...this.#waiting.keys()]) this.#settle({ id, problem: 'its thread ended' });
    });
    return worker;
  }

  #send(message: ToDigestThread): void {
    if (this.#waiting.has(message.id)) this.#worker?.postMessage(message);
  }

  #settle(message: FromDigestThread): void {
    this.#waiting.get(message.id)?.(message);
    this.#waiting.delete(message.id);
    if (this.#waiting.size === 0) this.#worker?.unref();
  }
}

/** The `.ts` file in a checkout, the `.js` beside it once built. */
function workerEntry(): URL {
  const source = new URL('./digest-worker.ts', import.meta.url);
  return existsSync(source) ? source : new URL('./digest-worker.js', import.meta.url);
}
