import { z } from 'zod';

/** Bodies at once that `copy`, `backup` and `restore` work on, unless told otherwise. */
export const HOUSE_CONCURRENCY: number = 8;

const MAX_CONCURRENCY = 64;
const concurrency = z.int().min(1).max(MAX_CONCURRENCY).default(HOUSE_CONCURRENCY);
const size = z.int().min(0);

/** What `copy` takes, and `copy-total`. */
export interface CopyInput {
  /** Name of a configured storage, whether a rule uses it or not. */
  readonly from: string;
  readonly to: string;
  readonly concurrency: number;
}

/** What `copy` takes, and `copy-total`. */
export const copyInput: z.ZodType<CopyInput> = z.strictObject({
  from: z.string().min(1),
  to: z.string().min(1),
  concurrency,
});

/** What `backup` takes. */
export interface BackupInput {
  /** Absolute path of the folder to write into, made if it is not there; or of the archive. */
  readonly place: string;
  /** True: one archive is written. */
  readonly isFile: boolean;
  /** Bodies at once, into a folder. */
  readonly concurrency: number;
}

/** What `backup` takes. */
export const backupInput: z.ZodType<BackupInput> = z.strictObject({
  place: z.string().startsWith('/', 'expected an absolute path'),
  isFile: z.boolean().default(false),
  concurrency,
});

/** What a restore takes. */
export interface RestoreInput {
  /** Absolute path of what `backup` wrote. */
  readonly place: string;
  /** Bodies at once, from a folder. */
  readonly concurrency: number;
  /** True: bodies that are damaged are left out. */
  readonly partial: boolean;
}

/** How much long work has to look at. */
export interface HouseTotal {
  readonly bodies: number;
  readonly bytes: number;
}

/** What `copy-total` and `backup-total` give. */
export const houseTotal: z.ZodType<HouseTotal> = z.object({ bodies: size, bytes: size });

/** One body as it was left. */
export interface BodyRow {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** `there`: it was there already. `missing`: no storage has it, and nothing failed. */
  readonly outcome: 'copied' | 'there' | 'missing' | 'failed';
  /** Why it failed. Absent: it did not. */
  readonly problem?: string | undefined;
}

/** One line of `copy --json`, `backup --json` and `restore --json`. */
export const bodyRow: z.ZodType<BodyRow> = z.object({
  digest: z.string(),
  size,
  outcome: z.enum(['copied', 'there', 'missing', 'failed']),
  problem: z.string().optional(),
});
