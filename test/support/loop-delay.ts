import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import type { NodeProcess } from './node-process.ts';
import { patience } from './patience.ts';

const ENTRY = fileURLToPath(new URL('loop-delay-entry.ts', import.meta.url));
const NS_PER_MS = 1e6;
/** Reliability F-52 and F-61. */
const P99_MS = 100;
const NEARLY = 0.9;

/** Environment of a node that can be asked how late its event loop was. */
export const LOOP_DELAY_ENV: Readonly<Record<string, string>> = {
  NODE_OPTIONS: `--import=${ENTRY}`,
};

/** How late an event loop was, in milliseconds. One that stood still for seconds shows in `max` alone. */
export interface LoopDelay {
  readonly p99: number;
  readonly max: number;
}

/** How late the event loop of a node of that environment was since it was asked the last time. */
export async function loopDelay(node: NodeProcess): Promise<LoopDelay> {
  const seen = node.log.length;
  process.kill(node.pid, 'SIGUSR2');
  const said = await node.logged(
    (line) => line.msg === 'loop delay' && node.log.indexOf(line) >= seen,
  );
  return { p99: Number(said['p99']), max: Number(said['max']) };
}

/** Watches the event loops of nodes, and beside them the one of this process: what the machine itself makes late shows there too. */
export class LoopWatch implements Disposable {
  readonly #nodes: readonly NodeProcess[];
  readonly #own: ReturnType<typeof monitorEventLoopDelay> = monitorEventLoopDelay({
    resolution: 10,
  });

  private constructor(nodes: readonly NodeProcess[]) {
    this.#nodes = nodes;
    this.#own.enable();
  }

  /** Begins now. */
  static async start(nodes: readonly NodeProcess[]): Promise<LoopWatch> {
    await Promise.all(nodes.map(loopDelay));
    return new LoopWatch(nodes);
  }

  /**
   * What was seen since the start. Throws where the p99 of a node is above 100 ms, or where it once stood still for nearly
   * `heldMs`, the time for which somebody kept the manifest from it; beyond what this process had to bear itself.
   */
  async expectQuick(heldMs: number): Promise<LoopDelay> {
    const all = await Promise.all(this.#nodes.map(loopDelay));
    const own = { p99: this.#own.percentile(99) / NS_PER_MS, max: this.#own.max / NS_PER_MS };
    const worst = {
      p99: Math.max(...all.map(({ p99 }) => p99)),
      max: Math.max(...all.map(({ max }) => max)),
    };
    if (worst.p99 > P99_MS * patience() + own.p99 || worst.max > NEARLY * heldMs + own.max)
      throw new Error(
        `event loops: p99 ${Math.round(worst.p99)} ms, most ${Math.round(worst.max)} ms; here ${Math.round(own.p99)} and ${Math.round(own.max)}`,
      );
    return worst;
  }

  [Symbol.dispose](): void {
    this.#own.disable();
  }
}
