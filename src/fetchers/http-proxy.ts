import { isIP } from 'node:net';
import { type Agent, type Dispatcher, EnvHttpProxyAgent } from 'undici';
import { ProxyError } from '../errors.ts';

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * A dispatcher that goes through the forward proxy which HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for this scheme.
 * Absent: none is named, or the origin is on this machine. Throws `invalid` for a proxy that is not a URL.
 */
export function proxyFor(
  url: URL,
  env: Environment,
  options: Agent.Options,
): Dispatcher | undefined {
  const named =
    url.protocol === 'https:'
      ? (env['https_proxy'] ?? env['HTTPS_PROXY'])
      : (env['http_proxy'] ?? env['HTTP_PROXY']);
  if (named === undefined || named === '' || isLoopback(url.hostname)) return undefined;
  const proxy = URL.parse(named.includes('://') ? named : `http://${named}`);
  if (proxy === null) {
    const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
    throw new ProxyError('invalid', 'http-proxy.proxyFor', `${name} is not a URL: ${named}`);
  }
  return new EnvHttpProxyAgent({
    ...options,
    httpProxy: proxy.href,
    httpsProxy: proxy.href,
    noProxy: env['no_proxy'] ?? env['NO_PROXY'] ?? '',
  });
}

function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  if (host === 'localhost' || host.endsWith('.localhost') || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
