import { type BareItem, type Dictionary, parseDictionary, Token } from 'structured-headers';
import type { HeaderList } from '../headers.ts';
import { type CacheControl, isSeconds, MAX_SECONDS } from './cache-control.ts';

/** Fields that speak to caches like this one alone where a rule names no others, RFC 9213 §3.1. */
export const TARGETED_FIELDS: readonly string[] = ['CDN-Cache-Control'];

/**
 * Directives of the first of these fields that is there and can be read: they stand in for Cache-Control and Expires
 * alike, RFC 9213 §2.2. Absent: none is, so those hold.
 */
export function targetedControl(
  headers: HeaderList,
  names: readonly string[],
): CacheControl | undefined {
  for (const name of names) {
    const value = headers.get(name);
    const directives = value === undefined ? undefined : readTargeted(value);
    if (directives !== undefined) return directives;
  }
  return undefined;
}

/** Absent: empty, no dictionary (RFC 8941 §3.2), or a time in it that is no whole number; such a field is ignored. */
function readTargeted(value: string): CacheControl | undefined {
  const dictionary = dictionaryOf(value);
  if (dictionary === undefined || dictionary.size === 0) return undefined;
  const directives = new Map<string, string | true>();
  for (const [name, [item]] of dictionary) {
    if (isSeconds(name)) {
      if (typeof item !== 'number' || !Number.isInteger(item)) return undefined;
      directives.set(name, String(Math.min(Math.max(item, 0), MAX_SECONDS)));
    } else if (item !== false) directives.set(name, argumentOf(item));
  }
  return directives;
}

function dictionaryOf(value: string): Dictionary | undefined {
  try {
    return parseDictionary(value);
  } catch {
    return undefined;
  }
}

// A list of names is not what §5.2.2.4 of RFC 9111 calls an argument: the directive then covers the whole answer.
function argumentOf(item: BareItem | readonly unknown[]): string | true {
  if (item instanceof Token) return item.toString();
  return typeof item === 'string' || typeof item === 'number' ? String(item) : true;
}
