import { z } from 'zod';

/** What came of a reload. */
export interface ReloadReport {
  /** File as the node was told it, or `built-in default`. */
  readonly source: string;
  /** Keys that changed and are in force, sorted. */
  readonly changed: readonly string[];
  /** Keys that changed in the file and keep their old value until the node is started again, sorted. */
  readonly restart: readonly string[];
  /** Rules in force. */
  readonly rules: number;
  /** Rules among them that are off, and why. */
  readonly off: readonly { readonly rule: string; readonly why: string }[];
}

/** What `config reload --json` prints. */
export const reloadReport: z.ZodType<ReloadReport> = z.object({
  source: z.string(),
  changed: z.array(z.string()),
  restart: z.array(z.string()),
  rules: z.int(),
  off: z.array(z.object({ rule: z.string(), why: z.string() })),
});
