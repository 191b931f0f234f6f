/** Directives of one message by lower-case name; `true`: without an argument. Times are whole seconds as digits. */
export type CacheControl = ReadonlyMap<string, string | true>;

/** Directives whose argument is a number of seconds, RFC 9111 §5.2 and RFC 5861. */
const SECONDS = new Set([
  'max-age',
  's-maxage',
  'stale-while-revalidate',
  'stale-if-error',
  'max-stale',
  'min-fresh',
]);

/** Directives that allow more than their absence does; where the syntax around them is broken they do not count. */
const PERMISSIVE = new Set(['public', 'immutable', 'must-understand', 'max-stale']);

/** Greatest number of seconds that is told apart from infinity, RFC 9111 §1.2.2. */
export const MAX_SECONDS: number = 2 ** 31;

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const ELEMENT_END = /[ \t]*(?:,|$)/y;
const WHOLE_TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const DIGITS = /^\d+$/;

/**
 * The joined value of Cache-Control, read so that no mistake in it lets more be kept: names in any case, commas inside
 * quotes are data, broken numbers are 0, the strictest of repeats holds. Absent value: no directives. RFC 9111 §5.2.
 */
export function parseCacheControl(value: string | undefined): CacheControl {
  const directives = new Map<string, string | true>();
  if (value === undefined) return directives;
  let position = 0;
  let broken = false;
  while (position < value.length) {
    const name = matchAt(TOKEN, value, position);
    if (name === undefined) {
      if (value[position] === ',') broken = false;
      else if (value[position] !== ' ' && value[position] !== '\t') broken = true;
      position += 1;
      continue;
    }
    position += name[0].length;
    let argument: string | undefined;
    if (value[position] === '=') {
      const token = matchAt(TOKEN, value, position + 1);
      // A quote that is never closed must not hide the directives behind it: it is passed over as a stray character.
      const quoted = token === undefined ? matchAt(QUOTED, value, position + 1) : undefined;
      argument = token?.[0] ?? quoted?.[1]?.replace(/\\(.)/g, '$1') ?? '';
      position += 1 + (token ?? quoted ?? [''])[0].length;
    }
    // `max-age=60; no-store`: what follows within the element is still read, but grants nothing.
    broken ||= matchAt(ELEMENT_END, value, position) === undefined;
    add(directives, name[0].toLowerCase(), argument, broken);
  }
  return directives;
}

/** As a field value: lower-case names, arguments quoted only where they have to be. Absent: no directive. */
export function formatCacheControl(directives: CacheControl): string | undefined {
  if (directives.size === 0) return undefined;
  const parts: string[] = [];
  for (const [name, value] of directives) {
    if (value === true) parts.push(name);
    else parts.push(`${name}=${WHOLE_TOKEN.test(value) ? value : quote(value)}`);
  }
  return parts.join(', ');
}

/** Seconds that a directive names. Absent: the directive is not there, or stands without an argument. */
export function secondsOf(directives: CacheControl, name: string): number | undefined {
  const value = directives.get(name);
  return value === undefined || value === true ? undefined : Number(value);
}

/** True: the directive's argument is a number of seconds. */
export function isSeconds(name: string): boolean {
  return SECONDS.has(name);
}

/** Lower-case names that a directive's argument lists, RFC 9111 §5.2.2.4. Empty: it is not there, or is about the whole answer. */
export function fieldsNamedBy(directives: CacheControl, name: string): readonly string[] {
  const value = directives.get(name);
  if (value === undefined || value === true) return [];
  const names = value.split(',').map((field) => field.trim().toLowerCase());
  // One that is no name may be a mistake for any other.
  return names.every((field) => WHOLE_TOKEN.test(field)) ? names : [];
}

/** True: the same directives with the same arguments, in whatever order and case they were written. */
export function sameDirectives(one: CacheControl, other: CacheControl): boolean {
  if (one.size !== other.size) return false;
  for (const [name, value] of one) if (other.get(name) !== value) return false;
  return true;
}

function add(
  directives: Map<string, string | true>,
  name: string,
  argument: string | undefined,
  broken: boolean,
): void {
  if (broken && PERMISSIVE.has(name)) return;
  const before = directives.get(name);
  if (!SECONDS.has(name)) {
    // `private` after `private="x"` covers the whole answer.
    directives.set(name, argument === undefined || before === true ? true : argument);
    return;
  }
  if (argument === undefined && name === 'max-stale') {
    // Without a number the client takes any staleness.
    if (before === undefined) directives.set(name, true);
    return;
  }
  const valid = argument !== undefined && !broken && DIGITS.test(argument);
  const seconds = valid ? Math.min(Number(argument), MAX_SECONDS) : 0;
  const stricter = name === 'min-fresh' ? Math.max : Math.min;
  const known = before === undefined || before === true ? seconds : Number(before);
  directives.set(name, String(stricter(seconds, known)));
}

function matchAt(pattern: RegExp, text: string, position: number): RegExpExecArray | undefined {
  pattern.lastIndex = position;
  return pattern.exec(text) ?? undefined;
}

function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
