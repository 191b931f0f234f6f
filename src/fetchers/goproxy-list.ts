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
  /** True: the list ends in `direct`, and something here takes its place. */
  readonly direct?: boolean | undefined;
  /** What was left out and why, one sentence each. */
  readonly notes: readonly string[];
}

const OP = 'goproxy-list.parse';

/**
 * Reads a GOPROXY list by the rules of `go help goproxy`: `,` and `|` between places, `off` and `direct` end it, a name
 * without a scheme is https. Unless `direct` says that there is something for it, it is left out with a note.
 * Throws `invalid` for what is no http, https or file URL.
 */
export function parseGoproxyList(
  text: string,
  options: { readonly direct?: boolean | undefined } = {},
): GoproxyList {
  const entries: GoproxyEntry[] = [];
  const notes: string[] = [];
  for (const match of text.matchAll(/([^,|]*)([,|]|$)/g)) {
    const word = (match[1] ?? '').trim();
    if (word === '') continue;
    if (word === 'off') break;
    // The go command looks at nothing behind it either.
    if (word === 'direct' && options.direct === true) return { entries, notes, direct: true };
    if (word === 'direct') {
      notes.push('"direct" is left out: no go-vcs fetcher takes its place');
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
