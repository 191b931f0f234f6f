import { styleText } from 'node:util';
import { ConfigError, formatConfigError } from '../config/config-error.ts';
import { codeOf, kindOf, messageOf, ProxyError } from '../errors.ts';

/** What a command ends with: done, failed, wrong usage or configuration, not allowed. */
export const EXIT: { readonly done: 0; readonly failed: 1; readonly usage: 2; readonly denied: 3 } =
  {
    done: 0,
    failed: 1,
    usage: 2,
    denied: 3,
  };

/** Writes one line for people or programs that read the command's result. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
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

/** Whole seconds for people: `2h 5m`, with a minus where it is past. */
export function humanSpan(seconds: number): string {
  if (seconds > 10 * 365 * 86_400) return 'for ever';
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

/** Rows under their titles, columns as wide as they need; numbers to the right. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, at) =>
    Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => (at === cells.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)))
      .join('  ');
  return [strong(line(titles)), ...rows.map(line)].join('\n');
}

function reason(error: unknown): string {
  if (error instanceof ProxyError) return error.message;
  const code = codeOf(error);
  return code === undefined ? messageOf(error) : `${messageOf(error)} (${code})`;
}
