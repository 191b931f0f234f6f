import { kindOf, messageOf } from '../errors.ts';
import { sqliteCode } from '../sqlite/open-database.ts';
import type { Notify } from '../sqlite/serve-writer.ts';
import type { WriterEvent } from './writer-protocol.ts';

const FIRST_PAUSE_MS = 20;
const LAST_PAUSE_MS = 2000;

/** What keeps the writer from writing: told once per change of state, counted each time, with growing pauses. */
export class WriterTrouble {
  readonly #notify: Notify<WriterEvent>;
  #problem: string | undefined;
  #pauseMs = 0;

  constructor(notify: Notify<WriterEvent>) {
    this.#notify = notify;
  }

  /** Whether there is any. */
  get isThere(): boolean {
    return this.#problem !== undefined;
  }

  /** Milliseconds to wait before the next try; 0: none. */
  get pauseMs(): number {
    return this.#pauseMs;
  }

  /** A try failed. */
  failed(error: unknown): void {
    const code = sqliteCode(error) ?? kindOf(error);
    const lockTimedOut = kindOf(error) === 'timeout';
    this.#notify(
      lockTimedOut
        ? { type: 'count', name: 'halt_timeouts_total', label: '' }
        : { type: 'count', name: 'commit_retries_total', label: code },
    );
    const jitter = 0.75 + Math.random() / 2;
    this.#pauseMs = Math.min(Math.max(FIRST_PAUSE_MS, this.#pauseMs * 2), LAST_PAUSE_MS) * jitter;
    this.say(messageOf(error), code);
  }

  /** A try succeeded. */
  solved(): void {
    this.#pauseMs = 0;
    if (this.#problem === undefined) return;
    this.#problem = undefined;
    this.#notify({ type: 'problem' });
  }

  /** Tells of a problem, unless it is the one told of last. */
  say(text: string, code?: string): void {
    if (this.#problem === text) return;
    this.#problem = text;
    this.#notify({ type: 'problem', text, code });
  }
}

/** Whether a connection that met the error may do better opened anew. */
export function wantsReopening(error: unknown): boolean {
  return /READONLY|IOERR|CANTOPEN|CORRUPT|NOTADB|PROTOCOL/.test(sqliteCode(error) ?? '');
}

/** Whether the change itself is refused: neither the file nor another party is to blame. */
export function isChangeAtFault(error: unknown): boolean {
  const code = sqliteCode(error);
  if (code !== undefined) return /CONSTRAINT|MISMATCH|TOOBIG|RANGE/.test(code);
  return error instanceof TypeError || error instanceof RangeError;
}
