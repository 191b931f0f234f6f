import { ProxyError } from '../errors.ts';

const ABSOLUTE = /^(https?):\/\/([^/?#]*)([^#]*)/i;
const AUTHORITY = /^(\[[0-9a-f:.]+\]|[^\s:@[\]\\%]+)(?::(\d*))?$/i;
const DEFAULT_PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 };

/** An absolute http(s) address taken apart without touching its path: no dot segments or escapes are resolved. */
export interface HttpAddress {
  /** Lower-case scheme and host, port unless default: `http://www.example.com`. */
  readonly origin: string;
  /** Path and query, byte for byte, without the fragment; starts with `/`. */
  readonly target: string;
}

/** Takes an absolute http(s) address apart. Absent: it is none, names no host, or carries a user name. */
export function splitAddress(url: string): HttpAddress | undefined {
  const [, scheme = '', authority = '', rest = ''] = ABSOLUTE.exec(url) ?? [];
  const [, host, digits = ''] = AUTHORITY.exec(authority) ?? [];
  if (host === undefined) return undefined;
  const protocol = scheme.toLowerCase();
  const port = digits === '' ? DEFAULT_PORTS[protocol] : Number(digits);
  const suffix = port === DEFAULT_PORTS[protocol] ? '' : `:${port}`;
  return {
    origin: `${protocol}://${host.toLowerCase()}${suffix}`,
    target: rest.startsWith('/') ? rest : `/${rest}`,
  };
}

/**
 * Primary key of what an address names: two addresses share a key only if the origin sees the same bytes.
 * Throws `invalid` when it is not an absolute http(s) address. RFC 9111 §2, RFC 9110 §4.2.3.
 */
export function httpKey(publicUrl: string): string {
  const address = splitAddress(publicUrl);
  if (address === undefined)
    throw new ProxyError('invalid', 'http-key.make', 'expected an absolute http or https address');
  return address.origin + address.target;
}
