import { z } from 'zod';

/** What `gc` takes. */
export interface GcInput {
  /** Absent: every storage in use. */
  readonly storage?: string | undefined;
  /** True: nothing is removed. */
  readonly dryRun: boolean;
}

/** What `gc` takes. */
export const gcInput: z.ZodType<GcInput> = z.strictObject({
  storage: z.string().optional(),
  dryRun: z.boolean().default(false),
});

/** What kinds of things `gc` removes: see `docs/storage.md`. */
const GARBAGE = ['spool', 'leftover', 'orphan', 'quarantined'] as const;

/** One thing that nobody needs, or several that have no names. */
export interface GcRow {
  readonly what: (typeof GARBAGE)[number];
  /** How many things: 1 for one with a name. */
  readonly count: number;
  /** Absent: it lies in the spool. */
  readonly storage?: string | undefined;
  /** A digest, path or key. */
  readonly name: string;
  /** Bytes; 0 where they are not known. */
  readonly size: number;
  readonly outcome: 'removed' | 'would remove' | 'failed';
  /** Absent: it did not fail. */
  readonly problem?: string | undefined;
}

/** How far it is. */
export interface GcProgress {
  readonly what: 'seen';
  /** Bodies looked at so far. */
  readonly bodies: number;
}

/** One line of `gc --json`. */
export const gcRow: z.ZodType<GcRow> = z.object({
  what: z.enum(GARBAGE),
  count: z.int(),
  storage: z.string().optional(),
  name: z.string(),
  size: z.int(),
  outcome: z.enum(['removed', 'would remove', 'failed']),
  problem: z.string().optional(),
});

/** One item of what `gc` gives. */
export const gcItem: z.ZodType<GcRow | GcProgress> = z.union([
  z.object({ what: z.literal('seen'), bodies: z.int() }),
  gcRow,
]);

/** How many, and their bytes. */
export interface Amount {
  readonly count: number;
  readonly bytes: number;
}

const amount: z.ZodType<Amount> = z.object({ count: z.int(), bytes: z.int() });

/** What one storage holds. */
export interface DuStorageRow {
  readonly kind: 'storage';
  readonly storage: string;
  /** Bodies kept. Of a storage that nodes share: everybody's. */
  readonly bodies: Amount;
  /** Those of them that no entry names and that this node put there. */
  readonly orphaned: Amount;
  /** Damaged ones that were put aside; not among the bodies. */
  readonly quarantined: Amount;
}

/** What one rule stored in one namespace. */
export interface DuRuleRow {
  readonly kind: 'rule';
  readonly namespace: string;
  readonly rule: string;
  /** One body that two entries name counts twice. */
  readonly entries: Amount;
  /** Those of them whose body is in no storage. */
  readonly missing: Amount;
}

/** One line of `du --json`. */
export const duRow: z.ZodType<DuStorageRow | DuRuleRow> = z.union([
  z.object({
    kind: z.literal('storage'),
    storage: z.string(),
    bodies: amount,
    orphaned: amount,
    quarantined: amount,
  }),
  z.object({
    kind: z.literal('rule'),
    namespace: z.string(),
    rule: z.string(),
    entries: amount,
    missing: amount,
  }),
]);

/** What `verify` takes. */
export const verifyInput: z.ZodType<{
  readonly storage?: string | undefined;
  readonly repair: boolean;
}> = z.strictObject({ storage: z.string().optional(), repair: z.boolean().default(false) });

/**
 * What became of a damaged body: `repaired`: its bytes are there again; `replaced`: the upstream has others by now, which are
 * kept instead; `unneeded`: no entry names it; `missing`: the next request for it tries again.
 */
export type Repair = 'repaired' | 'replaced' | 'unneeded' | 'missing';

/** One body as `verify` found it. */
export interface VerifyRow {
  readonly storage: string;
  readonly digest: string;
  readonly size: number;
  readonly ok: boolean;
  /** Absent: it is fine. */
  readonly problem?: string | undefined;
  /** Absent: it is fine, or was not to be repaired. */
  readonly repair?: Repair | undefined;
}

/** One line of `verify --json`. */
export const verifyRow: z.ZodType<VerifyRow> = z.object({
  storage: z.string(),
  digest: z.string(),
  size: z.int(),
  ok: z.boolean(),
  problem: z.string().optional(),
  repair: z.enum(['repaired', 'replaced', 'unneeded', 'missing']).optional(),
});
