import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { tempFolder } from '../support/temp-folder.ts';

/** A file system of its own on a folder, gone once disposed of. */
export interface Volume extends AsyncDisposable {
  /** Changes its options while it is in use, such as `ro`. */
  remount(options: string): Promise<void>;
}

/** Why nothing can be mounted here. Absent: it can. */
export async function mountObstacle(): Promise<string | undefined> {
  await using folder = await tempFolder();
  try {
    const volume = await mountMemory(folder.path, 'size=1m');
    await volume[Symbol.asyncDispose]();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Mounts a tmpfs on a folder that is there, with options such as `size=64m`. Throws where that is refused. */
export async function mountMemory(path: string, options: string): Promise<Volume> {
  await run('mount', '-t', 'tmpfs', '-o', options, 'caje-test', path);
  return {
    remount: async (changed) => await run('mount', '-o', `remount,${changed}`, path),
    // Who still has a file open there does not keep it.
    [Symbol.asyncDispose]: async () => await run('umount', '--lazy', path),
  };
}

async function run(command: string, ...args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
  if (code !== 0) throw new Error(`${command} is refused: ${said.trim()}`);
}
