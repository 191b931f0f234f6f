import { readFile, rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { type Digest, isDigest, parseDigest } from './storage/digest.ts';

/** How far a pass over all storages is. */
export interface ScrubCursor {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** The storage it is in. Absent: it has not begun, or has ended. */
  readonly storage?: string | undefined;
  /** Last body of it that was read. Absent: none. */
  readonly after?: Digest | undefined;
  /** True: it is at its end. */
  readonly done: boolean;
}

const cursor: z.ZodType<ScrubCursor> = z.object({
  startedAt: z.int().min(0),
  storage: z.string().optional(),
  after: z
    .string()
    .refine(isDigest)
    .transform((text) => parseDigest(text))
    .optional(),
  done: z.boolean(),
});

/** The cursor that a process before us wrote. Absent: there is none that can be read, so a pass begins anew. */
export async function readCursor(path: string): Promise<ScrubCursor | undefined> {
  try {
    return cursor.safeParse(JSON.parse(await readFile(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

/** Writes it in one step, so that a reader has the old one or the new one. Throws the file system's error. */
export async function writeCursor(path: string, value: ScrubCursor): Promise<void> {
  const aside = `${path}.new`;
  await writeFile(aside, `${JSON.stringify(value)}\n`, { mode: 0o640 });
  await rename(aside, path);
}
