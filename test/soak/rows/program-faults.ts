import { fileURLToPath } from 'node:url';
import { expectSound } from '../../support/auditor.ts';
import { HttpClient } from '../../support/http-client.ts';
import { NodeProcess } from '../../support/node-process.ts';
import { patience } from '../../support/patience.ts';
import type { SoakRow } from '../soak-row.ts';
import { alsoTry, sumOf, tryCases } from '../try-cases.ts';

const PLUGIN = fileURLToPath(new URL('../../fixtures/plugins/faulty-fetcher.ts', import.meta.url));
const CONFIG = {
  plugins: [PLUGIN],
  log: { access: false },
  storage: { local: { type: 'disk', keepFree: 0 } },
  fetchers: { faulty: { type: 'faulty' } },
  stashers: { keep: { type: 'store', backend: 'local' } },
  rules: [{ name: 'site', path: '/*', protocol: 'http', fetch: ['faulty'], stash: 'keep' }],
};
/** So that the heap is soon full. */
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=48' };
/** Of the cases, how many are faults that end the process. */
const ENDING = 1 / 6;
const ENDS_MS = 1_000;

/** Faults of the program itself. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-10',
    title:
      'what a request throws is 5xx for that one alone; what nobody catches, or a full heap, ends the node at once',
    quick: 8,
    full: 120,
    run: async (run) => {
      await using client = new HttpClient();
      await using node = await NodeProcess.start({ config: CONFIG });
      const ending = Math.ceil(run.cases * ENDING);
      const thrown = await tryCases(
        { ...run, cases: run.cases - ending, lanes: 4 },
        async (number) => {
          const [other, faulty] = await Promise.all([
            client.get(`${node.url}/${number}/other`),
            client.get(`${node.url}/${number}/throws`),
          ]);
          if (other.status !== 200) throw new Error(`another request: ${other.status}`);
          if (faulty.status < 500 || faulty.body.toString().includes('plug-in'))
            throw new Error(`the fault: ${faulty.status} ${faulty.body.toString()}`);
          if (!node.isRunning) throw new Error('the node ended');
        },
      );
      const ended = await tryCases({ ...run, cases: ending }, async (number) => {
        if (!node.isRunning) await node.restart(SMALL_HEAP);
        const isHeap = number % 2 === 1;
        const from = performance.now();
        const asked = client.get(`${node.url}/${number}/${isHeap ? 'hoards' : 'escapes'}`);
        asked.catch(() => {});
        const { code, signal } = await node.ended;
        const ms = performance.now() - from;
        if (code === 0) throw new Error('it ended with 0');
        run.log(`${isHeap ? 'full heap' : 'escaped'}: ${code ?? signal}, ${Math.round(ms)} ms`);
        // How long it takes to fill a heap is not the node's to say.
        if (!isHeap && ms > ENDS_MS * patience()) throw new Error(`only after ${ms} ms`);
        await expectSound({ dataDir: node.dataDir, leftovers: true });
        await node.restart(SMALL_HEAP);
        const { status } = await client.get(`${node.url}/${number}/after`);
        if (status !== 200) throw new Error(`after the start: ${status}`);
      });
      return await alsoTry(sumOf(thrown, ended), run, async () => {
        const { code } = await node.stop();
        if (code !== 0) throw new Error(`it ended with ${code}`);
        await expectSound({ dataDir: node.dataDir });
      });
    },
  },
];
