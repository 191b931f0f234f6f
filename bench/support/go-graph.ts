import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { downloadGraph, goSetting } from './go-command.ts';

const SUMS = fileURLToPath(new URL('../fixtures/go-graph/go.sum', import.meta.url));
const NAME_DIGITS = 12;

/**
 * A folder in GOPROXY layout with all files of the graph of `bench/fixtures/go-graph`. The first call takes them from
 * this machine's module proxy, and nothing else leaves the loopback; the folder stays for later runs, named after
 * go.sum, in `CAJE_BENCH_FOLDER` or the system's temporary folder.
 */
export async function goGraphFolder(): Promise<string> {
  const digest = createHash('sha256')
    .update(await readFile(SUMS))
    .digest('hex');
  const parent = process.env['CAJE_BENCH_FOLDER'] ?? tmpdir();
  const folder = join(parent, `caje-bench-go-graph-${digest.slice(0, NAME_DIGITS)}`);
  if (existsSync(folder)) return folder;
  const laying = await mkdtemp(join(parent, 'caje-bench-laying-'));
  try {
    // go.sum has every digest, so a checksum database is not asked.
    await downloadGraph({ folder: laying, env: { GOPROXY: await goSetting('GOPROXY') } });
    await rename(join(laying, 'mod', 'cache', 'download'), folder);
  } finally {
    await rm(laying, { recursive: true, force: true });
  }
  return folder;
}
