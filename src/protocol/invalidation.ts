import type { HeaderList } from '../headers.ts';
import { httpKey, splitAddress } from './http-key.ts';

/** Methods registered as safe, RFC 9110 §9.2.1 and the registry it sets up; all others may change things. */
const SAFE: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PROPFIND',
  'REPORT',
  'SEARCH',
  'QUERY',
]);

/**
 * Keys whose entries a request has made doubtful: the target's, and those that Location and Content-Location name on the
 * same origin. Empty for safe methods and for answers that are no success. RFC 9111 §4.4.
 */
export function invalidatedKeys(
  method: string,
  status: number,
  targetUrl: string,
  responseHeaders: HeaderList,
): string[] {
  if (SAFE.has(method) || status < 200 || status > 399) return [];
  const keys = new Set([httpKey(targetUrl)]);
  for (const field of ['location', 'content-location']) {
    for (const reference of responseHeaders.getAll(field))
      for (const key of sameOriginKeys(reference.trim(), targetUrl)) keys.add(key);
  }
  return [...keys];
}

/** As it is written and as a client would resolve it: either may be how the entry was asked for. */
function sameOriginKeys(reference: string, targetUrl: string): string[] {
  const origin = splitAddress(targetUrl)?.origin ?? '';
  const written = /^\/(?!\/)/.test(reference) ? origin + reference : reference;
  const resolved = URL.canParse(reference, targetUrl) ? new URL(reference, targetUrl).href : '';
  return [written, resolved].flatMap((url) => {
    const address = splitAddress(url);
    return address?.origin === origin ? [address.origin + address.target] : [];
  });
}
