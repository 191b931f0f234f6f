import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HaltTimeoutError, NotLiteFsError } from './lock-error.ts';

/** Where a database is: counted in transactions, with a checksum over all of it. */
export interface Position {
  readonly txid: bigint;
  /** 16 hexadecimal digits. */
  readonly checksum: string;
}

/** How a position is waited for. */
export interface WaitOptions {
  /** Longest wait. Absent: 5,000 ms. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const WAIT_MS = 5000;
const POLL_MS = 2;
const POSITION = /^([0-9a-f]{16})\/([0-9a-f]{16})\n?$/;
const LAG = /^[+-]\d{9,10}\n?$/;
/** What `.lag` says before the first synchronisation. */
const NEVER_SYNCED = 2_147_483_647;

/**
 * Position of a database on this node, from `<database>-pos`. Absent: this node does not know the database, or no
 * LiteFS has it. Throws `NotLiteFsError` for a file of another form, and what reading throws (`ENOTCONN`: LiteFS died).
 */
export async function position(databasePath: string): Promise<Position | undefined> {
  const path = `${databasePath}-pos`;
  const text = await readOrAbsent(path);
  if (text === undefined) return undefined;
  const [, txid, checksum] = POSITION.exec(text) ?? [];
  if (txid === undefined || checksum === undefined)
    throw new NotLiteFsError(`${path} is no position of LiteFS`);
  return { txid: BigInt(`0x${txid}`), checksum };
}

/**
 * Milliseconds since this node last heard of its primary, from `.lag` beside the database; 0 on the primary, and where
 * there is no LiteFS. Absent: it was never in step. It is no measure of missing transactions: it grows on a node that
 * writes under HALT itself, and stays small on one whose last commit was cut off.
 */
export async function lag(databasePath: string): Promise<number | undefined> {
  const path = join(dirname(databasePath), '.lag');
  const text = await readOrAbsent(path);
  if (text === undefined) return 0;
  if (!LAG.test(text)) throw new NotLiteFsError(`${path} is no lag of LiteFS`);
  const value = Number(text);
  return value === NEVER_SYNCED ? undefined : value;
}

/** Host name of the primary as a connected replica knows it, from `.primary`. Absent: this is the primary, or not connected, or no LiteFS. */
export async function primary(databasePath: string): Promise<string | undefined> {
  const text = await readOrAbsent(join(dirname(databasePath), '.primary'));
  return text?.trimEnd();
}

/** Resolves with the position once the database has come to this transaction here, or further. Throws `HaltTimeoutError`, or the signal's reason. */
export async function waitForPosition(
  databasePath: string,
  txid: bigint,
  options: WaitOptions = {},
): Promise<Position> {
  const { timeoutMs = WAIT_MS, signal } = options;
  const end = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const now = await position(databasePath);
    if (now !== undefined && now.txid >= txid) return now;
    if (performance.now() >= end) throw new HaltTimeoutError(`${databasePath}-pos`, timeoutMs);
    await delay(POLL_MS);
  }
}

async function readOrAbsent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
