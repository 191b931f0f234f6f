import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { PUT_COLUMNS, type SqlValue } from './manifest/entry-row.ts';
import { PURGE_KINDS } from './manifest/manifest.ts';
import type { RowNote } from './manifest/manifest-rows.ts';

/** The first line of each segment: what it is of and how far it goes. */
export interface SegmentHead {
  readonly op: 'head';
  readonly version: 1;
  /** Epoch of the manifest's first namespace: names the manifest. */
  readonly manifest: string;
  /** Milliseconds since the epoch: when it was written. */
  readonly at: number;
  /** Rules whose rows are noted in this place, in order of name. */
  readonly rules: readonly string[];
  /** By namespace: everything up to this number is noted once this segment is. */
  readonly cursor: Readonly<Record<string, number>>;
  /** By namespace: purges up to this number were no longer known to the manifest. */
  readonly floors: Readonly<Record<string, number>>;
}

/** A line of a segment. */
export type SegmentLine = SegmentHead | RowNote;

const jid = z.int().min(0);
const numbers: ReadonlySet<string> = new Set([
  'status',
  'size',
  'stored_at',
  'fresh_until',
  'stale_at',
]);
const values: z.ZodType<readonly SqlValue[]> = z
  .array(z.union([z.string(), z.number(), z.null()]))
  .length(PUT_COLUMNS.length)
  .refine((row) =>
    PUT_COLUMNS.every((column, index) => {
      const value = row[index];
      if (column === 'h1') return typeof value === 'string' || value === null;
      return typeof value === (numbers.has(column) ? 'number' : 'string');
    }),
  );

const segmentLine: z.ZodType<SegmentLine> = z.discriminatedUnion('op', [
  z.object({
    op: z.literal('head'),
    version: z.literal(1),
    manifest: z.string(),
    at: z.int(),
    rules: z.array(z.string()),
    cursor: z.record(z.string(), jid),
    floors: z.record(z.string(), jid),
  }),
  z.object({
    op: z.literal('put'),
    namespace: z.string(),
    jid,
    firstSeenAt: z.int(),
    values,
  }),
  z.object({
    op: z.literal('delete'),
    namespace: z.string(),
    jid,
    key: z.string(),
    variant: z.string(),
    rule: z.string().optional(),
  }),
  z.object({
    op: z.literal('purge'),
    namespace: z.string(),
    jid,
    kind: z.enum(PURGE_KINDS),
    value: z.string(),
    soft: z.boolean(),
    at: z.int(),
  }),
]);

const SUM_LENGTH = 8;
const NEWLINE = 0x0a;

/** One line: CRC-32 in hex, a space, JSON. */
export function encodeLine(line: SegmentLine): string {
  const text = JSON.stringify(line);
  return `${sumOf(text)} ${text}\n`;
}

/** Each line of a segment in order; absent: one that is damaged, cut, or of a form that this caje does not know. */
export function* decodeLines(bytes: Buffer): Generator<SegmentLine | undefined> {
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, start);
    yield end === -1 ? undefined : decodeLine(bytes.subarray(start, end));
    if (end === -1) return;
    start = end + 1;
  }
}

function decodeLine(line: Buffer): SegmentLine | undefined {
  const text = line.subarray(SUM_LENGTH + 1);
  if (line.toString('latin1', 0, SUM_LENGTH + 1) !== `${sumOf(text)} `) return undefined;
  try {
    const parsed = segmentLine.safeParse(JSON.parse(text.toString()));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

function sumOf(text: string | Buffer): string {
  return crc32(text).toString(16).padStart(SUM_LENGTH, '0');
}
