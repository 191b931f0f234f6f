import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { compile } from 'proxy-addr';
import { ProxyError } from '../errors.ts';

/** Whether the machine at the other end of a connection may speak for its client. */
export type TrustCheck = (address: string | undefined) => boolean;

/** From `trustedProxies`, a list of addresses and CIDR ranges. Throws `invalid` for an entry that is neither. */
export function trustCheck(trustedProxies: readonly string[]): TrustCheck {
  if (trustedProxies.length === 0) return () => false;
  try {
    const trusts = compile([...trustedProxies]);
    return (address) => address !== undefined && trusts(address, 0);
  } catch (cause) {
    throw new ProxyError(
      'invalid',
      'public-address.trust',
      `trustedProxies: ${String((cause as Error).message)}`,
      { cause },
    );
  }
}

/** What a client asked for, as it would write it. */
export interface PublicAddress {
  readonly scheme: 'http' | 'https';
  /** Lower case, without the scheme's default port. */
  readonly host: string;
  /** Path and query, bytes as they came; starts with `/`. */
  readonly target: string;
  /** Scheme, host and target together. */
  readonly url: string;
}

const ABSOLUTE = /^https?:\/\/([^/?]*)(.*)$/i;

/**
 * The public address of a checked request. The authority of an absolute target wins over Host (RFC 9112 §3.2.2).
 * The scheme is the connection's own, or what a trusted proxy says in X-Forwarded-Proto.
 */
export function publicAddress(req: IncomingMessage, trusts: TrustCheck): PublicAddress {
  const secure = (req.socket as TLSSocket).encrypted === true;
  let scheme: PublicAddress['scheme'] = secure ? 'https' : 'http';
  const said = req.headers['x-forwarded-proto'];
  if (said !== undefined && trusts(req.socket.remoteAddress)) scheme = schemeSaid(said) ?? scheme;
  let authority = req.headers.host ?? '';
  let target = req.url ?? '/';
  if (!target.startsWith('/')) {
    const absolute = ABSOLUTE.exec(target);
    authority = absolute?.[1] ?? authority;
    const rest = absolute?.[2] ?? '/';
    target = rest.startsWith('/') ? rest : `/${rest}`;
  }
  const host = normalHost(authority, scheme);
  return { scheme, host, target, url: `${scheme}://${host}${target}` };
}

/** A host and port in lower case, without the scheme's default port. */
export function normalHost(authority: string, scheme: PublicAddress['scheme']): string {
  const host = authority.toLowerCase();
  const defaultPort = scheme === 'http' ? ':80' : ':443';
  return host.endsWith(defaultPort) && !isBareAddress(host)
    ? host.slice(0, -defaultPort.length)
    : host;
}

// [2001::80] ends in a group of its address, not in a port; valid literals are in brackets, so this only guards them.
function isBareAddress(host: string): boolean {
  return host.startsWith('[') && host.endsWith(']');
}

// Of several values the last is the one that the proxy we trust wrote itself.
function schemeSaid(field: string | string[]): PublicAddress['scheme'] | undefined {
  const last = String(field).split(',').at(-1)?.trim().toLowerCase();
  return last === 'http' || last === 'https' ? last : undefined;
}
