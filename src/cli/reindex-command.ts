import { join } from 'node:path';
import type { Command } from 'commander';
import { ProxyError } from '../errors.ts';
import { HOUSE_CONCURRENCY } from '../house-schemas.ts';
import { createLogger } from '../log.ts';
import type { ReindexNotes, ReindexResult, ReindexRow } from '../reindex-schemas.ts';
import {
  type OperatorOptions,
  parseCount,
  parseFilled,
  withOperatorOptions,
} from './command-options.ts';
import { isAnswering } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { stoppable } from './stoppable.ts';
import { EXIT, print, roomToPrint, warn } from './terminal.ts';

interface ReindexOptions extends OperatorOptions {
  readonly from?: string | undefined;
  readonly node?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly force?: boolean | undefined;
  readonly concurrency: number;
}

/** `caje reindex`. */
export function addReindexCommand(program: Command): void {
  const command = program
    .command('reindex')
    .description('make the manifest anew from the storages; no node may run with it');
  withOperatorOptions(command)
    .option('--from <storage>', 'take only the notes of this storage', parseFilled)
    .option(
      '--node <name>',
      'take the notes of another node, such as of a lost data folder',
      parseFilled,
    )
    .option('--dry-run', 'only say what would be found')
    .option('--force', 'also where there is a manifest with entries: what it says counts first')
    .option('--concurrency <n>', 'bodies looked for at once', parseCount, HOUSE_CONCURRENCY)
    .addHelpText(
      'after',
      `
A node keeps beside its bodies what the manifest says of them. Answers whose body is there come back: Go modules as they were,
pages stale, so that the origin is asked before they are used. The old manifest is put aside at the end, so a reindex that was
stopped or killed has changed nothing. The journal begins a new epoch.

Example:
  caje reindex --dry-run`,
    )
    .action(async (options: ReindexOptions) => {
      process.exitCode = await reindex(options);
    });
}

async function reindex(options: ReindexOptions): Promise<number> {
  const {
    config: file,
    json = false,
    dryRun = false,
    force = false,
    from,
    node,
    concurrency,
  } = options;
  const [{ loadNode }, { builtinTypes }, { reindexNode }] = await Promise.all([
    import('./load.ts'),
    import('../builtin-types.ts'),
    import('../reindex-node.ts'),
  ]);
  const loaded = await loadNode(file);
  const { data } = loaded.config;
  const alone = async (): Promise<void> => {
    if (!(await isAnswering(join(data, 'control.sock')))) return;
    throw new ProxyError(
      'conflict',
      'reindex',
      `a node runs with the data folder ${data}: stop it first`,
    );
  };
  await alone();
  using shown = new ShownRows(json, dryRun);
  const input = { from, node, dryRun, force, concurrency };
  const offline = { ...loaded, types: builtinTypes, log: createLogger('warn'), alone };
  const stopped = await stoppable(async (signal) => {
    for await (const row of reindexNode(offline, input, shown, { signal })) await shown.take(row);
  });
  return shown.sum(stopped);
}

/** Shows rows as they come, how far it is, and what came of it. */
class ShownRows implements Disposable {
  readonly #json: boolean;
  readonly #dryRun: boolean;
  #bar: ProgressBar | undefined;
  #notes: ReindexNotes | undefined;
  #aside: string | undefined;
  #bodies = 0;
  #there = 0;
  #missing = 0;

  constructor(json: boolean, dryRun: boolean) {
    this.#json = json;
    this.#dryRun = dryRun;
  }

  gathered(notes: ReindexNotes): void {
    this.#notes = notes;
    if (ProgressBar.isSeen) this.#bar = new ProgressBar(notes.bodies);
  }

  done({ aside }: ReindexResult): void {
    this.#aside = aside;
  }

  async take(row: ReindexRow): Promise<void> {
    this.#bodies += 1;
    if (row.outcome === 'there') this.#there += row.answers;
    else this.#missing += row.answers;
    if (this.#json) {
      this.#bar?.clear();
      print(JSON.stringify(row));
      await roomToPrint();
    }
    this.#bar?.update(this.#bodies, `${this.#there} answers, ${this.#missing} without a body`);
  }

  /** Says what came of it, and gives the exit code. */
  sum(stopped: boolean): number {
    this.#bar?.clear();
    const { damaged = 0, partial = [] } = this.#notes ?? {};
    if (damaged > 0)
      warn(`damaged lines of the notes were left out, ${damaged}: a purge may be among them`);
    for (const storage of partial)
      warn(`the notes in storage ${storage} are not whole: some answers may be lacking`);
    if (this.#aside !== undefined) warn(`the manifest that was there is now ${this.#aside}`);
    if (!this.#json) {
      const verb = this.#dryRun || stopped ? 'found' : 'taken';
      const rest = stopped ? '; stopped: nothing was changed' : '';
      print(`${this.#there} answers ${verb}, ${this.#missing} without a body${rest}`);
    }
    return stopped ? EXIT.failed : EXIT.done;
  }

  [Symbol.dispose](): void {
    this.#bar?.[Symbol.dispose]();
  }
}
