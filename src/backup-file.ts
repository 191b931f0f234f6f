import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { type BackupNote, backupNote, NOTE } from './backup-folder.ts';
import { bodyOf, type ManifestCopy } from './backup-parts.ts';
import type { BackupSource, RestoreBodies } from './backup-source.ts';
import type { Body, CallOptions } from './body.ts';
import { copyBody } from './copy-body.ts';
import { messageOf, ProxyError } from './errors.ts';
import { type HouseParts, storesOf } from './house-parts.ts';
import type { BodyRow } from './house-schemas.ts';
import { type NamedBody, namedBodies } from './manifest/manifest-copy.ts';
import { blocksOfStream, isDigest } from './storage/digest.ts';
import { badTar, type TarMember, tarMembers, tarSize } from './tar-members.ts';
import { TarWriter } from './tar-writer.ts';

const MANIFEST = 'manifest.db';
const BODY = /^bodies\/(.*)$/;
/** Larger notes are none of ours. Bytes. */
const MAX_NOTE = 256 * 1024 * 1024;
const FILE_MODE = 0o640;

/**
 * Writes a backup as one archive: the manifest, the bodies in order of digest, the note. Throws `conflict` where something lies
 * in its place, `integrity` for a body that turns out damaged in its middle: there is no file then.
 */
export async function* writeBackupFile(
  parts: HouseParts,
  file: string,
  copy: ManifestCopy,
  { signal }: CallOptions,
): AsyncGenerator<BodyRow> {
  await using tar = await TarWriter.open(file);
  await tar.addBody(MANIFEST, copy.size, createReadStream(copy.path));
  const missing: string[] = [];
  for (const { digest, size } of namedBodies(copy.path)) {
    signal?.throwIfAborted();
    const row = { digest, size };
    const body = isDigest(digest) ? await bodyOf(parts, digest, size, { signal }) : undefined;
    if (body === undefined) {
      missing.push(digest);
      yield { ...row, outcome: 'missing' };
      continue;
    }
    await addBody(tar, digest, size, body);
    yield { ...row, outcome: 'copied' };
  }
  await tar.add(NOTE, JSON.stringify(copy.note(missing)));
  await tar.finish();
}

// Its head is written by then, so there is no way back.
async function addBody(tar: TarWriter, digest: string, size: number, body: Body): Promise<void> {
  try {
    await tar.addBody(`bodies/${digest}`, size, body);
  } catch (cause) {
    body.destroy();
    const what = `the body ${digest} could not be read: ${messageOf(cause)}: run it again`;
    throw new ProxyError('integrity', 'backup-file.body', what, { cause });
  }
}

/** A backup that is one archive, read from its begin to its end. */
export class BackupFile implements BackupSource {
  readonly #file: string;
  readonly #members: AsyncGenerator<TarMember>;
  readonly #stop = new AbortController();
  #digest: string | undefined;

  private constructor(file: string) {
    this.#file = file;
    this.#members = tarMembers(file, { signal: this.#stop.signal });
  }

  /** Throws `invalid` where no file lies there. */
  static async open(file: string): Promise<BackupFile> {
    await tarSize(file);
    return new BackupFile(file);
  }

  async manifest(to: string): Promise<void> {
    const { value: member } = await this.#members.next();
    if (member === undefined || member.name !== MANIFEST)
      throw badTar(this.#file, `it does not begin with ${MANIFEST}, as a backup does`);
    await using target = await open(to, 'wx', FILE_MODE);
    const pieces = async function* (): AsyncGenerator<Buffer> {
      for await (const piece of member.body() as AsyncIterable<Buffer>) {
        await target.appendFile(piece);
        yield piece;
      }
    };
    this.#digest = (await blocksOfStream(pieces())).digest;
  }

  async *bodies(
    { parts, manifest }: RestoreBodies,
    { signal }: CallOptions,
  ): AsyncGenerator<BodyRow> {
    const named = namedBodies(manifest);
    const lacking: NamedBody[] = [];
    let next = named.next();
    let note: BackupNote | undefined;
    try {
      for (;;) {
        signal?.throwIfAborted();
        const { value: member, done } = await this.#members.next();
        if (done === true) break;
        if (note !== undefined) throw badTar(this.#file, `${member.shown} comes after its end`);
        if (member.name === NOTE) {
          note = await member.json(backupNote, MAX_NOTE);
          continue;
        }
        const digest = BODY.exec(member.name)?.[1] ?? '';
        for (; next.done !== true && next.value.digest < digest; next = named.next())
          lacking.push(next.value);
        if (next.done === true || next.value.digest !== digest)
          throw badTar(this.#file, `no backup has ${member.shown} there`);
        yield await put(parts, next.value, member, { signal });
        next = named.next();
      }
      for (; next.done !== true; next = named.next()) lacking.push(next.value);
    } finally {
      named.return(undefined);
    }
    if (note === undefined) throw badTar(this.#file, 'it is cut: its end is missing');
    if (note.manifest.digest !== this.#digest)
      throw badTar(this.#file, "the backup's manifest does not match its digest");
    yield* this.#tellLacking(lacking, note);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#members.return(undefined).catch(() => undefined);
  }

  *#tellLacking(lacking: readonly NamedBody[], note: BackupNote): Generator<BodyRow> {
    const missing = new Set(note.missing);
    for (const { digest, size } of lacking) {
      if (missing.has(digest)) yield { digest, size, outcome: 'missing' };
      else yield { digest, size, outcome: 'failed', problem: 'the backup does not have it' };
    }
  }
}

async function put(
  parts: HouseParts,
  { digest, size, rules }: NamedBody,
  member: TarMember,
  options: CallOptions,
): Promise<BodyRow> {
  const row = { digest, size };
  if (!isDigest(digest)) return { ...row, outcome: 'missing' };
  try {
    if (member.size !== size)
      throw new ProxyError(
        'integrity',
        'backup-file.body',
        `it has ${member.size} bytes instead of ${size}`,
      );
    let from: { readonly store: Awaited<ReturnType<typeof storesOf>>[number] } | undefined;
    let isNew = false;
    for (const store of await storesOf(parts, rules)) {
      if ((await store.stat(digest, options))?.size === size) {
        from ??= { store };
        continue;
      }
      // An archive is read once: what a second store lacks comes from the first.
      const body = from ? (await from.store.open(digest, options))?.body : member.body();
      if (body === undefined)
        throw new ProxyError('integrity', 'backup-file.body', 'it went away meanwhile');
      await copyBody({ digest, size, body }, store, parts.spool, options);
      from ??= { store };
      isNew = true;
    }
    return { ...row, outcome: isNew ? 'copied' : 'there' };
  } catch (error) {
    options.signal?.throwIfAborted();
    return { ...row, outcome: 'failed', problem: messageOf(error) };
  }
}
