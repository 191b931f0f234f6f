import { isIP } from 'node:net';
import { z } from 'zod';
import type { ValueSchema } from '../values.ts';

/** Where to listen. Port 0: any free one. */
export interface ListenAddress {
  /** Name or IP address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Paths below this one belong to the node itself. */
export const OWN_PATH = '/_caje/';

const MAX_PORT = 65_535;
const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const HOST_NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*\\.?$`, 'i');

/** Names of components and rules: they stand in messages, metrics and environment variables. */
export const NAME_PATTERN: RegExp = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/** `host:port`, `[::1]:8080`; port 0 takes any free one. */
export function listenAddress(): ValueSchema<ListenAddress, string> {
  return parsed('an address such as 127.0.0.1:8080 or [::1]:8080', ['127.0.0.1:8080'], (text) => {
    const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
    if (match === null) return undefined;
    const [, ipv6, name, digits] = match;
    const port = Number(digits);
    const host = ipv6 ?? name ?? '';
    const known = ipv6 === undefined ? isHostName(host) : isIP(host) === 6;
    return known && port <= MAX_PORT ? { host, port } : undefined;
  });
}

/** An IP address or a range of them, `10.0.0.0/8`. */
export function cidr(): ValueSchema<string, string> {
  return parsed('an address range such as 10.0.0.0/8 or ::1/128', ['10.0.0.0/8'], (text) => {
    const [address = '', bits, ...more] = text.split('/');
    const version = isIP(address);
    if (version === 0 || more.length > 0) return undefined;
    if (bits === undefined) return text;
    const max = version === 4 ? 32 : 128;
    return /^\d{1,3}$/.test(bits) && Number(bits) <= max ? text : undefined;
  });
}

/** An exact host, or `*.suffix` for every host below the suffix; with a port only that port. Lower case comes out. */
export function hostPattern(): ValueSchema<string, string> {
  const expected = 'a host such as www.example.com or *.example.com, without scheme or path';
  return parsed(expected, ['www.example.com', '*.example.com'], (text) => {
    const { host, port } = splitHost(text);
    const name = host.startsWith('*.') ? host.slice(2) : host;
    const ipv6 = /^\[(.+)\]$/.exec(name)?.[1];
    const known = ipv6 === undefined ? isHostName(name) : isIP(ipv6) === 6;
    return known && Number(port ?? 0) <= MAX_PORT ? text.toLowerCase() : undefined;
  });
}

/** An exact path, or a prefix that ends in `/*`. */
export function pathPattern(): ValueSchema<string, string> {
  const expected = 'a path such as /about or a prefix such as /go/*, without query or fragment';
  return parsed(expected, ['/go/*', '/about'], (text) => {
    const fixed = text.endsWith('/*') ? text.slice(0, -1) : text;
    return fixed.startsWith('/') && !/[*?#\s\\]/.test(fixed) ? text : undefined;
  });
}

/** Whether every host that the second pattern takes is taken by the first. Absent: any host. */
export function hostCovers(wide: string | undefined, narrow: string | undefined): boolean {
  if (wide === undefined) return true;
  if (narrow === undefined) return false;
  const outer = splitHost(wide);
  const inner = splitHost(narrow);
  if (outer.port !== undefined && outer.port !== inner.port) return false;
  return outer.host.startsWith('*.')
    ? inner.host.endsWith(outer.host.slice(1))
    : outer.host === inner.host;
}

/** Whether every path that the second pattern takes is taken by the first. */
export function pathCovers(wide: string, narrow: string): boolean {
  return wide.endsWith('/*') ? narrow.startsWith(wide.slice(0, -1)) : wide === narrow;
}

function splitHost(text: string): { readonly host: string; readonly port: string | undefined } {
  const match = /^(.*[^:]):(\d{1,5})$/.exec(text);
  return { host: match?.[1] ?? text, port: match?.[2] };
}

function isHostName(text: string): boolean {
  return text.length <= 253 && HOST_NAME.test(text);
}

function parsed<Output>(
  expected: string,
  examples: readonly string[],
  parse: (text: string) => Output | undefined,
): ValueSchema<Output, string> {
  return z
    .string({ error: `expected ${expected}` })
    .meta({ examples: [...examples] })
    .transform((text, context): Output => {
      const value = parse(text);
      if (value !== undefined) return value;
      context.issues.push({ code: 'custom', message: `expected ${expected}`, input: text });
      return z.NEVER;
    });
}
