import type { Body, CallOptions } from './body.ts';
import { type Digest, isDigest } from './storage/digest.ts';
import { badTar, parseOf, type TarMember, tarMembers } from './tar-members.ts';
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

/**
 * Reads an archive part by part, in bounded memory; a body has to be read to its end before the next part is asked for. No name in
 * it is ever a path: what is not one of the few names there can be, or no plain file, ends it. Throws `integrity`, saying what
 * is wrong, also where the end is missing; `aborted`.
 */
export async function* readTar(file: string, options: CallOptions = {}): AsyncGenerator<TarPart> {
  const state: ReadState = { file, rows: 0, groups: -1, bodies: 0, isOver: false };
  for await (const member of tarMembers(file, options)) {
    const part = await toPart(member, state);
    if (part !== undefined) yield part;
  }
  if (!state.isOver) throw badTar(file, 'it is cut: its end is missing');
}

interface ReadState {
  readonly file: string;
  rows: number;
  /** Members of rows so far; -1: the head did not come yet. */
  groups: number;
  bodies: number;
  isOver: boolean;
}

async function toPart(member: TarMember, state: ReadState): Promise<TarPart | undefined> {
  const { file } = state;
  const { name, shown, size } = member;
  if (state.isOver) throw badTar(file, `${shown} comes after its end`);
  if (state.groups < 0) {
    if (name !== 'caje.json') throw badTar(file, `it begins with ${shown}, not with caje.json`);
    await member.json(tarHead, MAX_NOTE);
    state.groups = 0;
    return undefined;
  }
  if (name === 'end.json') {
    const end = await member.json(tarEnd, MAX_NOTE);
    if (end.rows !== state.rows || end.bodies !== state.bodies)
      throw badTar(file, 'it does not hold what its end says');
    state.isOver = true;
    return undefined;
  }
  const group = ROWS.exec(name)?.[1];
  if (group !== undefined && Number(group) === state.groups) {
    const lines = await member.lines(MAX_ROWS);
    state.groups += 1;
    state.rows += lines.length;
    return { rows: lines.map((line) => parseOf(file, name, tarEntry, line)) };
  }
  const digest = BODY.exec(name)?.[1] ?? '';
  if (!isDigest(digest)) throw badTar(file, `no archive of caje has ${shown} there`);
  state.bodies += 1;
  return { digest, size, body: member.body() };
}
