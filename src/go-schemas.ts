import { z } from 'zod';
import type { ModuleVersion } from './gomod/go-mod-file.ts';
import type { GraphOptions } from './gomod/module-graph.ts';
import type { WantedModule } from './gomod/module-list.ts';

/** Files at once that `populate` and `import` work on, unless told otherwise. */
export const DEFAULT_CONCURRENCY: number = 8;

const MAX_CONCURRENCY = 64;
const ruleName = z.string().min(1).optional();
const moduleVersion: z.ZodType<ModuleVersion> = z.strictObject({
  module: z.string(),
  version: z.string(),
});
const size = z.int().min(0);

/** A main module: its own requirements, and how those of others are followed. */
export interface PopulateGraph extends GraphOptions {
  /** What the file requires: all three files of each. */
  readonly roots: readonly ModuleVersion[];
  /** What the folders require that replace a module: followed, without zips. */
  readonly also: readonly ModuleVersion[];
}

/** What `populate` takes. */
export interface PopulateInput {
  /** Absent: the only rule with the protocol `go`. */
  readonly rule?: string | undefined;
  /** True: nothing is fetched. */
  readonly dryRun: boolean;
  readonly concurrency: number;
  /** False: checksum databases are left alone. */
  readonly sumdb: boolean;
  readonly modules: readonly WantedModule[];
  readonly graph?: PopulateGraph | undefined;
}

/** What `populate` takes. */
export const populateInput: z.ZodType<PopulateInput> = z.strictObject({
  rule: ruleName,
  dryRun: z.boolean().default(false),
  concurrency: z.int().min(1).max(MAX_CONCURRENCY).default(DEFAULT_CONCURRENCY),
  sumdb: z.boolean().default(true),
  modules: z
    .array(
      z.strictObject({
        module: z.string(),
        version: z.string(),
        files: z.array(z.enum(['info', 'mod', 'zip'])),
      }),
    )
    .default([]),
  graph: z
    .strictObject({
      pruned: z.boolean(),
      roots: z.array(moduleVersion),
      also: z.array(moduleVersion),
      replaces: z.array(
        z.strictObject({
          module: z.string(),
          version: z.string().optional(),
          by: z.union([moduleVersion, z.strictObject({ folder: z.string() })]),
        }),
      ),
      excludes: z.array(moduleVersion),
    })
    .optional(),
});

/** Kinds of file that rows tell of. */
export type GoFile = 'info' | 'mod' | 'zip' | 'list' | 'latest' | 'lookup' | 'tile' | 'supported';

/** One file as `populate` or `import` left it. */
export interface FillRow {
  /** Empty for a tile. */
  readonly module: string;
  /** Empty for a tile. */
  readonly version: string;
  readonly file: 'info' | 'mod' | 'zip' | 'lookup' | 'tile';
  /** Escaped GOPROXY path, which is its key. */
  readonly path: string;
  /** `absent`: not to be had, and no build needs it: a lookup, or a version that only the edge of a module graph names. */
  readonly outcome: 'fetched' | 'kept' | 'would fetch' | 'absent' | 'failed';
  /** Bytes; 0 where nothing came. */
  readonly size: number;
  /** Files known to be wanted by this call so far, done ones among them. */
  readonly wanted: number;
  /** Why it failed. Absent: it did not. */
  readonly problem?: string | undefined;
}

/** One line of `populate --json` and of `import --json`. */
export const fillRow: z.ZodType<FillRow> = z.object({
  module: z.string(),
  version: z.string(),
  file: z.enum(['info', 'mod', 'zip', 'lookup', 'tile']),
  path: z.string(),
  outcome: z.enum(['fetched', 'kept', 'would fetch', 'absent', 'failed']),
  size,
  wanted: size,
  problem: z.string().optional(),
});

/** What `export` takes. */
export interface ExportInput {
  /** Absolute path of the folder to write into; made if it is not there. */
  readonly folder: string;
  readonly format: 'goproxy';
  /** Only what this rule stored. Absent: everything in the namespace. */
  readonly rule?: string | undefined;
  /** Absent: that of the rule, or of the only rule with the protocol `go`. */
  readonly namespace?: string | undefined;
  /** Only this module and those below its path. Absent: all. */
  readonly prefix?: string | undefined;
}

/** What `export` takes. */
export const exportInput: z.ZodType<ExportInput> = z.strictObject({
  folder: z.string().startsWith('/', 'expected an absolute path'),
  format: z.enum(['goproxy']).default('goproxy'),
  rule: ruleName,
  namespace: ruleName,
  prefix: z.string().min(1).optional(),
});

/** How much an export, import or comparison has to look at. */
export interface ExportTotal {
  readonly files: number;
}

/** What `export-total`, `import-total` and `verify-sumdb-total` give. */
export const exportTotal: z.ZodType<ExportTotal> = z.object({ files: z.int() });

/** One file of an export. */
export interface ExportRow {
  /** Empty for a tile and `supported`. */
  readonly module: string;
  /** Empty where the file belongs to no version. */
  readonly version: string;
  readonly file: GoFile;
  /** Relative to the folder. */
  readonly path: string;
  /** `there`: it lay there already, with the right bytes. */
  readonly outcome: 'written' | 'there' | 'failed';
  /** Bytes. */
  readonly size: number;
  /** Why it failed. Absent: it did not. */
  readonly problem?: string | undefined;
}

/** One line of `export --json`. */
export const exportRow: z.ZodType<ExportRow> = z.object({
  module: z.string(),
  version: z.string(),
  file: z.enum(['info', 'mod', 'zip', 'list', 'latest', 'lookup', 'tile', 'supported']),
  path: z.string(),
  outcome: z.enum(['written', 'there', 'failed']),
  size,
  problem: z.string().optional(),
});

/** What `import` takes. */
export interface ImportInput {
  /** Absolute path of the folder to read. */
  readonly folder: string;
  /** Absent: found out. */
  readonly format?: 'goproxy' | 'athens' | 'modcache' | undefined;
  /** Absent: the only rule with the protocol `go`. */
  readonly rule?: string | undefined;
  /** True: nothing is kept. */
  readonly dryRun: boolean;
}

/** What `import` takes. */
export const importInput: z.ZodType<ImportInput> = z.strictObject({
  folder: z.string().startsWith('/', 'expected an absolute path'),
  format: z.enum(['goproxy', 'athens', 'modcache']).optional(),
  rule: ruleName,
  dryRun: z.boolean().default(false),
});

/** What `verify-sumdb` takes. */
export const verifySumdbInput: z.ZodType<{ readonly rule?: string | undefined }> = z.strictObject({
  rule: ruleName,
});

/** One kept file beside what the checksum database says of it. */
export interface SumdbRow {
  readonly module: string;
  readonly version: string;
  readonly file: 'mod' | 'zip';
  /** Hash of what is kept: `h1:…`. Absent: it could not be read. */
  readonly h1?: string | undefined;
  /** Hash that the database has. Absent: none, or it could not be asked. */
  readonly expected?: string | undefined;
  /** `unknown`: the database does not have it; `unverified`: it could not be asked; `skipped`: a private module. */
  readonly outcome: 'ok' | 'mismatch' | 'unknown' | 'unverified' | 'skipped';
  /** Absent: nothing to say. */
  readonly problem?: string | undefined;
}

/** One line of `verify --sumdb --json`. */
export const sumdbRow: z.ZodType<SumdbRow> = z.object({
  module: z.string(),
  version: z.string(),
  file: z.enum(['mod', 'zip']),
  h1: z.string().optional(),
  expected: z.string().optional(),
  outcome: z.enum(['ok', 'mismatch', 'unknown', 'unverified', 'skipped']),
  problem: z.string().optional(),
});
