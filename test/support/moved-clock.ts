import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where Debian keeps libraries; the folder of the machine's architecture is one below. */
const LIBRARIES = '/usr/lib';
const NAME = 'faketime/libfaketimeMT.so.1';

/** A clock that a test sets while a process runs; the monotonic one stays true. */
export interface MovedClock {
  /** Variables that put a process under it. */
  readonly env: Readonly<Record<string, string>>;
  /** The clock says the true time and so many seconds more; less where negative. In effect when it resolves. */
  move(seconds: number): Promise<void>;
}

/** libfaketime. Absent: it is not installed. */
export async function faketimeLibrary(): Promise<string | undefined> {
  const folders = await readdir(LIBRARIES).catch(() => []);
  return folders.map((folder) => join(LIBRARIES, folder, NAME)).find((path) => existsSync(path));
}

/** Begins with the true time. `folder`: where its file may lie. Throws where libfaketime is not installed. */
export async function movedClock(folder: string): Promise<MovedClock> {
  const library = await faketimeLibrary();
  if (library === undefined) throw new Error('libfaketime is not installed');
  const file = join(folder, 'clock');
  const move = async (seconds: number): Promise<void> =>
    await writeFile(file, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}s\n`);
  await move(0);
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    move,
  };
}
