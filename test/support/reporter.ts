import Mocha from 'mocha';

/** Milliseconds after the last test in which everything that was opened must have been closed. */
const CLOSE_LIMIT_MS = 20_000;

/** Mocha's spec reporter with a last line that counts: `N passed, N failed, N skipped`. */
export default class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options);
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = this.stats;
      process.stdout.write(`${passes} passed, ${failures} failed, ${pending} skipped\n`);
      setTimeout(failForOpenHandles, CLOSE_LIMIT_MS).unref();
      // Behind mocha's own listener, which sets the code: leaves at once, where freeing what is left could wait for ever.
      process.once('beforeExit', () => process.once('exit', () => process.exit()));
    });
  }
}

function failForOpenHandles(): void {
  const open = process.getActiveResourcesInfo().join(', ');
  process.stderr.write(`the tests are over but something is still open: ${open}\n`);
  process.exit(1);
}
