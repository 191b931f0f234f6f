import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Defect } from './planted.ts';

/** How a planted defect fared: tests failed; all passed; or none came to run, which says nothing. */
export type Verdict = 'caught' | 'missed' | 'broken';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** What the tests need of a checkout. */
const PARTS = [
  'src',
  'packages',
  'test',
  'bin',
  'docs',
  'scripts',
  'package.json',
  '.mocharc.json',
];
const COUNTS = /^(\d+) passed, (\d+) failed, \d+ skipped$/;

/** A copy of the checkout in an empty folder, in which defects are planted one at a time. */
export class PlantingGround {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** `folder`: an empty one, left to the caller to remove. */
  static async make(folder: string): Promise<PlantingGround> {
    for (const part of PARTS)
      await cp(join(ROOT, part), join(folder, part), {
        recursive: true,
        filter: (path) => !path.endsWith('/node_modules'),
      });
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    return new PlantingGround(folder);
  }

  /** Runs its tests with nothing planted: `missed` where they pass, as they should. */
  async trySound({ tests }: Defect, signal?: AbortSignal): Promise<Verdict> {
    return await runTests(this.#folder, tests, signal);
  }

  /** Plants it, runs its tests and takes it out again. Throws where its text does not stand in the file exactly once. */
  async judge(defect: Defect, signal?: AbortSignal): Promise<Verdict> {
    const path = join(this.#folder, defect.file);
    const sound = await readFile(path, 'utf8');
    await writeFile(path, planted(sound, defect));
    try {
      return await runTests(this.#folder, defect.tests, signal);
    } finally {
      await writeFile(path, sound);
    }
  }
}

/** The text of a file with the defect in it. Throws where what it replaces does not stand there exactly once. */
export function planted(sound: string, { name, file, find, plant }: Defect): string {
  const pieces = sound.split(find);
  if (pieces.length !== 2)
    throw new Error(
      `${name}: its text stands ${pieces.length - 1} times in ${file}, expected once`,
    );
  return pieces.join(plant);
}

async function runTests(
  folder: string,
  tests: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Verdict> {
  const mocha = fileURLToPath(import.meta.resolve('mocha/lib/cli/cli.js'));
  // One failure is enough.
  const args = ['--conditions=caje-source', mocha, '--bail', ...tests];
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: process.env,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const stop = (): void => void child.kill();
  signal?.addEventListener('abort', stop);
  let verdict: Verdict = 'broken';
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [passed = 0, failed = 0] = (COUNTS.exec(line)?.slice(1) ?? []).map(Number);
    if (failed > 0) verdict = 'caught';
    else if (passed > 0) verdict = 'missed';
  });
  await once(child, 'close');
  signal?.removeEventListener('abort', stop);
  signal?.throwIfAborted();
  return verdict;
}
