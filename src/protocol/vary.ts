import { createHash } from 'node:crypto';
import { HeaderList } from '../headers.ts';
import type { Entry } from '../manifest/entry.ts';

/** Fields in which a comma is no separator of a list: only their ends are trimmed. */
const NOT_LISTS = new Set([
  'user-agent',
  'cookie',
  'authorization',
  'referer',
  'origin',
  'if-modified-since',
  'date',
  'from',
]);

/** List fields whose values are the same in any case, RFC 9110 §12.5.2 to §12.5.4. */
const CASE_BLIND = new Set(['accept-encoding', 'accept-language', 'accept-charset']);

/** Names of fields whose values let somebody in. */
const SECRET = /auth|cookie|token|key|secret|password|session|credential/;

/** Lower-case names that an answer varies on, over all its lines, sorted, each once; `*` among them where it says so. */
export function varyNames(responseHeaders: HeaderList): string[] {
  const names = (responseHeaders.get('vary') ?? '').split(',').map((n) => n.trim().toLowerCase());
  return [...new Set(names)].filter((name) => name !== '').toSorted();
}

/** Digest of the named fields of a request, normalised; '' where nothing is named. RFC 9111 §4.1. */
export function variantOf(names: readonly string[], requestHeaders: HeaderList): string {
  if (names.length === 0) return '';
  const sorted = [...new Set(names.map((name) => name.toLowerCase()))].toSorted();
  return sha256(JSON.stringify(sorted.map((name) => [name, selecting(name, requestHeaders)])));
}

/** The request with its languages in one order: those of the same weight select the same variant then. */
export function withoutLanguageOrder(requestHeaders: HeaderList): HeaderList {
  const value = selecting('accept-language', requestHeaders);
  if (value === null) return requestHeaders;
  const languages = value.split(',').filter((language) => language !== '');
  return requestHeaders.with('Accept-Language', languages.toSorted().join(', '));
}

/** The newest entry that fits a request. Absent: none does. Entries that vary on `*` never fit. */
export function selectVariant<T extends Pick<Entry, 'vary' | 'variant' | 'policy'>>(
  entries: Iterable<T>,
  requestHeaders: HeaderList,
): T | undefined {
  const known = new Map<string, string>();
  let newest: T | undefined;
  for (const entry of entries) {
    if (entry.vary.includes('*')) continue;
    const names = entry.vary.join();
    const variant = known.get(names) ?? variantOf(entry.vary, requestHeaders);
    known.set(names, variant);
    if (variant !== entry.variant) continue;
    if (newest === undefined || entry.policy.receivedAt > newest.policy.receivedAt) newest = entry;
  }
  return newest;
}

/** The fields of a request that an entry keeps: only the named ones, the values of secret ones as `sha256:<hex>`. */
export function varyRequestHeaders(
  names: readonly string[],
  requestHeaders: HeaderList,
): HeaderList {
  return new HeaderList(
    requestHeaders
      .only(names)
      .lines.map(([name, value]) =>
        SECRET.test(name.toLowerCase()) ? [name, `sha256:${sha256(value)}`] : [name, value],
      ),
  );
}

/** A field's value in the form in which two that mean the same are equal; null: not sent. */
function selecting(name: string, headers: HeaderList): string | null {
  const lines = headers.getAll(name);
  if (lines.length === 0) return null;
  if (NOT_LISTS.has(name))
    return lines.map((line) => line.trim()).join(name === 'cookie' ? '; ' : ', ');
  const joined = withoutListSpace(lines.join(','));
  const value = CASE_BLIND.has(name) ? joined.toLowerCase() : joined;
  return name === 'accept-encoding' ? acceptedCodings(value) : value;
}

/**
 * The set of codings that a client takes, without its order of preference: whatever it takes is right to send.
 * What it refuses counts only where it would otherwise be taken: `identity`, and anything beside `*`.
 */
function acceptedCodings(value: string): string {
  const elements = value.split(',').filter((element) => element !== '');
  const any = elements.some((element) => /^\*(?:;|$)/.test(element));
  const codings = elements.flatMap((element) => {
    const [coding = '', ...parameters] = element.split(';');
    const name = coding.replace(/^x-(?=gzip$|compress$)/, '');
    const refused = parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
    if (!refused) return [name];
    return any || name === 'identity' || name === '*' ? [`${name};q=0`] : [];
  });
  return [...new Set(codings)].toSorted().join(',');
}

/** Without the white space around commas and semicolons that are not inside quotes. */
function withoutListSpace(value: string): string {
  let collapsed = '';
  let start = 0;
  let quoted = false;
  for (let i = 0; i < value.length; i += 1) {
    const char = value[i];
    if (quoted && char === '\\') i += 1;
    else if (char === '"') quoted = !quoted;
    else if (!quoted && (char === ',' || char === ';')) {
      collapsed += value.slice(start, i).trim() + char;
      start = i + 1;
    }
  }
  return collapsed + value.slice(start).trim();
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
