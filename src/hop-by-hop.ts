import type { HeaderLine } from './headers.ts';
import { HeaderList } from './headers.ts';

/** Fields that concern one connection only, whatever Connection says (RFC 9110 §7.6.1); beside them all of `Proxy-*`. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/**
 * Fields that a Connection list cannot remove: without them a request means something else, so a client could
 * strip what a proxy before us, or caje itself, relies on.
 */
const PROTECTED = new Set([
  'host',
  'authorization',
  'cookie',
  'set-cookie',
  'cache-control',
  'pragma',
  'vary',
  'age',
  'date',
  'etag',
  'expires',
  'last-modified',
  'location',
  'content-length',
  'content-type',
  'content-encoding',
  'content-range',
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'forwarded',
  'via',
  'cdn-loop',
  'origin',
]);

function isHopByHop(name: string): boolean {
  return HOP_BY_HOP.has(name) || name.startsWith('proxy-');
}

function isProtected(name: string): boolean {
  return PROTECTED.has(name) || name.startsWith('x-forwarded-') || name.startsWith('caje-');
}

/** Only the end-to-end fields of a message: without the fixed ones and without those that its Connection field names. */
export function endToEnd(headers: HeaderList): HeaderList {
  const listed = headers.get('Connection');
  const named = listed === undefined ? undefined : namesIn(listed);
  const kept: HeaderLine[] = [];
  for (const line of headers.lines) {
    const name = line[0].toLowerCase();
    if (!isHopByHop(name) && named?.has(name) !== true) kept.push(line);
  }
  return kept.length === headers.lines.length ? headers : new HeaderList(kept);
}

function namesIn(connection: string): Set<string> {
  const names = connection.split(',').map((name) => name.trim().toLowerCase());
  return new Set(names.filter((name) => name !== '' && !isProtected(name)));
}
