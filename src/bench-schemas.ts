import { z } from 'zod';

/** What one process of `caje bench halt` is to do. */
export interface BenchOrder {
  readonly name: string;
  /** For what is this process's own. */
  readonly folder: string;
  /** The manifest that it writes. */
  readonly path: string;
  readonly lock: 'local' | 'peer' | 'litefs';
  /** Peer listener of the one that writes for all. '': this one writes itself. */
  readonly primary: string;
  /** Shown to each other. '': nobody is asked. */
  readonly token: string;
  readonly writes: number;
  /** APIs of LiteFS. Absent: the manifest does not lie on one. */
  readonly litefs?: { readonly api: string; readonly primary: string } | undefined;
}

/** What one process of `caje bench halt` did. */
export interface BenchResult {
  /** Milliseconds until each write was durable. */
  readonly latencies: readonly number[];
  /** Writes that came to nothing. */
  readonly failed: number;
  /** Times that the lock was not had in time. */
  readonly timeouts: number;
}

/** Reads the argument of such a process. */
export const benchOrder: z.ZodType<BenchOrder> = z.object({
  name: z.string(),
  folder: z.string(),
  path: z.string(),
  lock: z.enum(['local', 'peer', 'litefs']),
  primary: z.string(),
  token: z.string(),
  writes: z.int(),
  litefs: z.object({ api: z.string(), primary: z.string() }).optional(),
});

/** Reads what such a process says when it is done. */
export const benchResult: z.ZodType<BenchResult> = z.object({
  latencies: z.array(z.number()),
  failed: z.int(),
  timeouts: z.int(),
});
