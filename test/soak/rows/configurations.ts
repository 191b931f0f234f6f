import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { callControl } from '../../../src/http/control-client.ts';
import { NodeProcess } from '../../support/node-process.ts';
import { patience } from '../../support/patience.ts';
import { runCaje } from '../../support/run-caje.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import type { SoakRow } from '../soak-row.ts';
import { sumOf, tryCases } from '../try-cases.ts';

const BAD = join(import.meta.dirname, '../../fixtures/config/bad');
/** Within this time a node says what is wrong with its configuration, and ends. */
const START_MS = 2_000;
const DEMO = {
  fetchers: { demo: { type: 'slow-server' } },
  rules: [{ name: 'demo', protocol: 'http', fetch: 'demo' }],
};

/** Configurations that are wrong, when a node starts and while one runs. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-111',
    title:
      'a bad configuration ends a start within 2 s and leaves a running node as it was, named by key',
    quick: 3,
    full: 60,
    run: async (run) => {
      const files = readdirSync(BAD).map((file) => join(BAD, file));
      const reloads = Math.ceil(run.cases / 3);
      const atStart = await tryCases({ ...run, cases: run.cases - reloads }, async (number) => {
        await refusesToStart(files[(number * 7) % files.length] ?? '');
      });
      await using node = await NodeProcess.start({ config: DEMO });
      const whileRunning = await tryCases({ ...run, cases: reloads }, async (number) => {
        await refusesToReload(node, files[(number * 11) % files.length] ?? '');
      });
      return sumOf(atStart, whileRunning);
    },
  },
];

/** The first key that a file says is wrong in it. */
function keyOf(file: string): string {
  return /^# expect: \d+: ([^:]*):/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
}

async function refusesToStart(file: string): Promise<void> {
  await using folder = await tempFolder();
  const from = performance.now();
  const { code, stderr } = await runCaje(['serve', '--config', file], { cwd: folder.path });
  const ms = performance.now() - from;
  if (code !== 2) throw new Error(`${file}: ended with ${code}`);
  if (!stderr.includes(keyOf(file))) throw new Error(`${file}: does not name the key: ${stderr}`);
  if (ms > START_MS * patience()) throw new Error(`${file}: took ${Math.round(ms)} ms`);
}

async function refusesToReload(node: NodeProcess, file: string): Promise<void> {
  await writeFile(node.configFile, readFileSync(file));
  const reason = await callControl(join(node.dataDir, 'control.sock'), 'config-reload').then(
    () => undefined,
    (error: unknown) => String(error),
  );
  if (reason?.includes(keyOf(file)) !== true) throw new Error(`${file}: ${reason}`);
  const answer = await fetch(`${node.url}/fast`);
  await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`${file}: then ${answer.status}`);
}
