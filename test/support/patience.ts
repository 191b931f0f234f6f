/**
 * How many times longer than promised something may take here. Tests share their machine with others, and a promise of
 * milliseconds says nothing there; `npm run soak` has it for itself and sets 1. `CAJE_TEST_PATIENCE` sets another.
 */
export function patience(): number {
  return Number(process.env['CAJE_TEST_PATIENCE'] ?? 8);
}
