import { fileURLToPath } from 'node:url';
import type { NodeProcess } from './node-process.ts';

const ENTRY = fileURLToPath(new URL('live-memory-entry.ts', import.meta.url));

/** Environment of a node that can be asked for its live memory. */
export const LIVE_MEMORY_ENV: Readonly<Record<string, string>> = {
  NODE_OPTIONS: `--import=${ENTRY}`,
};

/** Bytes that a node of that environment still needs, on its main thread's heap and beside it: garbage is collected first. */
export async function liveMemory(node: NodeProcess): Promise<number> {
  const seen = node.log.length;
  process.kill(node.pid, 'SIGUSR2');
  const said = await node.logged(
    (line) => line.msg === 'live memory' && node.log.indexOf(line) >= seen,
  );
  return Number(said['bytes']);
}
