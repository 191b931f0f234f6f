import { z } from 'zod';

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

/** What `purge` takes. */
export const purgeInput: z.ZodType<{
  readonly kind: 'key' | 'prefix' | 'rule' | 'all';
  readonly value: string;
  readonly namespace?: string | undefined;
  readonly soft: boolean;
}> = z
  .strictObject({
    kind: z.enum(['key', 'prefix', 'rule', 'all']),
    value: z.string().default(''),
    namespace: z.string().optional(),
    soft: z.boolean().default(false),
  })
  .refine(({ kind, value }) => kind === 'all' || value !== '', {
    message: 'expected a value for a purge by key, prefix or rule',
    path: ['value'],
  });

/** What `verify` takes. */
export const verifyInput: z.ZodType<{ readonly storage?: string | undefined }> = z.strictObject({
  storage: z.string().optional(),
});

/** One body as `verify` found it. */
export interface VerifyRow {
  readonly storage: string;
  readonly digest: string;
  readonly size: number;
  readonly ok: boolean;
  /** Absent: it is fine. */
  readonly problem?: string | undefined;
}
