/** How a skip counts. */
export interface SkipOptions {
  /** True: also with CI=true it is only a skip. Absent: there it is a failure. */
  readonly exempt?: boolean | undefined;
}

/**
 * Skips the test (or, from a `before` hook, its suite) unless the condition holds, and prints why. With CI=true what is
 * missing is a failure, so that no suite falls away unseen, unless it is exempt.
 */
export function skipUnless(
  context: Mocha.Context,
  condition: boolean,
  reason: string,
  options: SkipOptions = {},
): void {
  if (condition) return;
  if (isCi() && options.exempt !== true)
    throw new Error(`cannot be skipped with CI=true: ${reason}`);
  process.stdout.write(`      skipped: ${reason}\n`);
  context.skip();
}

/** Whether this is a run that may not skip. */
export function isCi(): boolean {
  return process.env['CI'] === 'true';
}
