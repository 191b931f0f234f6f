import { Presets, SingleBar } from 'cli-progress';

/** How far long work is, on standard error; gone without a trace when it ends. */
export class ProgressBar implements Disposable {
  readonly #bar: SingleBar;

  /** Whether anybody watches: standard error is a terminal. */
  static get isSeen(): boolean {
    return process.stderr.isTTY === true;
  }

  constructor(total: number) {
    this.#bar = new SingleBar(
      {
        format: '{bar} {percentage} %  {note}',
        clearOnComplete: true,
        stream: process.stderr,
        // What is not changed needs no putting right when Ctrl-C ends the command.
        hideCursor: false,
        linewrap: true,
      },
      Presets.shades_classic,
    );
    this.#bar.start(total, 0, { note: '' });
  }

  /** More may have come in since the total was taken: then the bar stays full. `total`: what is known now. Absent: as before. */
  update(done: number, note: string, total?: number | undefined): void {
    if (total !== undefined) this.#bar.setTotal(total);
    this.#bar.update(Math.min(done, this.#bar.getTotal()), { note });
  }

  /** Makes room for a line of text; the next update draws the bar again below it. */
  clear(): void {
    process.stderr.write('\r\u001b[K');
  }

  [Symbol.dispose](): void {
    this.#bar.stop();
  }
}
