import { z } from 'zod';
import { isDigest } from './storage/digest.ts';

const file = z.string().startsWith('/', 'expected an absolute path');
const filled = z.string().min(1).optional();
const size = z.int().min(0);

/** What `export-tar` takes, and `export-tar-total`. */
export interface TarExportInput {
  /** Absolute path of the archive. */
  readonly file: string;
  /** Only what this rule stored. Absent: everything. */
  readonly rule?: string | undefined;
  /** Absent: every namespace. */
  readonly namespace?: string | undefined;
  /** Only keys that begin with it. Absent: all. */
  readonly prefix?: string | undefined;
}

/** What `export-tar` takes, and `export-tar-total`. */
export const tarExportInput: z.ZodType<TarExportInput> = z.strictObject({
  file,
  rule: filled,
  namespace: filled,
  prefix: filled,
});

/** What `import-tar` takes, and `import-tar-total`. */
export interface TarImportInput {
  /** Absolute path of the archive. */
  readonly file: string;
  /** Rule that keeps what it holds. Absent: those of the same names as where it was made. */
  readonly rule?: string | undefined;
  /** True: nothing is kept. */
  readonly dryRun: boolean;
}

/** What `import-tar` takes, and `import-tar-total`. */
export const tarImportInput: z.ZodType<TarImportInput> = z.strictObject({
  file,
  rule: filled,
  dryRun: z.boolean().default(false),
});

/** How much there is to do: rows of an export, bytes of an archive. */
export interface TarTotal {
  readonly units: number;
}

/** What `export-tar-total` and `import-tar-total` give. */
export const tarTotal: z.ZodType<TarTotal> = z.object({ units: size });

/** One stored answer as an export or import left it. */
export interface TarRow {
  readonly namespace: string;
  readonly key: string;
  readonly variant: string;
  readonly digest: string;
  /** Bytes of the body. */
  readonly size: number;
  /** `kept`: something is kept under its key and was not replaced. `missing`: no storage has its body. */
  readonly outcome: 'written' | 'missing' | 'imported' | 'would import' | 'kept' | 'failed';
  /** Why it failed. Absent: it did not. */
  readonly problem?: string | undefined;
  /** How far it is, in units of the total. */
  readonly done: number;
}

/** One line of `export --format tar --json` and of `import --format tar --json`. */
export const tarRow: z.ZodType<TarRow> = z.object({
  namespace: z.string(),
  key: z.string(),
  variant: z.string(),
  digest: z.string(),
  size,
  outcome: z.enum(['written', 'missing', 'imported', 'would import', 'kept', 'failed']),
  problem: z.string().optional(),
  done: size,
});

/** First member of an archive. */
export const TAR_HEAD: { readonly format: 'caje-tar'; readonly version: 1 } = {
  format: 'caje-tar',
  version: 1,
};

/** Reads the first member. */
export const tarHead: z.ZodType<typeof TAR_HEAD> = z.object({
  format: z.literal('caje-tar'),
  version: z.literal(1),
});

/** Last member of an archive: what it holds, so that a cut one is told. */
export interface TarEnd {
  readonly rows: number;
  readonly bodies: number;
}

/** Reads the last member. */
export const tarEnd: z.ZodType<TarEnd> = z.object({ rows: size, bodies: size });

/** A stored answer as a line of a member `rows/…`. */
export interface TarEntry {
  readonly namespace: string;
  readonly key: string;
  readonly variant: string;
  readonly rule: string;
  readonly method: string;
  readonly url: string;
  readonly publicHost: string;
  readonly vary: readonly string[];
  /** Name, value, name, value … */
  readonly requestHeaders: readonly string[];
  readonly status: number;
  /** Name, value, name, value … */
  readonly headers: readonly string[];
  readonly policy: {
    readonly receivedAt: number;
    readonly initialAge: number;
    readonly alwaysRevalidate: boolean;
    readonly mustRevalidate: boolean;
    readonly staleWhileRevalidateUntil: number;
    readonly staleIfErrorUntil: number;
  };
  readonly source: string;
  readonly freshUntil: number;
  readonly staleAt: number;
  readonly digest: string;
  readonly size: number;
  readonly h1?: string | undefined;
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;
const fields = z
  .array(z.string())
  .refine((raw) => raw.length % 2 === 0, 'expected names and values in turn')
  .refine(
    (raw) => raw.every((text, at) => (at % 2 === 0 ? NAME : VALUE).test(text)),
    'expected names and values that a response may have',
  );
const time = z.number().min(0);

/** Reads a line. What it lets through can be served as it is. */
export const tarEntry: z.ZodType<TarEntry> = z.strictObject({
  namespace: z.string().min(1),
  key: z.string().min(1),
  variant: z.string(),
  rule: z.string(),
  method: z.string(),
  url: z.string(),
  publicHost: z.string(),
  vary: z.array(z.string().regex(NAME)),
  requestHeaders: fields,
  status: z.int().min(200).max(599),
  headers: fields,
  policy: z.strictObject({
    receivedAt: time,
    initialAge: time,
    alwaysRevalidate: z.boolean(),
    mustRevalidate: z.boolean(),
    staleWhileRevalidateUntil: time,
    staleIfErrorUntil: time,
  }),
  source: z.string(),
  freshUntil: z.number(),
  staleAt: z.number(),
  digest: z.string().refine(isDigest, 'expected a SHA-256 in hex'),
  size,
  h1: z
    .string()
    .regex(/^h1:[A-Za-z0-9+/]{43}=$/)
    .optional(),
});
