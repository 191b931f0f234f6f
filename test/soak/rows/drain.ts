import { connect } from 'node:net';
import type { SoakRow } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { tryCases } from '../try-cases.ts';

const CONNECTIONS = 200;
const RATE = 40_000;
/** Longest a body takes, in seconds; in the tests, and where there is time. */
const LONGEST = { quick: 4, full: 20 } as const;
const FEW_EXITS = 2;
const GRACE_MS = 30_000;

/** Stops in good order. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-101',
    title: 'SIGTERM under 200 answers on their way cuts none of them, and the node exits with 0',
    quick: FEW_EXITS,
    full: 20,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const { node } = site;
      const longest = run.cases > FEW_EXITS ? LONGEST.full : LONGEST.quick;
      return await tryCases(run, async (number, random) => {
        if (!node.isRunning) await node.restart();
        const begun: Promise<unknown>[] = [];
        const answers = Array.from({ length: CONNECTIONS }, async (_, client) => {
          const size = Math.round(RATE * (1 + random.fraction() * (longest - 1)));
          const { promise, resolve } = Promise.withResolvers<void>();
          const key = `/${number}/${client}?size=${size}&rate=${RATE}`;
          const whole = site.whole(key, size, { arrived: () => resolve() });
          begun.push(Promise.race([promise, whole]));
          await whole;
        });
        await Promise.all(begun);
        const from = performance.now();
        const stopped = node.stop();
        await refused(Number(new URL(node.url).port));
        const cut = (await Promise.allSettled(answers)).filter(
          ({ status }) => status === 'rejected',
        );
        if (cut.length > 0)
          throw new Error(`${cut.length} cut: ${(cut[0] as PromiseRejectedResult).reason}`);
        const { code, signal } = await stopped;
        if (code !== 0) throw new Error(`ended with ${code ?? signal}`);
        const ms = performance.now() - from;
        if (ms > GRACE_MS) throw new Error(`ended only after ${Math.round(ms)} ms`);
        await site.audit();
      });
    },
  },
];

/** Resolves once the port takes no more connections. */
async function refused(port: number): Promise<void> {
  for (;;) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (!isOpen) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
