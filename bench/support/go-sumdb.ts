import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { downloadThrough, goSetting } from './go-command.ts';

const FOLDER = 'sumdb';
const BETWEEN = '\n\n';
const REGISTRY_MS = 30_000;

/** Name of the checksum database that this machine's go command uses. */
export async function sumdbName(): Promise<string> {
  return ((await goSetting('GOSUMDB')).split(' ')[0] ?? '').replace(/\+.*/, '');
}

/**
 * Lays into the folder of `goGraphFolder` what the go command asks of its checksum database for the graph, below
 * `sumdb/<name>` as a module proxy has it. The first call takes it through this machine's module proxy.
 */
export async function laySumdb(graphFolder: string): Promise<void> {
  if (existsSync(join(graphFolder, FOLDER))) return;
  const name = await sumdbName();
  const laying = await mkdtemp(join(dirname(graphFolder), 'caje-bench-laying-'));
  try {
    await record(graphFolder, laying);
    // Answers of different moments speak of trees of different sizes, and which parts of a tree are asked for would
    // depend on their order. All shall speak of the largest; then the parts of that one are recorded too.
    await speakOfOneTree(join(laying, FOLDER, name));
    await record(graphFolder, laying);
    const late = await record(graphFolder, laying);
    if (late.length > 0) throw new Error(`asked of the checksum database again: ${late.join(' ')}`);
    await rename(join(laying, FOLDER), join(graphFolder, FOLDER));
  } finally {
    await rm(laying, { recursive: true, force: true });
  }
}

/** Downloads the graph and keeps what only the registry had. Gives the paths of that. */
async function record(graphFolder: string, laying: string): Promise<readonly string[]> {
  const list = (await goSetting('GOPROXY')).split(/[,|]/);
  const registry = list.find((item) => /^https?:/.test(item));
  if (registry === undefined) throw new Error('go env GOPROXY names no registry');
  const fetched: string[] = [];
  const answer = async (path: string, response: ServerResponse): Promise<void> => {
    const own = [laying, graphFolder].map((folder) => join(folder, path)).find(existsSync);
    if (own !== undefined) {
      response.end(await readFile(own));
      return;
    }
    const from = await fetch(registry + path, { signal: AbortSignal.timeout(REGISTRY_MS) });
    const body = Buffer.from(await from.arrayBuffer());
    if (from.ok) {
      fetched.push(path);
      await mkdir(dirname(join(laying, path)), { recursive: true });
      await writeFile(join(laying, path), body);
    }
    response.writeHead(from.status).end(body);
  };
  const server = createServer((request, response) => {
    answer(request.url ?? '/', response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    await downloadThrough(`http://127.0.0.1:${port}`, await goSetting('GOSUMDB'));
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return fetched;
}

/** A lookup is a record and, behind an empty line, a signed tree that has it; any later tree of the same log has it too. */
async function speakOfOneTree(folder: string): Promise<void> {
  const lookups = join(folder, 'lookup');
  const entries = await readdir(lookups, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const records = new Map<string, string>();
  let tree = '';
  for (const file of files) {
    const text = await readFile(file, 'utf8');
    const at = text.indexOf(BETWEEN) + BETWEEN.length;
    records.set(file, text.slice(0, at));
    if (sizeOf(text.slice(at)) > sizeOf(tree)) tree = text.slice(at);
  }
  for (const [file, record] of records) await writeFile(file, record + tree);
  await writeFile(join(folder, 'latest'), tree);
}

/** The second line of a signed tree is the number of its records. */
function sizeOf(tree: string): number {
  return Number(tree.split('\n')[1] ?? 0);
}
