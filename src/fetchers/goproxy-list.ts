import { ProxyError } from '../errors.ts';

/** One place of a GOPROXY list. */
export interface GoproxyEntry {
  /** `http:`, `https:` or `file:`, credentials still in it. */
  readonly url: URL;
  /** When the next one is asked: `absent` (`,`) on 404 and 410, `any` (`|`) on every failure. */
  readonly next: 'absent' | 'any';
}

/** A GOPROXY list as far as it can be used. */
export interface GoproxyList {
  readonly entries: readonly GoproxyEntry[];
  /** What was left out and why, one sentence each. */
  readonly notes: readonly string[];
}

const OP = 'goproxy-list.parse';

/**
 * Reads a GOPROXY list by the rules of `go help goproxy`: `,` and `|` between places, `off` ends it, `direct` is left
 * out with a note, a name without a scheme is https. Throws `invalid` for what is no http, https or file URL.
 */
export function parseGoproxyList(text: string): GoproxyList {
  const entries: GoproxyEntry[] = [];
  const notes: string[] = [];
  for (const match of text.matchAll(/([^,|]*)([,|]|$)/g)) {
    const word = (match[1] ?? '').trim();
    if (word === '') continue;
    if (word === 'off') break;
    if (word === 'direct') {
      notes.push('"direct" is left out: this node does not ask version control systems');
      // The go command looks at nothing behind it either.
      break;
    }
    entries.push({ url: toUrl(word), next: match[2] === '|' ? 'any' : 'absent' });
  }
  return { entries, notes };
}

function toUrl(word: string): URL {
  const bare = /[.:/]/.test(word) && !word.includes(':/') && !word.startsWith('/');
  const url = URL.parse(bare ? `https://${word}` : word);
  const isFile = url?.protocol === 'file:' && url.host === '';
  if (url !== null && (isFile || /^https?:$/.test(url.protocol))) return url;
  const expected = 'expected http, https or file URLs, "direct" or "off", with "," or "|" between';
  throw new ProxyError(
    'invalid',
    OP,
    `${withoutCredentials(word)} in the GOPROXY list: ${expected}`,
  );
}

function withoutCredentials(word: string): string {
  return word.replace(/\/\/[^/@]*@/, '//***@');
}
