import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('fake-helper.ts', import.meta.url));

/** The command of a lock helper that answers by this script; see `fake-helper.ts`. */
export function scriptedHelper(...steps: readonly string[]): readonly string[] {
  return [process.execPath, program, steps.join(',')];
}
