import { readFile } from 'node:fs/promises';

/** What a node shows to others. */
export interface TokenSource {
  /** As it was at the start. */
  readonly token: string;
  /** File that is read again while the node runs. Absent: the token stays. */
  readonly tokenFile?: string | undefined;
}

/** How long one reading counts. */
const READ_MS = 1000;

/** The token of a node as its file has it now; one that cannot be read or is empty is no reason to forget the last. */
export class PeerToken {
  readonly #file: string | undefined;
  #token: string;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor({ token, tokenFile }: TokenSource) {
    this.#token = token;
    this.#file = tokenFile;
  }

  /** At most a second old. Never rejects. */
  async current(): Promise<string> {
    if (this.#file === undefined || performance.now() - this.#readAt < READ_MS) return this.#token;
    this.#readAt = performance.now();
    const text = await readFile(this.#file, 'utf8').catch(() => '');
    this.#token = text.trim() || this.#token;
    return this.#token;
  }
}
