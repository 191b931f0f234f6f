import { readFile, rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';

/** How far each namespace's journal was followed: `epoch:jid`, by namespace. */
export type PopulateCursors = Readonly<Record<string, string>>;

const cursors: z.ZodType<PopulateCursors> = z.record(z.string(), z.string());

/** The cursors that a process before us wrote. Empty: there are none that can be read. */
export async function readCursors(path: string): Promise<PopulateCursors> {
  try {
    return cursors.safeParse(JSON.parse(await readFile(path, 'utf8'))).data ?? {};
  } catch {
    return {};
  }
}

/** Writes them in one step, so that a reader has the old ones or the new ones. Throws the file system's error. */
export async function writeCursors(path: string, value: PopulateCursors): Promise<void> {
  const aside = `${path}.${process.pid}`;
  await writeFile(aside, `${JSON.stringify(value)}\n`, { mode: 0o640 });
  await rename(aside, path);
}
