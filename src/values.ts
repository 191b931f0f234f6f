import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { codeOf, ProxyError } from './errors.ts';

/** A schema whose input is what a person writes and whose output is what the code works with. */
export type ValueSchema<Output, Input> = z.ZodType<Output, Input>;

/** A secret as written: its value, or the path of the file that holds it. */
export type Secret =
  | { readonly kind: 'inline'; readonly value: string }
  | { readonly kind: 'file'; readonly path: string };

/** An amount in bytes, or as a share (0 to 1) of something whose size is known only later. */
export type Amount =
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'share'; readonly share: number };

const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

// A product such as 1.1 * 1e6 misses its whole number by less than this.
const ROUNDING_ERROR = 1e-3;

const EXPECTED_SIZE = 'a size such as 20GiB, 10MB, 64KiB or a number of bytes';
const EXPECTED_DURATION =
  'a duration such as 500ms, 30s, 2m, 1h or 7d, or a number of milliseconds';
const EXPECTED_AMOUNT = 'a size such as 1GiB or a percentage such as 5%';
const EXPECTED_SHARE = 'a percentage such as 90%, above 0% and at most 100%';
const EXPECTED_SECRET = 'a text that is not empty, or { file: PATH }';
const EXPECTED_URL =
  'an http:// or https:// URL such as http://127.0.0.1:3000, without user, query or fragment';

/** Bytes of `20GiB`, `10MB`, `64KiB`, `0`. Absent: not a size, or not a whole number of bytes. */
export function parseSize(text: string): number | undefined {
  return wholeAmount(text, UNIT_BYTES);
}

/** Milliseconds of `500ms`, `30s`, `2m`, `1h`, `7d`, `0`. Absent: not a duration, or not a whole number of milliseconds. */
export function parseDuration(text: string): number | undefined {
  return text.trim() === '0' ? 0 : wholeAmount(text, UNIT_MS);
}

/** `20GiB`: the largest binary unit that leaves a whole number. */
export function formatSize(bytes: number): string {
  return inLargestUnit(bytes, ['TiB', 'GiB', 'MiB', 'KiB'], UNIT_BYTES) ?? String(bytes);
}

/** `30s`: the largest unit that leaves a whole number. */
export function formatDuration(ms: number): string {
  return inLargestUnit(ms, ['d', 'h', 'm', 's'], UNIT_MS) ?? `${ms}ms`;
}

/** Bytes, written `20GiB`, `10MB`, `64KiB`, `0` or as a number. Give defaults with `.prefault('20GiB')`. */
export function size(): ValueSchema<number, string | number> {
  return textOrNumber(EXPECTED_SIZE, ['20GiB', '64KiB'], (value) =>
    typeof value === 'number' ? whole(value) : parseSize(value),
  );
}

/** Milliseconds, written `500ms`, `30s`, `2m`, `1h`, `7d` or as a number. Give defaults with `.prefault('30s')`. */
export function duration(): ValueSchema<number, string | number> {
  return textOrNumber(EXPECTED_DURATION, ['30s', '1h'], (value) =>
    typeof value === 'number' ? whole(value) : parseDuration(value),
  );
}

/** A size, or a percentage such as `5%`: for limits that follow the size of a disk. */
export function sizeOrPercentage(): ValueSchema<Amount, string | number> {
  return textOrNumber<Amount>(EXPECTED_AMOUNT, ['5%', '1GiB'], (value) => {
    const share = typeof value === 'string' ? parseShare(value) : undefined;
    if (share !== undefined) return share <= 1 ? { kind: 'share', share } : undefined;
    const bytes = typeof value === 'number' ? whole(value) : parseSize(value);
    return bytes === undefined ? undefined : { kind: 'bytes', bytes };
  });
}

/** A share above 0 and at most 1, written as a percentage such as `90%`. Give defaults with `.prefault('90%')`. */
export function percentage(): ValueSchema<number, string | number> {
  return textOrNumber(EXPECTED_SHARE, ['90%'], (value) => {
    const share = typeof value === 'string' ? parseShare(value) : undefined;
    return share !== undefined && share > 0 && share <= 1 ? share : undefined;
  });
}

/** Bytes of an amount where the whole has `total` bytes. */
export function bytesOf(amount: Amount, total: number): number {
  return amount.kind === 'bytes' ? amount.bytes : Math.floor(amount.share * total);
}

/** A secret, written as text or as `{ file: PATH }`; never printed: its JSON Schema says `writeOnly`. */
export function secret(): ValueSchema<Secret, string | { file: string }> {
  const error = `expected ${EXPECTED_SECRET}`;
  const path = z.string().min(1, { error: 'expected the path of a file' });
  const file = z.strictObject({ file: path });
  return z
    .union([z.string().min(1, { error }), file], { error })
    .transform(
      (value): Secret =>
        typeof value === 'string' ? { kind: 'inline', value } : { kind: 'file', path: value.file },
    )
    .meta({ writeOnly: true });
}

/** An http or https URL without credentials, query or fragment. */
export function httpUrl(): ValueSchema<URL, string> {
  return z
    .string({ error: `expected ${EXPECTED_URL}` })
    .meta({ format: 'uri', examples: ['http://127.0.0.1:3000'] })
    .transform((value, context): URL => {
      const url = URL.parse(value);
      const plain =
        url !== null &&
        /^https?:$/.test(url.protocol) &&
        `${url.username}${url.password}${url.search}${url.hash}` === '';
      if (plain) return url;
      context.issues.push({ code: 'custom', message: `expected ${EXPECTED_URL}`, input: value });
      return z.NEVER;
    });
}

/**
 * The secret's text, the line break at the end of a file cut off. Relative paths start from `baseDir`.
 * Throws `invalid` naming the file when it cannot be read or is empty.
 */
export async function readSecret(from: Secret, baseDir: string): Promise<string> {
  if (from.kind === 'inline') return from.value;
  const path = resolve(baseDir, from.path);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const why = codeOf(cause) ?? 'unknown error';
    throw new ProxyError(
      'invalid',
      'values.readSecret',
      `cannot read the secret file ${path}: ${why}`,
      { cause },
    );
  }
  const value = text.replace(/\r?\n$/, '');
  if (value !== '') return value;
  throw new ProxyError('invalid', 'values.readSecret', `the secret file ${path} is empty`);
}

function textOrNumber<Output>(
  expected: string,
  examples: readonly string[],
  parse: (value: string | number) => Output | undefined,
): ValueSchema<Output, string | number> {
  return z
    .union([z.string(), z.number()], { error: `expected ${expected}` })
    .meta({ examples: [...examples] })
    .transform((value, context): Output => {
      const parsed = parse(value);
      if (parsed !== undefined) return parsed;
      context.issues.push({ code: 'custom', message: `expected ${expected}`, input: value });
      return z.NEVER;
    });
}

function parseShare(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?%$/.exec(text.trim());
  return match === null ? undefined : Number(match[1]) / 100;
}

function wholeAmount(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text.trim());
  const unit = Object.hasOwn(units, match?.[2] ?? '') ? units[match?.[2] ?? ''] : undefined;
  if (match === null || unit === undefined) return undefined;
  const product = Number(match[1]) * unit;
  const rounded = Math.round(product);
  return Math.abs(product - rounded) < ROUNDING_ERROR ? whole(rounded) : undefined;
}

function inLargestUnit(
  value: number,
  units: readonly string[],
  values: Readonly<Record<string, number>>,
): string | undefined {
  const unit = units.find((name) => value > 0 && value % (values[name] ?? 1) === 0);
  return unit === undefined ? undefined : `${value / (values[unit] ?? 1)}${unit}`;
}

function whole(value: number): number | undefined {
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
