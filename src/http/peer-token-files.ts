import { readFile } from 'node:fs/promises';
import { messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { type PeerToken, peerToken } from './peer-tokens.ts';

/** The file of one token. */
export interface TokenFile {
  /** Name of the peer; two of one name are both valid. */
  readonly name: string;
  /** Absolute path. */
  readonly path: string;
}

/** How often the files are read again. Milliseconds. */
const READ_AGAIN_MS = 5_000;

/**
 * The tokens of peers as their files say now: one that changes, is emptied or goes away counts within seconds, without a
 * restart and without touching the others. Kept as hashes alone.
 */
export class PeerTokenFiles implements Disposable {
  readonly #files: readonly TokenFile[];
  readonly #log: Logger;
  readonly #tokens: (PeerToken | undefined)[];
  readonly #timer: NodeJS.Timeout;

  private constructor(files: readonly TokenFile[], tokens: readonly PeerToken[], log: Logger) {
    this.#files = files;
    this.#tokens = [...tokens];
    this.#log = log;
    this.#timer = setInterval(() => void this.refresh(), READ_AGAIN_MS);
    this.#timer.unref();
  }

  /** Reads them all. Throws `invalid` naming the peer for one that cannot be read or could be guessed. */
  static async open(files: readonly TokenFile[], log: Logger): Promise<PeerTokenFiles> {
    return new PeerTokenFiles(files, await Promise.all(files.map(readToken)), log);
  }

  /** Those that are valid now. */
  get current(): readonly PeerToken[] {
    return this.#tokens.filter((token) => token !== undefined);
  }

  /** Reads the files again; what cannot be read is valid no longer. Never throws. */
  async refresh(): Promise<void> {
    await Promise.all(
      this.#files.map(async (file, index) => {
        const before = this.#tokens[index];
        try {
          const token = await readToken(file);
          this.#tokens[index] = token;
          if (before?.hash.equals(token.hash) !== true)
            this.#log.info({ peer: file.name }, 'a peer has a new token');
        } catch (error) {
          this.#tokens[index] = undefined;
          if (before !== undefined)
            this.#log.warn(
              { peer: file.name, err: messageOf(error) },
              'a token of a peer is valid no longer',
            );
        }
      }),
    );
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

async function readToken({ name, path }: TokenFile): Promise<PeerToken> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ProxyError(
      'invalid',
      'peer-token-files.read',
      `the token of peer ${name} cannot be read from ${path}: ${messageOf(cause)}`,
      { cause },
    );
  }
  return peerToken(name, text.trim());
}
