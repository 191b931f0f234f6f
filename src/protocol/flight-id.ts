import type { FlightSubject } from '../stashers/fills.ts';
import type { Resource } from './resource.ts';

/** Names what a purge or a failed upstream concerns: all variants of a key. */
export function idOf({ namespace, rule, edition = '', key }: FlightSubject): string {
  return `${namespace}\n${rule}\n${edition}\n${key}`;
}

/** Names the fetch that requests share, given the fields that answers are known to vary on. */
export function flightId(resource: Resource, vary: readonly string[]): string {
  return `${idOf(resource.subject)}\n${resource.variant(vary)}`;
}
