import { buffer } from 'node:stream/consumers';
import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { kindOf } from '../errors.ts';
import { isNoteName, isNoteOwner, type Note, type Notes } from './notes.ts';
import type { S3ClientOptions } from './s3-client.ts';
import { S3Connection } from './s3-connection.ts';
import { S3Objects } from './s3-objects.ts';

/** After every name of a note. */
const LAST = '~';

/** Notes of a bucket: objects `<prefix>rows/<owner>/<name>`. */
export class S3Notes implements Notes, Disposable {
  readonly #connection: S3Connection;
  readonly #objects: S3Objects;
  readonly #prefix: string;

  /**
   * `prefix`: what the keys of all notes begin with, a slash at its end. Asked over a connection of their own: a store that
   * refuses notes still takes bodies.
   */
  constructor(options: S3ClientOptions, clock: Clock, prefix: string) {
    this.#connection = new S3Connection(options, clock);
    this.#objects = new S3Objects(this.#connection);
    this.#prefix = prefix;
  }

  async owners(options: CallOptions = {}): Promise<readonly string[]> {
    const owners: string[] = [];
    for (let after: string | undefined; ; ) {
      const { objects } = await this.#objects.page(this.#prefix, after, undefined, options);
      const [first] = objects;
      if (first === undefined) return owners;
      const [owner = '', name] = first.key.slice(this.#prefix.length).split('/');
      if (name !== undefined && isNoteOwner(owner)) owners.push(owner);
      // One question for each owner, however many notes it has.
      after = name === undefined ? first.key : `${this.#prefix}${owner}/${LAST}`;
    }
  }

  async list(owner: string, options: CallOptions = {}): Promise<readonly Note[]> {
    const prefix = this.#keyOf(owner, '');
    const notes: Note[] = [];
    for await (const { key, size } of this.#objects.all(prefix, options)) {
      const name = key.slice(prefix.length);
      if (isNoteName(name)) notes.push({ name, size });
    }
    return notes;
  }

  async read(owner: string, name: string, options: CallOptions = {}): Promise<Buffer | undefined> {
    try {
      const key = this.#keyOf(owner, name);
      return await buffer(await this.#objects.get(key, undefined, undefined, options));
    } catch (error) {
      if (kindOf(error) === 'not-found') return undefined;
      throw error;
    }
  }

  async write(
    owner: string,
    name: string,
    bytes: Buffer,
    options: CallOptions = {},
  ): Promise<void> {
    await this.#objects.put(this.#keyOf(owner, name), bytes, false, options);
  }

  async remove(owner: string, name: string, options: CallOptions = {}): Promise<void> {
    await this.#objects.delete(this.#keyOf(owner, name), options);
  }

  [Symbol.dispose](): void {
    this.#connection.destroy();
  }

  #keyOf(owner: string, name: string): string {
    return `${this.#prefix}${owner}/${name}`;
  }
}
