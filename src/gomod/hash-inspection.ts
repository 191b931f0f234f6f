import type { ToHashThread } from './hash-messages.ts';
import type { ModuleVersion, ZipFindings } from './zip-verdict.ts';

/** What an inspection asks of the thread it speaks to. */
export interface HashPort {
  /** Sends a message of this body; `moved` goes with it and is gone here. */
  send(message: Omit<ToHashThread, 'id'>, moved: ArrayBuffer[]): void;
  /** The body begins. False: there is no thread for it. */
  open(): boolean;
  /** The body ended, however it did. */
  close(): void;
  /** Somebody waits for the thread (1) or no longer does (-1). */
  waiting(change: 1 | -1): void;
}

/** Smaller pieces travel together. Bytes. */
const BLOCK = 64 * 1024;
/** Bytes that the thread may be behind before a body is held back. */
const CREDIT = 1024 * 1024;

/** One body that a `HashThread` looks at; fits the inspector of any body. */
export class HashInspection {
  readonly #of: ModuleVersion;
  readonly #port: HashPort;
  readonly #found = Promise.withResolvers<ZipFindings>();
  /** Small pieces that were not sent yet. */
  #block: Uint8Array<ArrayBuffer> | undefined;
  #filled = 0;
  #outstanding = 0;
  #held: PromiseWithResolvers<void> | undefined;
  #state: 'new' | 'open' | 'over' = 'new';

  constructor(of: ModuleVersion, port: HashPort) {
    this.#of = of;
    this.#port = port;
  }

  /** Takes the next piece, which is free again on return; a promise holds the body back. Never throws or rejects. */
  write(piece: Buffer): Promise<void> | undefined {
    if (this.#state === 'over') return undefined;
    if (this.#filled + piece.length > BLOCK) this.#flush();
    if (piece.length >= BLOCK) this.#send(new Uint8Array(piece));
    else {
      this.#block ??= new Uint8Array(BLOCK);
      this.#block.set(piece, this.#filled);
      this.#filled += piece.length;
    }
    if (this.#outstanding <= CREDIT) return undefined;
    if (this.#held === undefined) {
      this.#held = Promise.withResolvers();
      this.#port.waiting(1);
    }
    return this.#held.promise;
  }

  /** What was found, after the last piece. Never rejects. */
  async end(): Promise<ZipFindings> {
    if (this.#state !== 'over') {
      this.#port.waiting(1);
      void this.#found.promise.then(() => this.#port.waiting(-1));
      this.#flush('whole');
    }
    return await this.#found.promise;
  }

  /** The body was cut: lets go of everything. */
  abort(): void {
    if (this.#state === 'open') this.#port.send({ end: 'aborted' }, []);
    this.#settle({ unknown: 'it was cut' });
  }

  /** What the thread says of this body. */
  receive(taken: number, findings: ZipFindings | undefined): void {
    this.#outstanding -= taken;
    if (findings !== undefined) this.#settle(findings);
    else if (this.#outstanding <= CREDIT / 2) this.#release();
  }

  #flush(end?: 'whole'): void {
    const piece = this.#block?.subarray(0, this.#filled);
    this.#block = undefined;
    this.#filled = 0;
    if (piece !== undefined || end !== undefined) this.#send(piece, end);
  }

  #send(piece: Uint8Array<ArrayBuffer> | undefined, end?: 'whole'): void {
    if (this.#state === 'over') return;
    const isFirst = this.#state === 'new';
    if (isFirst && !this.#port.open()) {
      this.#settle({ unknown: 'no thread could hash it' });
      return;
    }
    this.#state = 'open';
    this.#outstanding += piece?.length ?? 0;
    const of = isFirst ? this.#of : undefined;
    this.#port.send({ of, piece, end }, piece === undefined ? [] : [piece.buffer]);
  }

  #settle(findings: ZipFindings): void {
    this.#state = 'over';
    this.#block = undefined;
    this.#port.close();
    this.#release();
    this.#found.resolve(findings);
  }

  #release(): void {
    if (this.#held === undefined) return;
    this.#held.resolve();
    this.#held = undefined;
    this.#port.waiting(-1);
  }
}
