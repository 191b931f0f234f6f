/** Part of the time since Last-Modified for which an answer without a lifetime counts as fresh, RFC 9111 §4.2.2. */
export const HEURISTIC_FRACTION = 0.1;

/** Seconds: no answer is fresh for longer on a guess. */
const LIMIT: number = 24 * 3600;
/** The same for an error: a mistake of the origin must be over soon. */
const ERROR_LIMIT: number = 60;

/** RFC 9110 §15.1, but for 206. */
const HEURISTIC_STATUSES: ReadonlySet<number> = new Set([
  200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501,
]);

/** True: an answer of this status may be kept though it names no lifetime. */
export function keptByDefault(status: number): boolean {
  return HEURISTIC_STATUSES.has(status);
}

/** True: a lifetime may be guessed for this answer, RFC 9111 §4.2.2; `isPublic`: it says so in Cache-Control. */
export function mayGuess(status: number, isPublic: boolean): boolean {
  return isPublic || keptByDefault(status);
}

/** Seconds for which an answer of this status may be fresh on a guess, at most. */
export function guessLimit(status: number): number {
  return status >= 400 ? ERROR_LIMIT : LIMIT;
}
