import { fileURLToPath } from 'node:url';
import { type Server, startProcess } from './start-process.ts';

/** Starts a server of `bench/servers/`, which prints its URL as the first line. */
export async function startScript(name: string, args: readonly string[] = []): Promise<Server> {
  return await startProcess({
    command: process.execPath,
    args: [fileURLToPath(new URL(`../servers/${name}.ts`, import.meta.url)), ...args],
    urlIn: (line) => (line.startsWith('http://') ? line : undefined),
  });
}
