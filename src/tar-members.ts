import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Extract, extract } from 'tar-stream';
import type { z } from 'zod';
import { BLOCK_SIZE, type Body, type CallOptions } from './body.ts';
import { codeOf, kindOf, messageOf, ProxyError } from './errors.ts';

/** A plain file of an archive. What is not read of it is skipped. */
export interface TarMember {
  /** As the archive has it: never a path. */
  readonly name: string;
  /** Its name for messages. */
  readonly shown: string;
  /** Bytes. */
  readonly size: number;
  /** All of it as a value. Throws `integrity` for one of more than `limit` bytes or of another form. */
  json<T>(schema: z.ZodType<T>, limit: number): Promise<T>;
  /** All of it as lines that are not empty. Throws `integrity` for one of more than `limit` bytes. */
  lines(limit: number): Promise<readonly string[]>;
  /** Its bytes. Destroying them leaves the rest of the archive readable. */
  body(): Body;
}

const SHOWN = 100;

/** Bytes of an archive. Throws `invalid` where no file lies there. */
export async function tarSize(file: string): Promise<number> {
  try {
    const stats = await stat(file);
    if (stats.isFile()) return stats.size;
  } catch (cause) {
    throw new ProxyError('invalid', 'tar-members.open', `cannot read ${file}: ${codeOf(cause)}`, {
      cause,
    });
  }
  throw new ProxyError('invalid', 'tar-members.open', `${file} is no file`);
}

/**
 * The members of an archive in order, in bounded memory, each to be read before the next is asked for. Throws `integrity` for anything
 * but plain files and for what is no archive or cut within a member; `invalid` where no file lies there; `aborted`.
 */
export async function* tarMembers(
  file: string,
  { signal }: CallOptions = {},
): AsyncGenerator<TarMember> {
  await tarSize(file);
  const members: Extract = extract();
  const fed = pipeline(createReadStream(file, { highWaterMark: BLOCK_SIZE }), members, {
    ...(signal && { signal }),
  });
  // Whoever reads the members meets it too.
  fed.catch(() => undefined);
  try {
    for await (const member of members) {
      const { name, type, size } = member.header;
      const shown = JSON.stringify(name.slice(0, SHOWN));
      if (type !== 'file') throw badTar(file, `${shown} is no plain file`);
      const content = new MemberContent(member as AsyncIterable<Buffer>);
      const text = async (limit: number): Promise<string> => {
        if (size > limit) throw badTar(file, `${shown} has ${size} bytes, more than ${limit}`);
        return await content.text();
      };
      yield {
        ...{ name, shown, size },
        json: async (schema, limit) => parseOf(file, shown, schema, await text(limit)),
        lines: async (limit) => (await text(limit)).split('\n').filter((line) => line !== ''),
        body: () => Readable.from(content.pieces(), { objectMode: false }),
      };
      await content.skip();
    }
  } catch (error) {
    signal?.throwIfAborted();
    // The library's errors have no kind, those of the file system a code.
    if (kindOf(error) !== 'internal' || error instanceof ProxyError) throw error;
    throw badTar(file, codeOf(error) ?? messageOf(error));
  } finally {
    members.destroy();
  }
}

/** A text of an archive as a value. Throws `integrity`, naming what is wrong. */
export function parseOf<T>(file: string, shown: string, schema: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw badTar(file, `${shown} is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw badTar(file, `${shown}: ${issue?.path.join('.')}: ${issue?.message}`);
}

/** What is said of an archive that cannot be read further. */
export function badTar(file: string, what: string): ProxyError {
  return new ProxyError(
    'integrity',
    'tar-members.read',
    `${file} is damaged or no archive of caje: ${what}`,
  );
}

/** The bytes of a member. Who stops reading leaves the rest of the archive readable, which destroying the member would not. */
class MemberContent {
  readonly #iterator: AsyncIterator<Buffer>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(member: AsyncIterable<Buffer>) {
    this.#iterator = member[Symbol.asyncIterator]();
  }

  async *pieces(): AsyncGenerator<Buffer> {
    for (;;) {
      const next = await this.#next();
      if (next.done === true) return;
      yield next.value;
    }
  }

  async text(): Promise<string> {
    const pieces: Buffer[] = [];
    for await (const piece of this.pieces()) pieces.push(piece);
    return Buffer.concat(pieces).toString('utf8');
  }

  /** Reads what is left. */
  async skip(): Promise<void> {
    while ((await this.#next()).done !== true);
  }

  // One at a time: the library's iterator knows only one that waits.
  async #next(): Promise<IteratorResult<Buffer, unknown>> {
    const next = this.#last.then(async () => await this.#iterator.next());
    this.#last = next.catch(() => undefined);
    return await next;
  }
}
