import type { Command } from 'commander';
import { ProxyError } from '../errors.ts';
import { storedTotal, verifyRow } from '../operator-schemas.ts';
import { type OperatorOptions, parseFilled, withOperatorOptions } from './command-options.ts';
import { type Operator, openOperator } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { EXIT, humanSize, plain, print } from './terminal.ts';
import { verifySums } from './verify-sums.ts';

interface VerifyOptions extends OperatorOptions {
  readonly storage?: string | undefined;
  readonly sumdb?: boolean | undefined;
  readonly rule?: string | undefined;
}

/** `caje verify`. */
export function addVerifyCommand(program: Command): void {
  const about =
    'read every body against its digest; what is bad is dropped and fetched again when asked for';
  withOperatorOptions(program.command('verify').description(about))
    .option('--storage <name>', 'only this store', parseFilled)
    .option('--sumdb', 'compare the hashes of Go modules with the checksum database instead')
    .option('--rule <name>', 'the Go rule whose modules and database are meant', parseFilled)
    .addHelpText('after', '\nExit code 1 if any is bad.\n\nExample:\n  caje verify --storage local')
    .action(async (options: VerifyOptions) => {
      const { sumdb, storage } = options;
      if (sumdb && storage !== undefined)
        throw new ProxyError('invalid', 'verify', '--storage does not go with --sumdb');
      process.exitCode = await (sumdb ? verifySums(options) : verify(options));
    });
}

async function verify(options: VerifyOptions): Promise<number> {
  if (options.rule !== undefined)
    throw new ProxyError('invalid', 'verify', '--rule goes with --sumdb');
  await using operator = await openOperator(options.config);
  const { bodies, bytes, bad } = await readAll(operator, options);
  if (!options.json)
    print(`${bodies} ${bodies === 1 ? 'body' : 'bodies'}, ${humanSize(bytes)}, ${bad} bad`);
  return bad === 0 ? EXIT.done : EXIT.failed;
}

async function readAll(
  operator: Operator,
  { json, storage }: VerifyOptions,
): Promise<{ readonly bodies: number; readonly bytes: number; readonly bad: number }> {
  // Counting takes a walk of its own, so only where somebody watches.
  using bar = ProgressBar.isSeen
    ? new ProgressBar((await operator.call('stored', storedTotal, { storage })).bytes)
    : undefined;
  let bodies = 0;
  let bad = 0;
  let bytes = 0;
  for await (const row of operator.stream('verify', verifyRow, { storage })) {
    bodies += 1;
    bytes += row.size;
    if (!row.ok) bad += 1;
    if (json || !row.ok) {
      bar?.clear();
      const { digest, problem } = row;
      print(json ? JSON.stringify(row) : plain(`bad: ${digest} in ${row.storage}: ${problem}`));
    }
    bar?.update(bytes, `${bodies} read, ${bad} bad`);
  }
  return { bodies, bytes, bad };
}
