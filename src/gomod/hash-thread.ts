import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { HashInspection, type HashPort } from './hash-inspection.ts';
import type { FromHashThread, ToHashThread } from './hash-messages.ts';
import type { ModuleVersion } from './zip-verdict.ts';

/** How the thread is made. */
export interface HashThreadOptions {
  /** The module that runs in it. Absent: the one that hashes. */
  readonly entry?: URL | undefined;
  /** Milliseconds from its last start before which a thread that died is not started again. Absent: 1000. */
  readonly restartPauseMs?: number | undefined;
}

const RESTART_PAUSE_MS = 1000;
const SOURCE_CONDITION = '--conditions=caje-source';
/** What the thread's own memory may grow to, in MiB: many times what the largest directory needs. */
const MAX_HEAP = 512;

/**
 * A thread that unpacks and hashes the zips of all bodies under way, so that none stops the event loop. It starts with the
 * first body. If it dies, the bodies under way are left without a hash, and a later one starts it anew. It does not keep the
 * process alive but while something waits for what it finds.
 */
export class HashThread implements AsyncDisposable {
  readonly #entry: URL;
  readonly #pauseMs: number;
  readonly #open = new Map<number, HashInspection>();
  #worker: Worker | undefined;
  #startedAt = Number.NEGATIVE_INFINITY;
  #nextId = 0;
  #waiting = 0;
  #isClosed = false;

  constructor(options: HashThreadOptions = {}) {
    this.#entry = options.entry ?? workerEntry();
    this.#pauseMs = options.restartPauseMs ?? RESTART_PAUSE_MS;
  }

  /** Looks at a module's zip while it passes. Takes a copy of each piece; holds back what is more than 1 MiB ahead of the thread. */
  inspectModuleZip(of: ModuleVersion): HashInspection {
    const id = this.#nextId++;
    const port: HashPort = {
      send: (message, moved) => this.#send({ id, ...message }, moved),
      open: () => this.#isReady() && this.#open.set(id, inspection) !== undefined,
      close: () => void this.#open.delete(id),
      waiting: (change) => this.#wait(change),
    };
    const inspection = new HashInspection(of, port);
    return inspection;
  }

  /** Ends the thread at once; bodies under way are left without a hash, and so are later ones. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #isReady(): boolean {
    if (this.#worker !== undefined) return true;
    if (this.#isClosed || performance.now() - this.#startedAt < this.#pauseMs) return false;
    this.#worker = this.#start();
    return true;
  }

  #start(): Worker {
    this.#startedAt = performance.now();
    // Without the condition a checkout would load workspace packages from a `dist` that nobody built.
    const isUnconditioned =
      this.#entry.href.endsWith('.ts') && !process.execArgv.includes(SOURCE_CONDITION);
    const worker = new Worker(this.#entry, {
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP },
      ...(isUnconditioned && { execArgv: [SOURCE_CONDITION] }),
    });
    worker.on('message', ({ id, taken, findings }: FromHashThread) =>
      this.#open.get(id)?.receive(taken, findings),
    );
    // Without a listener the error would end the process; `exit` follows it.
    worker.on('error', () => {});
    worker.on('exit', () => {
      this.#worker = undefined;
      for (const inspection of [...this.#open.values()])
        inspection.receive(0, { unknown: 'the thread that hashes ended' });
    });
    if (this.#waiting === 0) worker.unref();
    return worker;
  }

  #send(message: ToHashThread, moved: readonly ArrayBuffer[]): void {
    this.#worker?.postMessage(message, moved);
  }

  #wait(change: 1 | -1): void {
    this.#waiting += change;
    if (this.#waiting === 0) this.#worker?.unref();
    else this.#worker?.ref();
  }
}

/** The `.ts` file in a checkout, the `.js` beside it once built. */
function workerEntry(): URL {
  const source = new URL('./hash-worker.ts', import.meta.url);
  return existsSync(source) ? source : new URL('./hash-worker.js', import.meta.url);
}
