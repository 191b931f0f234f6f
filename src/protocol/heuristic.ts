/** Part of the time since Last-Modified for which an answer without a lifetime counts as fresh, RFC 9111 §4.2.2. */
export const HEURISTIC_FRACTION = 0.1;

/** Seconds: no answer is fresh for longer on a guess. */
export const HEURISTIC_LIMIT: number = 24 * 3600;

/** RFC 9110 §15.1, without errors: a mistake of the origin is not kept on a guess. */
const HEURISTIC_STATUSES: ReadonlySet<number> = new Set([200, 203, 204, 300, 301, 308]);

/** True: an answer of this status may be kept though it names no lifetime. Never for an error. */
export function keptByDefault(status: number): boolean {
  return HEURISTIC_STATUSES.has(status);
}

/** True: a lifetime may be guessed for this answer, RFC 9111 §4.2.2; `isPublic`: it says so in Cache-Control. */
export function mayGuess(status: number, isPublic: boolean): boolean {
  return keptByDefault(status) || (isPublic && status < 400);
}
