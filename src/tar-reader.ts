import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Extract, extract, type Header } from 'tar-stream';
import type { z } from 'zod';
import { BLOCK_SIZE, type Body, type CallOptions } from './body.ts';
import { codeOf, kindOf, messageOf, ProxyError } from './errors.ts';
import { type Digest, isDigest } from './storage/digest.ts';
import { type TarEntry, tarEnd, tarEntry, tarHead } from './tar-schemas.ts';

/** What an archive has, in order: rows, and after them those of their bodies that came not before. */
export type TarPart =
  | { readonly rows: readonly TarEntry[] }
  | { readonly digest: Digest; readonly size: number; readonly body: Body };

/** Larger ones are none of ours. Bytes. */
const MAX_NOTE = 64 * 1024;
const MAX_ROWS = 16 * 1024 * 1024;
const ROWS = /^rows\/(\d{1,12})\.ndjson$/;
const BODY = /^bodies\/(.*)$/;

/** Bytes of an archive. Throws `invalid` where no file lies there. */
export async function tarSize(file: string): Promise<number> {
  try {
    const stats = await stat(file);
    if (stats.isFile()) return stats.size;
  } catch (cause) {
    throw new ProxyError('invalid', 'tar-reader.open', `cannot read ${file}: ${codeOf(cause)}`, {
      cause,
    });
  }
  throw new ProxyError('invalid', 'tar-reader.open', `${file} is no file`);
}

/**
 * Reads an archive part by part, in bounded memory; a body has to be read to its end before the next part is asked for. No name in
 * it is ever a path: what is not one of the few names there can be, or no plain file, ends it. Throws `integrity`, saying what
 * is wrong, also where the end is missing; `aborted`.
 */
export async function* readTar(
  file: string,
  { signal }: CallOptions = {},
): AsyncGenerator<TarPart> {
  await tarSize(file);
  const members: Extract = extract();
  const fed = pipeline(createReadStream(file, { highWaterMark: BLOCK_SIZE }), members, {
    ...(signal && { signal }),
  });
  // Whoever reads the members meets it too.
  fed.catch(() => undefined);
  const state: ReadState = { file, rows: 0, groups: -1, bodies: 0, isOver: false };
  try {
    for await (const member of members) {
      const content = new MemberContent(member as AsyncIterable<Buffer>);
      const part = await toPart(member.header, content, state);
      if (part !== undefined) yield part;
      await content.skip();
    }
    if (!state.isOver) throw bad(file, 'it is cut: its end is missing');
  } catch (error) {
    signal?.throwIfAborted();
    // The library's errors have no kind, those of the file system a code.
    if (kindOf(error) !== 'internal' || error instanceof ProxyError) throw error;
    throw bad(file, codeOf(error) ?? messageOf(error));
  } finally {
    members.destroy();
  }
}

interface ReadState {
  readonly file: string;
  rows: number;
  /** Members of rows so far; -1: the head did not come yet. */
  groups: number;
  bodies: number;
  isOver: boolean;
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

async function toPart(
  { name, type, size }: Header,
  content: MemberContent,
  state: ReadState,
): Promise<TarPart | undefined> {
  const shown = JSON.stringify(name.slice(0, 100));
  if (type !== 'file') throw bad(state.file, `${shown} is no plain file`);
  if (state.isOver) throw bad(state.file, `${shown} comes after its end`);
  if (state.groups < 0) {
    if (name !== 'caje.json') throw bad(state.file, `it begins with ${shown}, not with caje.json`);
    parse(
      tarHead,
      await textOf(content, { name, size, limit: MAX_NOTE }, state),
      'caje.json',
      state,
    );
    state.groups = 0;
    return undefined;
  }
  if (name === 'end.json') {
    const end = parse(
      tarEnd,
      await textOf(content, { name, size, limit: MAX_NOTE }, state),
      name,
      state,
    );
    if (end.rows !== state.rows || end.bodies !== state.bodies)
      throw bad(state.file, 'it does not hold what its end says');
    state.isOver = true;
    return undefined;
  }
  const group = ROWS.exec(name)?.[1];
  if (group !== undefined && Number(group) === state.groups) {
    const text = await textOf(content, { name, size, limit: MAX_ROWS }, state);
    const lines = text.split('\n').filter((line) => line !== '');
    state.groups += 1;
    state.rows += lines.length;
    return { rows: lines.map((line) => parse(tarEntry, line, name, state)) };
  }
  const digest = BODY.exec(name)?.[1] ?? '';
  if (!isDigest(digest)) throw bad(state.file, `no archive of caje has ${shown} there`);
  state.bodies += 1;
  return { digest, size, body: Readable.from(content.pieces(), { objectMode: false }) };
}

async function textOf(
  content: MemberContent,
  { name, size, limit }: { readonly name: string; readonly size: number; readonly limit: number },
  { file }: ReadState,
): Promise<string> {
  if (size > limit) throw bad(file, `${name} has ${size} bytes, more than ${limit}`);
  const pieces: Buffer[] = [];
  for await (const piece of content.pieces()) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

function parse<T>(schema: z.ZodType<T>, text: string, name: string, { file }: ReadState): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad(file, `${name} is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw bad(file, `${name}: ${issue?.path.join('.')}: ${issue?.message}`);
}

function bad(file: string, what: string): ProxyError {
  return new ProxyError(
    'integrity',
    'tar-reader.read',
    `${file} is damaged or no archive of caje: ${what}`,
  );
}
