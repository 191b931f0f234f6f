import { Presets, SingleBar } from 'cli-progress';

/** Shows how far long work is, on a terminal only. */
export interface Progress {
  /** Steps so far. */
  readonly count: number;
  step(note: string): void;
  /** A line above the bar. */
  say(line: string): void;
  stop(): void;
}

/** A bar whose end is not known beforehand: a count and a note. Without a terminal only what is said appears. */
export function progressBar(what: string, wanted: boolean): Progress {
  const shown = wanted && process.stderr.isTTY === true;
  const bar = new SingleBar(
    {
      format: `${what} {value}  {note}`,
      clearOnComplete: true,
      hideCursor: true,
      stream: process.stderr,
    },
    Presets.shades_classic,
  );
  if (shown) bar.start(0, 0, { note: '' });
  let count = 0;
  return {
    get count() {
      return count;
    },
    step(note) {
      count += 1;
      if (shown) bar.update(count, { note });
    },
    say(line) {
      process.stdout.write(`${line}\n`);
    },
    stop() {
      if (shown) bar.stop();
    },
  };
}
