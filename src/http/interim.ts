import type { ServerResponse } from 'node:http';
import type { InterimListener } from '../fetchers/fetcher.ts';
import type { HeaderList } from '../headers.ts';
import { endToEnd } from '../hop-by-hop.ts';

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Fields of an interim answer that would say something of the final one's body or of what is kept. */
const OF_THE_FINAL = ['content-length', 'set-cookie', 'set-cookie2'];

/**
 * Passes 102 and 103 on to a client as they come (RFC 9110 §15.2, RFC 8297), before the answer has begun; a 103 without Link,
 * and anything for HTTP/1.0, is dropped. They are neither kept nor repeated.
 */
export function interimSender(res: ServerResponse): InterimListener {
  return (status, headers) => {
    if (res.headersSent || res.destroyed || res.req.httpVersionMinor === 0) return;
    if (status === 102) res.writeProcessing();
    else if (status === 103) writeHints(res, headers);
  };
}

function writeHints(res: ServerResponse, headers: HeaderList): void {
  const hints: Record<string, string | string[]> = {};
  for (const [name, value] of endToEnd(headers).without(...OF_THE_FINAL).lines) {
    const key = name.toLowerCase();
    if (!NAME.test(name) || !VALUE.test(value)) continue;
    const before = hints[key];
    if (key === 'link') hints[key] = [...(Array.isArray(before) ? before : []), value];
    else hints[key] = typeof before === 'string' ? `${before}, ${value}` : value;
  }
  if (hints['link'] === undefined) return;
  try {
    res.writeEarlyHints(hints);
  } catch {
    // Links that node:http takes for none; a hint may be left out.
  }
}
