import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { expect } from 'chai';
import type { NodeProcess } from '../support/node-process.ts';
import { CAJE, cleanEnv } from '../support/run-caje.ts';
import type { Block } from './documents.ts';

/** What pages call the node; tests put the real address there. */
export const PUBLIC = '127.0.0.1:8080';

const AGAIN_MS = 100;

/** One command a line; a line that ends in a backslash goes on. */
export function commandsOf({ text }: Block): readonly string[] {
  return text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'));
}

/** How a command of a page is run. */
export interface ShellOptions {
  /** Besides the clean environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds for which it is run again until it says so: what is kept shows a moment after it was answered. Absent: 0. */
  readonly patienceMs?: number | undefined;
  /** What else of the page has another name here. */
  readonly here?: ((text: string) => string) | undefined;
}

/** Runs a line in the node's folder: it must end well, and print what the page says behind `# → `. */
export async function expectAsSaid(
  written: string,
  node: NodeProcess,
  options: ShellOptions = {},
): Promise<void> {
  const { patienceMs = 0, here: more = (text: string) => text } = options;
  const [line = '', said] = written.split('# → ');
  const here = (text: string): string => more(text.replaceAll(PUBLIC, new URL(node.url).host));
  const command = here(line).replaceAll('bin/caje', 'caje');
  const wanted = said === undefined ? '' : here(said.trim());
  const until = Date.now() + patienceMs;
  for (;;) {
    const { code, output } = await shell(command, node.folder, options.env);
    expect(code, `${command}\n${output}\n${node.lastWords()}`).to.equal(0);
    if (output.includes(wanted)) return;
    if (Date.now() >= until) expect(output, command).to.include(wanted);
    await setTimeout(AGAIN_MS);
  }
}

async function shell(
  command: string,
  folder: string,
  more: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number | undefined; readonly output: string }> {
  const env = cleanEnv({
    PATH: `${dirname(CAJE)}:${process.env['PATH'] ?? ''}`,
    TMPDIR: folder,
    GOBIN: join(folder, 'bin'),
    GOFLAGS: '-modcacherw',
    ...more,
  });
  const child = spawn('bash', ['-o', 'pipefail', '-c', command], { cwd: folder, env });
  const [out, err, [code]] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { code: code ?? undefined, output: out + err };
}
