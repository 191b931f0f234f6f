import type { HeaderList } from '../headers.ts';
import type { Entry } from '../manifest/entry.ts';
import { MAX_SECONDS } from './cache-control.ts';
import { parseHttpDate } from './http-date.ts';

/** A Date is cut to the second: the answer may have been made anywhere in the second that it names. */
const DATE_RESOLUTION_MS = 1000;

/** Seconds that an answer's Age states: the first of a list, digits only, at most 2^31; 0 where it states none. RFC 9111 §5.1. */
export function statedAge(headers: HeaderList): number {
  const first = headers.get('age')?.split(',')[0]?.trim() ?? '';
  return /^\d+$/.test(first) ? Math.min(Number(first), MAX_SECONDS) : 0;
}

/**
 * Seconds of age that an answer had on arrival: corrected_initial_age of RFC 9111 §4.2.3.
 * `requestedAt` and `receivedAt` are milliseconds since the epoch; `clockAhead`: how far they lie before the clock of the
 * machine, which is the one that the origin's Date has to do with.
 */
export function initialAge(
  headers: HeaderList,
  requestedAt: number,
  receivedAt: number,
  clockAhead = 0,
): number {
  const arrivedAt = receivedAt - clockAhead;
  const date = parseHttpDate(headers.getAll('date')[0] ?? '', arrivedAt) ?? arrivedAt;
  const apparentAge = Math.max(0, arrivedAt - date - DATE_RESOLUTION_MS) / 1000;
  const responseDelay = Math.max(0, receivedAt - requestedAt) / 1000;
  return Math.max(apparentAge, statedAge(headers) + responseDelay);
}

/** Seconds of age now, with their fraction: current_age of RFC 9111 §4.2.3. A clock set back does not make it younger than on arrival. */
export function exactAge(entry: Pick<Entry, 'policy'>, nowMs: number): number {
  return entry.policy.initialAge + Math.max(0, nowMs - entry.policy.receivedAt) / 1000;
}

/** Whole seconds of age now, as the Age field says it. */
export function ageOf(entry: Pick<Entry, 'policy'>, nowMs: number): number {
  return Math.min(Math.floor(exactAge(entry, nowMs)), MAX_SECONDS);
}
