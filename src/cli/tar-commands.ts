import { resolve } from 'node:path';
import {
  type TarExportInput,
  type TarImportInput,
  type TarRow,
  tarRow,
  tarTotal,
} from '../tar-schemas.ts';
import type { OperatorOptions } from './command-options.ts';
import { openOperator } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { stoppable } from './stoppable.ts';
import { EXIT, humanSize, plain, print, roomToPrint } from './terminal.ts';

interface TarWork {
  readonly name: 'export-tar' | 'import-tar';
  /** What counts as done, in words. */
  readonly verb: string;
  readonly mayMake: boolean;
}

/** `caje export --format tar`. Gives the exit code. */
export async function exportTarTo(
  file: string,
  options: Omit<TarExportInput, 'file'> & OperatorOptions,
): Promise<number> {
  return await run({ name: 'export-tar', verb: 'written', mayMake: false }, file, options);
}

/** `caje import --format tar`. Gives the exit code. */
export async function importTarFrom(
  file: string,
  options: Omit<TarImportInput, 'file'> & OperatorOptions,
): Promise<number> {
  const verb = options.dryRun ? 'would be imported' : 'imported';
  return await run({ name: 'import-tar', verb, mayMake: true }, file, options);
}

async function run(
  { name, verb, mayMake }: TarWork,
  file: string,
  { config, json = false, ...options }: OperatorOptions & object,
): Promise<number> {
  const input = { ...options, file: resolve(file) };
  await using operator = await openOperator(config, { mayMake });
  using bar = ProgressBar.isSeen
    ? new ProgressBar((await operator.call(`${name}-total`, tarTotal, input)).units)
    : undefined;
  const counts = { done: 0, kept: 0, missing: 0, failed: 0, bytes: 0 };
  const take = (row: TarRow): void => {
    if (row.outcome === 'kept' || row.outcome === 'missing' || row.outcome === 'failed')
      counts[row.outcome] += 1;
    else {
      counts.done += 1;
      counts.bytes += row.size;
    }
    if (json || row.outcome === 'failed') {
      bar?.clear();
      print(json ? JSON.stringify(row) : plain(`failed: ${row.key}: ${row.problem}`));
    }
    bar?.update(row.done, `${counts.done} ${verb}, ${counts.failed} failed`);
  };
  const stopped = await stoppable(async (signal) => {
    for await (const row of operator.stream(name, tarRow, input, { signal })) {
      take(row);
      await roomToPrint();
    }
  });
  bar?.clear();
  if (!json) {
    const lacking = counts.missing > 0 ? `, ${counts.missing} missing` : '';
    const there = mayMake ? `, ${counts.kept} kept already` : '';
    const rest = stopped ? '; stopped: run it again' : '';
    print(
      `${counts.done} ${verb} (${humanSize(counts.bytes)})${there}${lacking}, ${counts.failed} failed${rest}`,
    );
  }
  return stopped || counts.failed > 0 ? EXIT.failed : EXIT.done;
}
