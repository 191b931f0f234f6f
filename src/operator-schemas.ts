import { z } from 'zod';
import { MAX_TAG_LENGTH } from './manifest/entry-tags.ts';
import {
  type JournalPage,
  PURGE_KINDS,
  type PurgeKind,
  type PurgeResult,
} from './manifest/manifest.ts';

/** What `ls` takes. */
export const lsInput: z.ZodType<{
  readonly namespace?: string | undefined;
  readonly prefix?: string | undefined;
  readonly rule?: string | undefined;
  readonly limit?: number | undefined;
}> = z.strictObject({
  namespace: z.string().optional(),
  prefix: z.string().optional(),
  rule: z.string().optional(),
  limit: z.int().min(1).optional(),
});

/** One stored answer as `ls` shows it. Sizes in bytes, spans in whole seconds; `freshSeconds` is negative once stale. */
export interface EntryRow {
  readonly namespace: string;
  readonly key: string;
  readonly variant: string;
  readonly rule: string;
  readonly status: number;
  readonly size: number;
  readonly digest: string;
  readonly ageSeconds: number;
  readonly freshSeconds: number;
  /** `missing`: the row is there, the body is not; the next request fetches it. */
  readonly state: 'present' | 'stale' | 'missing';
}

/** One line of `ls --json`. */
export const entryRow: z.ZodType<EntryRow> = z.object({
  namespace: z.string(),
  key: z.string(),
  variant: z.string(),
  rule: z.string(),
  status: z.int(),
  size: z.int(),
  digest: z.string(),
  ageSeconds: z.int(),
  freshSeconds: z.int(),
  state: z.enum(['present', 'stale', 'missing']),
});

/** What `journal` takes. */
export const journalInput: z.ZodType<{
  readonly namespace: string;
  readonly since: string;
  readonly limit: number;
}> = z.strictObject({
  namespace: z.string().default('web'),
  since: z.string().default(''),
  limit: z.int().min(1).max(10_000).default(1_000),
});

/** What `journal --json` prints. */
export const journalPage: z.ZodType<JournalPage> = z.object({
  rows: z.array(
    z.object({
      namespace: z.string(),
      jid: z.int(),
      op: z.enum(['put', 'refresh', 'delete', 'purge']),
      key: z.string(),
      variant: z.string(),
      digest: z.string().optional(),
      size: z.int().optional(),
      baseJid: z.int(),
      changeId: z.string(),
      actor: z.string(),
      at: z.int(),
    }),
  ),
  cursor: z.string(),
});

/** What `purge` takes. */
export const purgeInput: z.ZodType<{
  readonly kind: PurgeKind;
  readonly value: string;
  readonly namespace?: string | undefined;
  readonly soft: boolean;
}> = z
  .strictObject({
    kind: z.enum(PURGE_KINDS),
    value: z.string().default(''),
    namespace: z.string().optional(),
    soft: z.boolean().default(false),
  })
  .refine(({ kind, value }) => kind !== 'tag' || value.length <= MAX_TAG_LENGTH, {
    message: `a tag has at most ${MAX_TAG_LENGTH} characters`,
    path: ['value'],
  })
  .refine(({ kind, value }) => kind === 'all' || value !== '', {
    message: 'expected a value for a purge by key, prefix, rule or tag',
    path: ['value'],
  });

/** What `purge --json` prints. */
export const purgeResult: z.ZodType<PurgeResult> = z.object({
  entries: z.int(),
  jids: z.record(z.string(), z.int()),
});

/** How much the stores hold: bodies, and their bytes. */
export interface StoredTotal {
  readonly bodies: number;
  readonly bytes: number;
}

/** What `stored` gives. */
export const storedTotal: z.ZodType<StoredTotal> = z.object({ bodies: z.int(), bytes: z.int() });

/** What `counters --json` prints: values by name, labels in braces. */
export const counterValues: z.ZodType<Readonly<Record<string, number>>> = z.record(
  z.string(),
  z.number(),
);
