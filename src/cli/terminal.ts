import { once } from 'node:events';
import { styleText } from 'node:util';
import { ConfigError, formatConfigError } from '../config/config-error.ts';
import { codeOf, kindOf, messageOf, ProxyError } from '../errors.ts';

/** What a command ends with: done, failed, wrong usage or configuration, not allowed. */
export const EXIT: {
  readonly done: 0;
  readonly failed: 1;
  readonly usage: 2;
  readonly denied: 3;
  readonly wedged: 75;
} = { done: 0, failed: 1, usage: 2, denied: 3, wedged: 75 };

/** Writes one line for people or programs that read the command's result. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** Resolves when there is room for more: a reader that is slower than us must not make us hold what it has not read. */
export async function roomToPrint(): Promise<void> {
  if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain');
}

/** Resolves when all that was printed has left, or nobody reads it any more. */
export async function allPrinted(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  process.stdout.write('', () => resolve());
  await promise;
}

/** Says what is odd without being a failure, on standard error. */
export function warn(text: string): void {
  process.stderr.write(`${styleText('yellow', 'caje:', { stream: process.stderr })} ${text}\n`);
}

/** Says what went wrong on standard error, without a stack, and gives the exit code that fits. */
export function complain(error: unknown): number {
  if (error instanceof ConfigError) {
    process.stderr.write(`${formatConfigError(error)}\n`);
    return EXIT.usage;
  }
  process.stderr.write(
    `${styleText('red', 'caje:', { stream: process.stderr })} ${reason(error)}\n`,
  );
  const kind = kindOf(error);
  if (kind === 'invalid') return EXIT.usage;
  return kind === 'unauthorized' || kind === 'forbidden' ? EXIT.denied : EXIT.failed;
}

/** Emphasis on a terminal, plain text elsewhere and with NO_COLOR. */
export function strong(text: string): string {
  return styleText('bold', text);
}

const FOR_EVER_SECONDS = 10 * 365 * 86_400;

/** Bytes for people: `1.5 MiB`. */
export function humanSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** Whole seconds for people: `2h 5m`, with a minus where it is past; over ten years is for ever. */
export function humanSpan(seconds: number): string {
  if (seconds > FOR_EVER_SECONDS) return 'for ever';
  const sign = seconds < 0 ? '-' : '';
  let left = Math.abs(seconds);
  const parts: string[] = [];
  for (const [unit, size] of [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0 && parts.length < 2) parts.push(`${count}${unit}`);
  }
  return sign + (parts.join(' ') || '0s');
}

/** A column of a table; what is wider pushes the rest of its line. */
export interface Column {
  readonly title: string;
  /** Characters. The last column needs none. */
  readonly width: number;
}

/** Writes a table line by line, so that a long one is never held whole. The titles come with the first row. */
export class TableWriter {
  readonly #columns: readonly Column[];
  #rows = 0;

  constructor(columns: readonly Column[]) {
    this.#columns = columns;
  }

  /** How many were written. */
  get rows(): number {
    return this.#rows;
  }

  row(cells: readonly string[]): void {
    if (this.#rows === 0) print(strong(this.#line(this.#columns.map(({ title }) => title))));
    this.#rows += 1;
    print(plain(this.#line(cells)));
  }

  #line(cells: readonly string[]): string {
    const last = cells.length - 1;
    const padded = cells.map((cell, at) =>
      at === last ? cell : cell.padEnd(this.#columns[at]?.width ?? 0),
    );
    return padded.join('  ');
  }
}

/** A line in which nothing steers the terminal: what came from outside may hold control characters. */
export function plain(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '\u{fffd}');
}

function reason(error: unknown): string {
  if (error instanceof ProxyError) return error.message;
  const code = codeOf(error);
  return code === undefined ? messageOf(error) : `${messageOf(error)} (${code})`;
}
