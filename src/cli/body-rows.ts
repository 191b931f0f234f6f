import type { BodyRow, HouseTotal } from '../house-schemas.ts';
import { ProgressBar } from './progress-bar.ts';
import { EXIT, humanSize, plain, print, roomToPrint } from './terminal.ts';

/** How rows of bodies are shown. */
export interface BodyRowsOptions {
  readonly json: boolean;
  /** Such as `copied`. */
  readonly verb: string;
  /** Absent: nobody watches. */
  readonly total?: HouseTotal | undefined;
}

/** Shows rows of bodies as they come: all of them with `--json`, else those that failed; and how far it is. */
export class BodyRows implements Disposable {
  readonly #options: BodyRowsOptions;
  readonly #bar: ProgressBar | undefined;
  readonly #counts: Record<BodyRow['outcome'], number> = {
    copied: 0,
    there: 0,
    missing: 0,
    failed: 0,
  };
  #bytes = 0;
  #seen = 0;

  constructor(options: BodyRowsOptions) {
    this.#options = options;
    this.#bar = options.total && new ProgressBar(options.total.bytes);
  }

  /** Takes the next row; resolves when there is room for more. */
  async take(row: BodyRow): Promise<void> {
    const { json } = this.#options;
    this.#counts[row.outcome] += 1;
    this.#seen += row.size;
    if (row.outcome === 'copied') this.#bytes += row.size;
    if (json || row.outcome === 'failed') {
      this.#bar?.clear();
      print(json ? JSON.stringify(row) : plain(`failed: ${row.digest}: ${row.problem}`));
    }
    await roomToPrint();
    const { copied, there, failed } = this.#counts;
    this.#bar?.update(this.#seen, `${copied + there} done, ${failed} failed`);
  }

  /** Says what became of all of them, and gives the exit code; `mayFail`: failures were allowed. */
  sum(stopped: boolean, mayFail = false): number {
    this.#bar?.clear();
    const { copied, there, missing, failed } = this.#counts;
    if (!this.#options.json) {
      const lacking = missing > 0 ? `, ${missing} missing` : '';
      const rest = stopped ? '; stopped: run it again to go on' : '';
      print(
        `${copied} ${this.#options.verb} (${humanSize(this.#bytes)}), ${there} there already${lacking}, ${failed} failed${rest}`,
      );
    }
    return stopped || (failed > 0 && !mayFail) ? EXIT.failed : EXIT.done;
  }

  [Symbol.dispose](): void {
    this.#bar?.[Symbol.dispose]();
  }
}
