import type { Command } from 'commander';
import { ProxyError } from '../errors.ts';
import { storedTotal } from '../operator-schemas.ts';
import { type VerifyRow, verifyRow } from '../storage-schemas.ts';
import { type OperatorOptions, parseFilled, withOperatorOptions } from './command-options.ts';
import { type Operator, openOperator } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { stoppable } from './stoppable.ts';
import { EXIT, humanSize, plain, print, roomToPrint } from './terminal.ts';
import { verifySums } from './verify-sums.ts';

interface VerifyOptions extends OperatorOptions {
  readonly storage?: string | undefined;
  readonly repair?: boolean | undefined;
  readonly sumdb?: boolean | undefined;
  readonly rule?: string | undefined;
}

/** `caje verify`. */
export function addVerifyCommand(program: Command): void {
  const about =
    'read every body against its digest; what is bad is put aside and fetched again when asked for';
  withOperatorOptions(program.command('verify').description(about))
    .option('--storage <name>', 'only this store', parseFilled)
    .option('--repair', 'fetch what is bad, or was found so before, again at once')
    .option('--sumdb', 'compare the hashes of Go modules with the checksum database instead')
    .option('--rule <name>', 'the Go rule whose modules and database are meant', parseFilled)
    .addHelpText(
      'after',
      '\nExit code 1 if any is bad and not repaired.\n\nExample:\n  caje verify --repair',
    )
    .action(async (options: VerifyOptions) => {
      const { sumdb, storage, repair } = options;
      if (sumdb && (storage !== undefined || repair))
        throw new ProxyError(
          'invalid',
          'verify',
          `${repair ? '--repair' : '--storage'} does not go with --sumdb`,
        );
      process.exitCode = await (sumdb ? verifySums(options) : verify(options));
    });
}

async function verify(options: VerifyOptions): Promise<number> {
  if (options.rule !== undefined)
    throw new ProxyError('invalid', 'verify', '--rule goes with --sumdb');
  await using operator = await openOperator(options.config);
  const { bodies, bytes, bad, repaired, stopped } = await readAll(operator, options);
  if (!options.json) {
    const what = `${bodies} ${bodies === 1 ? 'body' : 'bodies'}, ${humanSize(bytes)}, ${bad} bad`;
    print(`${what}${options.repair ? `, ${repaired} repaired` : ''}${stopped ? '; stopped' : ''}`);
  }
  return bad === repaired && !stopped ? EXIT.done : EXIT.failed;
}

async function readAll(
  operator: Operator,
  { json, storage, repair = false }: VerifyOptions,
): Promise<Record<'bodies' | 'bytes' | 'bad' | 'repaired', number> & { stopped: boolean }> {
  // Counting takes a walk of its own, so only where somebody watches.
  using bar = ProgressBar.isSeen
    ? new ProgressBar((await operator.call('stored', storedTotal, { storage })).bytes)
    : undefined;
  let bodies = 0;
  let bad = 0;
  let bytes = 0;
  let repaired = 0;
  const input = { storage, repair };
  const stopped = await stoppable(async (signal) => {
    for await (const row of operator.stream('verify', verifyRow, input, { signal })) {
      bodies += 1;
      bytes += row.size;
      if (!row.ok) bad += 1;
      if (row.repair !== undefined && row.repair !== 'missing') repaired += 1;
      if (json || !row.ok) {
        bar?.clear();
        print(json ? JSON.stringify(row) : sentence(row));
        await roomToPrint();
      }
      bar?.update(bytes, `${bodies} read, ${bad} bad`);
    }
  });
  return { bodies, bytes, bad, repaired, stopped };
}

function sentence({ digest, storage, problem, repair }: VerifyRow): string {
  return plain(`${repair ?? 'bad'}: ${digest} in ${storage}: ${problem}`);
}
