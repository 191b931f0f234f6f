import { join } from 'node:path';
import { ProxyError } from '../errors.ts';
import { createLogger } from '../log.ts';
import { POPULATE_CURSORS } from '../node-populate.ts';
import { type Watched, watchMissing } from '../populate-watch.ts';
import type { OperatorOptions } from './command-options.ts';
import { isAnswering } from './operator.ts';
import { stoppable } from './stoppable.ts';
import { EXIT, humanSize, plain, print, roomToPrint, warn } from './terminal.ts';

/** What a watch is told on the command line. */
export interface WatchCommandOptions extends OperatorOptions {
  readonly rule?: string | undefined;
  readonly concurrency: number;
  /** Milliseconds. */
  readonly interval: number;
}

/**
 * `caje populate --watch`: a process of its own, beside a node on the same data folder or alone, until a signal ends it.
 * What it fetches goes through the rule as a request would, and into the same stores.
 */
export async function populateWatch(options: WatchCommandOptions): Promise<number> {
  const { config: file, json = false, rule, concurrency, interval: intervalMs } = options;
  const [{ loadNode }, { isGuest, openOfflineNode }, { builtinTypes }, { SystemClock }] =
    await Promise.all([
      import('./load.ts'),
      import('../offline-node.ts'),
      import('../builtin-types.ts'),
      import('../clock.ts'),
    ]);
  const loaded = await loadNode(file);
  const { config } = loaded;
  const log = createLogger('warn');
  const serves = await isAnswering(join(config.data, 'control.sock'));
  if (serves && config.roles.includes('populate'))
    throw new ProxyError(
      'conflict',
      'populate-watch',
      'the node on this data folder does this already: its roles have populate',
    );
  if (!serves && isGuest(config))
    warn('no node serves this data folder: what is new is seen once one does');
  await using node = await openOfflineNode({ ...loaded, types: builtinTypes, log, beside: true });
  const parts = { ...node.house, clock: new SystemClock(), log };
  const cursorPath = join(config.data, POPULATE_CURSORS);
  // The watch's own timers do not keep a process alive.
  const alive = setInterval(() => {}, 60_000);
  await stoppable(async (signal) => {
    const to = { signal, intervalMs, concurrency, rule, cursorPath };
    for await (const watched of watchMissing(parts, to)) {
      print(json ? JSON.stringify(watched) : told(watched));
      await roomToPrint();
    }
  });
  clearInterval(alive);
  return EXIT.done;
}

function told({ key, outcome, size, problem }: Watched): string {
  if (problem !== undefined) return `${outcome}  ${plain(key)}: ${plain(problem)}`;
  return `${outcome}  ${plain(key)} (${humanSize(size)})`;
}
