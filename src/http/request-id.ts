import { randomUUID } from 'node:crypto';

const TAKEN = /^[\w.:/+=-]{1,128}$/;

/** A new id for one request, to find its log line by. */
export function newRequestId(): string {
  return randomUUID();
}

/** The id that a trusted proxy gave the request, where it is plain and short; else a new one. */
export function requestIdOf(given: string | string[] | undefined, trusted: boolean): string {
  return trusted && typeof given === 'string' && TAKEN.test(given) ? given : newRequestId();
}
