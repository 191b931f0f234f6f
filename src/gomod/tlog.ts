import { hash } from 'node:crypto';
import { isPlain, strictBase64 } from './signed-note.ts';

/** State of a log: how many records, and the hash that stands for all of them. */
export interface Tree {
  readonly size: number;
  readonly hash: Buffer;
}

/** A record of a log as a lookup gives it. */
export interface LogRecord {
  /** Its number in the log, from 0. */
  readonly id: number;
  /** Lines, the last with its newline too. */
  readonly text: Buffer;
  /** What follows the record: a signed note with the tree. */
  readonly rest: Buffer;
}

/** A complete subtree: of 2^level records, from record `index` × 2^level on. */
export interface LogNode {
  readonly level: number;
  readonly index: number;
}

/** Bytes of a hash: SHA-256. */
export const HASH_SIZE: number = 32;

/** Records are counted in whole numbers that a double holds; the largest tree is 2^53 − 1. */
const MAX_LEVEL = 52;
const RECORD_PREFIX = Buffer.of(0);
const NODE_PREFIX = Buffer.of(1);
const TREE_TITLE = 'go.sum database tree';
const WHOLE_NUMBER = /^(?:0|[1-9]\d{0,15})$/;

/** Hash of a record's text (RFC 6962 §2.1). */
export function recordHash(text: Buffer): Buffer {
  return hash('sha256', Buffer.concat([RECORD_PREFIX, text]), 'buffer');
}

/** Hash of two subtrees side by side (RFC 6962 §2.1). */
export function nodeHash(left: Buffer, right: Buffer): Buffer {
  return hash('sha256', Buffer.concat([NODE_PREFIX, left, right]), 'buffer');
}

/** Hash of a complete subtree whose lowest hashes, 1, 2, 4, … of them, stand one after the other. */
export function subtreeHash(hashes: Buffer): Buffer {
  if (hashes.length === HASH_SIZE) return hashes;
  const half = hashes.length / 2;
  return nodeHash(subtreeHash(hashes.subarray(0, half)), subtreeHash(hashes.subarray(half)));
}

/** The complete subtrees that a tree of so many records consists of, the largest first; none for the empty tree. */
export function peaksOf(size: number): LogNode[] {
  const peaks: LogNode[] = [];
  for (let level = MAX_LEVEL; level >= 0; level--) {
    const count = Math.floor(size / 2 ** level);
    if (count % 2 === 1) peaks.push({ level, index: count - 1 });
  }
  return peaks;
}

/** Hash of the tree that consists of these complete subtrees, as `peaksOf` orders them. */
export function joinPeaks(hashes: readonly Buffer[]): Buffer {
  const [last, ...others] = hashes.toReversed();
  if (last === undefined) return hash('sha256', '', 'buffer');
  return others.reduce((right, left) => nodeHash(left, right), last);
}

/** The tree that a note's text describes; lines behind the three known ones are left out. Absent: malformed. As x/mod tlog.ParseTree. */
export function parseTree(text: Buffer): Tree | undefined {
  const [title, size, root, ...more] = text.toString().split('\n');
  const bytes = strictBase64(root ?? '');
  if (title !== TREE_TITLE || more.length === 0 || bytes?.length !== HASH_SIZE) return undefined;
  const records = wholeNumber(size);
  return records === undefined ? undefined : { size: records, hash: bytes };
}

/** Takes a lookup's answer apart. Absent: malformed. As x/mod tlog.ParseRecord. */
export function parseRecord(bytes: Buffer): LogRecord | undefined {
  const start = bytes.indexOf('\n') + 1;
  const end = bytes.indexOf('\n\n', start);
  if (start === 0 || end < 0) return undefined;
  const id = wholeNumber(bytes.toString('latin1', 0, start - 1));
  const text = bytes.subarray(start, end + 1);
  if (id === undefined || end === start || !isPlain(text)) return undefined;
  return { id, text, rest: bytes.subarray(end + 2) };
}

function wholeNumber(text: string | undefined): number | undefined {
  if (text === undefined || !WHOLE_NUMBER.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}
