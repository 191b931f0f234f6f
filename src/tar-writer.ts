import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { link, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Pack, pack } from 'tar-stream';
import type { Body } from './body.ts';
import { codeOf, ProxyError } from './errors.ts';
import { isProcessAlive, processIdentity } from './process-identity.ts';
import { syncPath } from './storage/folder-sync.ts';

const FILE_MODE = 0o600;
const MEMBER_MODE = 0o644;
const SUFFIX = '.part';

/**
 * An archive on its way to a file: written aside, and in its place only once it was finished. What a dead process left beside it
 * is removed. Times in it are 0, so that the same members give the same bytes.
 */
export class TarWriter implements AsyncDisposable {
  readonly #file: string;
  readonly #part: string;
  readonly #pack: Pack = pack();
  readonly #stop = new AbortController();
  readonly #written: Promise<void>;
  readonly #broken: Promise<never>;

  private constructor(file: string) {
    this.#file = file;
    this.#part = `${file}.${processIdentity()}${SUFFIX}`;
    const out = createWriteStream(this.#part, { flags: 'wx', mode: FILE_MODE, flush: true });
    this.#written = pipeline(this.#pack, out, { signal: this.#stop.signal });
    this.#broken = this.#written.then(
      async () => await new Promise<never>(() => {}),
      (cause: unknown) => {
        throw new ProxyError(
          'invalid',
          'tar-writer.write',
          `cannot write ${file}: ${codeOf(cause)}`,
          {
            cause,
          },
        );
      },
    );
    this.#broken.catch(() => undefined);
  }

  /** Throws `conflict` where something lies in its place, or is just being written, `invalid` where nothing can be written. */
  static async open(file: string): Promise<TarWriter> {
    const folder = dirname(file);
    try {
      const names = await readdir(folder);
      if (names.includes(basename(file))) throw taken(file);
      for (const name of names) {
        const isPart = name.startsWith(`${basename(file)}.`) && name.endsWith(SUFFIX);
        const owner = name.slice(basename(file).length + 1, -SUFFIX.length);
        if (!isPart) continue;
        if (isProcessAlive(owner)) throw taken(file);
        await rm(join(folder, name), { force: true });
      }
    } catch (cause) {
      if (cause instanceof ProxyError) throw cause;
      throw new ProxyError('invalid', 'tar-writer.open', `cannot use ${folder}: ${codeOf(cause)}`, {
        cause,
      });
    }
    return new TarWriter(file);
  }

  /** Adds a member that is all at hand. */
  async add(name: string, text: string): Promise<void> {
    const bytes = Buffer.from(text);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pack.entry(this.#head(name, bytes.length), bytes, () => resolve());
    await Promise.race([promise, this.#broken]);
  }

  /** Adds a body. Throws what reading it throws, or `integrity` for another length: the archive is of no use then. */
  async addBody(name: string, size: number, body: Body): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sink = this.#pack.entry(this.#head(name, size), (error) =>
      error ? reject(error) : resolve(),
    );
    promise.catch(() => undefined);
    let length = 0;
    for await (const piece of body as AsyncIterable<Buffer>) {
      length += piece.length;
      if (length > size) break;
      if (!sink.write(piece)) await Promise.race([once(sink, 'drain'), promise, this.#broken]);
    }
    if (length !== size)
      throw new ProxyError('integrity', 'tar-writer.body', `${length} bytes came of ${size}`);
    sink.end(undefined);
    await Promise.race([promise, this.#broken]);
  }

  /** Puts the archive in its place, on disk. Throws `conflict` where something came there meanwhile. */
  async finish(): Promise<void> {
    this.#pack.finalize();
    await Promise.race([this.#written, this.#broken]);
    try {
      // By a link and not by a rename: what came in between stays.
      await link(this.#part, this.#file);
    } catch (error) {
      throw codeOf(error) === 'EEXIST' ? taken(this.#file) : error;
    }
    await syncPath(dirname(this.#file));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#written.catch(() => undefined);
    await rm(this.#part, { force: true });
  }

  #head(name: string, size: number): { name: string; size: number; mode: number; mtime: Date } {
    return { name, size, mode: MEMBER_MODE, mtime: new Date(0) };
  }
}

function taken(file: string): ProxyError {
  return new ProxyError(
    'conflict',
    'tar-writer.open',
    `${file} is there already or being written: name another file`,
  );
}
