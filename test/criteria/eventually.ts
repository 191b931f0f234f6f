/** Milliseconds between two looks. */
const POLL_MS = 15;
const DEADLINE_MS = 15_000;

/** Looks until there is something, and gives it. Throws, with what it waited for, after 15 s or `deadlineMs`. */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  deadlineMs?: number,
): Promise<NonNullable<T>> {
  const end = performance.now() + (deadlineMs ?? DEADLINE_MS);
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > end) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
