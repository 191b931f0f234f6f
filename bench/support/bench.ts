import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Settings of a run; each bench reads those it knows. */
export type Settings = Readonly<Record<string, string>>;

/** One question and how it is answered. */
export interface Bench {
  readonly name: string;
  /** What is measured and against what. */
  readonly question: string;
  /** Names and defaults of the settings it knows. */
  readonly settings: Settings;
  run(settings: Settings): Promise<readonly Row[]>;
}

/** What was measured of one peer. */
export interface Row {
  readonly peer: string;
  /** What `rounds` are: `hits/CPU s`, `ms to the first byte`. */
  readonly figure: string;
  /** One value per round. */
  readonly rounds: readonly number[];
  /** CPU seconds of the peer's process tree, all rounds together. Absent: not the question. */
  readonly cpuSeconds?: number | undefined;
  /** The figure that is compared, and what is expected of it. Absent: a reference. */
  readonly comparison?: Comparison | undefined;
  readonly note?: string | undefined;
}

/** A figure held against its target. */
export interface Comparison {
  /** `ratio to nginx`, `ms later than direct`. */
  readonly what: string;
  readonly value: number;
  /** Absent: shown beside the others, nothing is asked of it. */
  readonly target?: { readonly atLeast: number } | { readonly atMost: number } | undefined;
}

/** The middle value, or the mean of the two in the middle. Throws when there is none. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Linear between neighbours. Throws when there is no value. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const low = sorted[Math.floor(place)];
  const high = sorted[Math.ceil(place)];
  if (low === undefined || high === undefined) throw new Error('nothing was measured');
  return low + (high - low) * (place - Math.floor(place));
}

/** Median of the quotients of each round, so that what disturbed a round disturbs both of its sides. */
export function ratio(values: readonly number[], reference: readonly number[]): number {
  return median(values.map((value, round) => value / (reference[round] ?? Number.NaN)));
}

/** Whether the target is met; undefined: nothing is asked. */
export function isMet({ value, target }: Comparison): boolean | undefined {
  if (target === undefined) return undefined;
  return 'atLeast' in target ? value >= target.atLeast : value <= target.atMost;
}

/** The rows as a Markdown table. */
export function toTable(rows: readonly Row[]): string {
  const head = ['peer', 'figure', 'median', 'spread', 'CPU s', 'compared', 'target', ''];
  const cells = rows.map((row) => {
    const { comparison } = row;
    const verdict = comparison && isMet(comparison);
    return [
      row.peer,
      row.figure,
      short(median(row.rounds)),
      row.rounds.length > 1
        ? `${short(Math.min(...row.rounds))}–${short(Math.max(...row.rounds))}`
        : '',
      row.cpuSeconds === undefined ? '' : row.cpuSeconds.toFixed(2),
      comparison ? `${comparison.value.toFixed(2)} ${comparison.what}` : '',
      targetText(comparison),
      [verdict === undefined ? '' : verdict ? 'met' : 'MISSED', row.note ?? '']
        .filter((part) => part !== '')
        .join('; '),
    ];
  });
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((line) => (line[column] ?? '').length)),
  );
  const line = (parts: readonly string[]): string =>
    `| ${parts.map((part, column) => part.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...cells.map(line)].join(
    '\n',
  );
}

/** A new folder for one run; removed when it is disposed. `CAJE_BENCH_FOLDER` names where. */
export async function tempFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(process.env['CAJE_BENCH_FOLDER'] ?? tmpdir(), 'caje-bench-'));
  return {
    path,
    [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }),
  };
}

/** A setting that counts something. Throws when it is not a number. */
export function numberOf(settings: Settings, name: string): number {
  const value = Number(settings[name]);
  if (!Number.isFinite(value)) {
    throw new Error(`--${name} is ${settings[name]}: expected a number`);
  }
  return value;
}

function targetText(comparison: Comparison | undefined): string {
  const target = comparison?.target;
  if (target === undefined) return '';
  return 'atLeast' in target ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`;
}

function short(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toString();
  return value.toPrecision(3).replace(/\.?0+$/, (zeros) => (zeros.startsWith('.') ? '' : zeros));
}
