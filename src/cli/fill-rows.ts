import type { FillRow } from '../go-schemas.ts';
import { ProgressBar } from './progress-bar.ts';
import { EXIT, humanSize, plain, print, roomToPrint } from './terminal.ts';

/** How rows are shown. */
export interface FillRowsOptions {
  readonly json: boolean;
  /** Word for what was not there before: `fetched`, `imported`. */
  readonly verb: string;
  /** Rows that will come. Absent: as many as they say are wanted. */
  readonly total?: number | undefined;
}

/** Shows what `populate` and `import` did, file by file and in sum. */
export class FillRows implements Disposable {
  readonly #options: FillRowsOptions;
  readonly #bar: ProgressBar | undefined;
  readonly #counts = { fetched: 0, kept: 0, 'would fetch': 0, absent: 0, failed: 0 };
  #bytes = 0;
  /** Wanted by calls that are over. */
  #before = 0;

  constructor(options: FillRowsOptions) {
    this.#options = options;
    this.#bar = ProgressBar.isSeen ? new ProgressBar(1) : undefined;
  }

  /** 1 if anything failed. */
  get exitCode(): number {
    return this.#counts.failed === 0 ? EXIT.done : EXIT.failed;
  }

  /** Resolves when the row is shown and there is room for the next. */
  async take(row: FillRow): Promise<void> {
    this.#counts[row.outcome] += 1;
    if (row.outcome === 'fetched') this.#bytes += row.size;
    const text = this.#textOf(row);
    if (text !== undefined) {
      this.#bar?.clear();
      print(text);
    }
    this.#bar?.update(
      this.#rows,
      `${this.#counts.failed} failed`,
      this.#options.total ?? this.#before + row.wanted,
    );
    await roomToPrint();
  }

  /** The call is over; the next one counts anew. */
  next(): void {
    this.#before = this.#rows;
  }

  /** One line for people about all of it. `stopped`: it was not finished. */
  sum(stopped: boolean): void {
    this[Symbol.dispose]();
    if (this.#options.json) return;
    const { verb } = this.#options;
    const { fetched, kept, absent, failed } = this.#counts;
    const would = this.#counts['would fetch'];
    const parts = [
      ...(would > 0
        ? [`${would} to be ${verb}`]
        : [`${fetched} ${verb} (${humanSize(this.#bytes)})`]),
      `${kept} kept already`,
      ...(absent > 0 ? [`${absent} not there and not needed`] : []),
      `${failed} failed`,
    ];
    print(`${parts.join(', ')}${stopped ? '; stopped: run it again to go on' : ''}`);
  }

  [Symbol.dispose](): void {
    this.#bar?.[Symbol.dispose]();
  }

  get #rows(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
  }

  #textOf(row: FillRow): string | undefined {
    if (this.#options.json) return JSON.stringify(row);
    if (row.outcome === 'failed') return plain(`failed: ${row.path}: ${row.problem ?? 'unknown'}`);
    return row.outcome === 'would fetch' ? plain(`not kept: ${row.path}`) : undefined;
  }
}
