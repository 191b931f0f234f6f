const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const MONTH = `(${MONTHS.join('|')})`;
const TIME = '(\\d{2}):(\\d{2}):(\\d{2})';
const SHORT_DAY = '(?:mon|tue|wed|thu|fri|sat|sun)';
const LONG_DAY = '(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)';

const IMF_FIXDATE = new RegExp(`^${SHORT_DAY}, (\\d{2}) ${MONTH} (\\d{4}) ${TIME} gmt$`, 'i');
const RFC_850 = new RegExp(`^${LONG_DAY}, (\\d{2})-${MONTH}-(\\d{2}) ${TIME} gmt$`, 'i');
const ASCTIME = new RegExp(`^${SHORT_DAY} ${MONTH} ([ \\d]\\d) ${TIME} (\\d{4})$`, 'i');

/** A two-digit year more than this far ahead means the last one with those digits, RFC 9110 §5.6.7. */
const TWO_DIGIT_YEARS_AHEAD = 50;

/**
 * A date as HTTP writes it: IMF-fixdate, RFC 850 or asctime, names in any case; RFC 9110 §5.6.7.
 * Milliseconds since the epoch. Absent: not one of the three forms, or no such day. `nowMs` places two-digit years.
 */
export function parseHttpDate(value: string, nowMs: number): number | undefined {
  const text = value.trim();
  const imf = IMF_FIXDATE.exec(text);
  if (imf) return toTime(Number(imf[3]), imf[2], imf[1], imf.slice(4, 7));
  const rfc850 = RFC_850.exec(text);
  if (rfc850)
    return toTime(fullYear(Number(rfc850[3]), nowMs), rfc850[2], rfc850[1], rfc850.slice(4, 7));
  const asctime = ASCTIME.exec(text);
  if (asctime) return toTime(Number(asctime[6]), asctime[1], asctime[2], asctime.slice(3, 6));
  return undefined;
}

/** IMF-fixdate of a time in milliseconds since the epoch; the part of a second is dropped. */
export function formatHttpDate(ms: number): string {
  const second = Math.floor(ms / 1000);
  // Nearly every call is about the second of the one before.
  if (second !== lastSecond) {
    lastSecond = second;
    lastText = new Date(second * 1000).toUTCString();
  }
  return lastText;
}

let lastSecond = Number.NaN;
let lastText = '';

function fullYear(digits: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + digits;
  return year > thisYear + TWO_DIGIT_YEARS_AHEAD ? year - 100 : year;
}

function toTime(
  year: number,
  month: string | undefined,
  day: string | undefined,
  time: readonly string[],
): number | undefined {
  const [hours = 24, minutes = 60, seconds = 61] = time.map(Number);
  // 60 is a leap second.
  if (hours > 23 || minutes > 59 || seconds > 60) return undefined;
  const date = new Date(0);
  const dayOfMonth = Number(day);
  date.setUTCFullYear(year, MONTHS.indexOf((month ?? '').toLowerCase()), dayOfMonth);
  if (date.getUTCDate() !== dayOfMonth) return undefined;
  return date.setUTCHours(hours, minutes, seconds, 0);
}
