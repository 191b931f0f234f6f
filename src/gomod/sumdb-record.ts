import { strictBase64 } from './signed-note.ts';
import { SumdbFault } from './sumdb-fault.ts';
import { HASH_SIZE } from './tlog.ts';

/** Sums of a version as go.sum writes them, `h1:` and base64. */
export interface ModuleSums {
  /** Of the zip's files. Absent: not known. */
  readonly zip?: string | undefined;
  /** Of the go.mod file. Absent: not known. */
  readonly mod?: string | undefined;
}

/** Whose sums were compared, and who says what they should be. */
export interface ComparedSums extends ModuleSums {
  readonly database: string;
  readonly module: string;
  readonly version: string;
}

const PREFIX = 'h1:';

/**
 * The sums of a version in a record's lines, `M V h1:…` and `M V/go.mod h1:…`; of several for the same the first counts, as for
 * the go command. Throws `SumdbFault` where a sum is malformed or none is of this version.
 */
export function sumsIn(text: Buffer, module: string, version: string): ModuleSums {
  const lines = text.toString().split('\n');
  const zip = sumOf(lines, `${module} ${version} ${PREFIX}`);
  const mod = sumOf(lines, `${module} ${version}/go.mod ${PREFIX}`);
  if (zip === undefined && mod === undefined)
    throw new SumdbFault('the record holds no sum of this version');
  return { zip, mod };
}

/**
 * A sentence for a person about the first sum that a record contradicts or does not hold. Absent: all sums given are as the
 * record has them.
 */
export function compareSums(record: ComparedSums, sums: ModuleSums): string | undefined {
  const { database, module, version } = record;
  const pairs = [
    ['zip', sums.zip, record.zip],
    ['go.mod', sums.mod, record.mod],
  ] as const;
  for (const [what, sum, expected] of pairs) {
    if (sum === undefined || sum === expected) continue;
    const says = expected === undefined ? 'holds no sum of it' : `says ${expected}`;
    return `the ${what} of ${module}@${version} has ${sum}, checksum database ${database} ${says}`;
  }
  return undefined;
}

function sumOf(lines: readonly string[], prefix: string): string | undefined {
  const line = lines.find((one) => one.startsWith(prefix));
  if (line === undefined) return undefined;
  const bytes = strictBase64(line.slice(prefix.length));
  if (bytes?.length !== HASH_SIZE) throw new SumdbFault('the record holds a malformed sum');
  // A new text: a piece of the line would keep the whole record alive.
  return PREFIX + bytes.toString('base64');
}
